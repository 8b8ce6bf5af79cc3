//! Updates and frames without a terminal, and the memory of a console's part.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use stratos::domain::SystemClock;
use stratos::engine::{Engine, Library, Query, Snapshot};
use stratos::tui::app::App;
use stratos::tui::chrome;
use stratos::tui::msg::{Effect, Msg};
use stratos::tui::theme::Theme;
use stratos::workspace::Workspace;

const SIZE: (u16, u16) = (200, 60);
/// Points of the loss curve.
const POINTS: u64 = 1_000_000;
/// Keys pressed on each screen.
const KEYS: usize = 2_000;

/// A console without a terminal: keys in, frames out, questions answered at once.
struct Console {
    app: App,
    library: Library,
    terminal: Terminal<TestBackend>,
    updates: Vec<Duration>,
    frames: Vec<Duration>,
    answers: Vec<(Duration, Query)>,
}

impl Console {
    fn open(dir: &Path) -> Self {
        let workspace = Workspace::open(dir).expect("opens");
        let mut snapshot = snapshot(&workspace);
        let train = Arc::make_mut(&mut snapshot.train);
        for step in 0..POINTS {
            let loss = 3.0 / (1.0 + step as f64 / 20_000.0) + ((step * 2_654_435_761 % 1000) as f64) / 4000.0;
            train.loss.push(step + 1, loss);
        }
        let mut console = Self {
            app: App::new(Arc::new(Snapshot::default()), Theme::default()),
            library: Library::open(workspace).expect("opens"),
            terminal: Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("terminal"),
            updates: Vec::new(),
            frames: Vec::new(),
            answers: Vec::new(),
        };
        console.update(Msg::Snapshot(Arc::new(snapshot)));
        console.key(KeyCode::Esc);
        console
    }

    fn update(&mut self, message: Msg) {
        let start = Instant::now();
        let effects = self.app.update(message);
        self.updates.push(start.elapsed());
        for effect in effects {
            if let Effect::Ask(query) = effect {
                let start = Instant::now();
                let answer = self.library.answer(&query);
                self.answers.push((start.elapsed(), query.clone()));
                self.update(Msg::Answered((query, Some(answer))));
            }
        }
    }

    fn key(&mut self, code: KeyCode) {
        self.update(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        let start = Instant::now();
        self.terminal.draw(|frame| chrome::draw(frame, &self.app)).expect("draws");
        self.frames.push(start.elapsed());
    }

    /// Forgets what was measured, e.g. of getting here.
    fn begin(&mut self) {
        self.updates.clear();
        self.frames.clear();
        self.answers.clear();
    }

    fn tell(&mut self, what: &str) {
        println!("{what:<44} {}   {}", figures("frame", &mut self.frames), figures("update", &mut self.updates));
        self.answers.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
        if let Some((took, query)) = self.answers.first().filter(|(took, _)| took.as_millis() > 5) {
            let name: String = format!("{query:?}").chars().take(60).collect();
            println!("{:44} slowest answer of the library {:.0} ms: {name}", "", took.as_secs_f64() * 1e3);
        }
    }
}

fn figures(name: &str, times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("{name} p50 {:.2} p99 {:.2} most {:.2} ms (n {})", at(0.5), at(0.99), at(1.0), times.len())
}

/// What an engine publishes of this workspace.
fn snapshot(workspace: &Arc<Workspace>) -> Snapshot {
    let (engine, handle) = Engine::start(workspace.clone(), Arc::new(SystemClock)).expect("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let snapshot = runtime.block_on(async {
        let mut snapshot = handle.snapshot();
        let whole = snapshot.wait_for(|s| s.complete).await.expect("an engine").clone();
        (*whole).clone()
    });
    drop(handle);
    engine.join();
    snapshot
}

pub fn frames(dir: &Path) {
    let start = Instant::now();
    let mut console = Console::open(dir);
    println!("opened in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let walk = [KeyCode::Down, KeyCode::PageDown, KeyCode::Down, KeyCode::Up];
    console.key(KeyCode::Char('2'));
    console.tell("2 Articles, opening");
    console.begin();
    for n in 0..KEYS {
        console.key(if n % 500 == 499 { KeyCode::End } else { walk[n % walk.len()] });
    }
    console.tell("2 Articles, moving through 200,000");
    console.begin();
    console.key(KeyCode::Char('/'));
    for letter in "refinery announces source:official".chars() {
        console.key(KeyCode::Char(letter));
    }
    console.key(KeyCode::Enter);
    console.tell("2 Articles, typing a filter");
    console.begin();
    for n in 0..KEYS {
        console.key(walk[n % walk.len()]);
    }
    console.tell("2 Articles, moving through what it found");
    console.key(KeyCode::Char('5'));
    console.begin();
    for n in 0..KEYS {
        console.key(if n % 2 == 0 { KeyCode::Right } else { KeyCode::Left });
    }
    console.tell("5 Train, a curve of 1,000,000 points");
    console.key(KeyCode::Char('7'));
    console.begin();
    for n in 0..KEYS {
        console.key(walk[n % walk.len()]);
    }
    console.tell("7 Audit, moving through 20,000 traces");
    for tab in ['1', '3', '4', '6', '8'] {
        console.key(KeyCode::Char(tab));
        console.begin();
        for n in 0..KEYS / 4 {
            console.key(walk[n % walk.len()]);
        }
        console.tell(&format!("{tab}"));
    }
}

/// Holds what a console holds, visits the long lists and says how much memory that takes; run in a process of its own.
pub fn hold(dir: &Path) {
    let workspace = Workspace::open(dir).expect("opens");
    let reading = stratos::engine::Reading::start(&workspace).expect("starts");
    drop(reading);
    let mut console = Console {
        app: App::new(Arc::new(Snapshot { complete: true, ..Snapshot::default() }), Theme::default()),
        library: Library::open(workspace).expect("opens"),
        terminal: Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("terminal"),
        updates: Vec::new(),
        frames: Vec::new(),
        answers: Vec::new(),
    };
    for (tab, what) in [('2', "with 200,000 articles"), ('7', "and 20,000 traces")] {
        console.key(KeyCode::Char(tab));
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
        };
        println!("{what}: {:.0} MiB resident, of which {:.0} MiB its own", kib("VmRSS"), kib("RssAnon"));
    }
}

pub fn memory(dir: &Path) {
    let own = std::env::current_exe().expect("this program");
    let held = Command::new(own).args(["hold", &dir.to_string_lossy()]).output().expect("runs");
    print!("console's part in a process of its own\n{}", String::from_utf8_lossy(&held.stdout));
}
