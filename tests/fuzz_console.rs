//! The console under random keys, pastes, clicks and sizes: it never panics, and no control character is ever drawn.
//!
//! The state is real: a workspace in which the whole pipeline ran, read by the same library as the console's. Commands that
//! the console sends are counted and not carried out, so that nothing the fuzzer does costs time.

mod common;

use std::collections::VecDeque;
use std::sync::Arc;

use common::Workspace;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use stratos::domain::{Phase, SystemClock, UnixMillis};
use stratos::engine::{Engine, Event, JobState, JobView, Level, Library, Query, Snapshot};
use stratos::tui::app::App;
use stratos::tui::chrome;
use stratos::tui::msg::{Effect, Msg};
use stratos::tui::theme::Theme;

/// Events in all; the workspace is drawn after every one of them that leaves a small screen, and after every few on a large.
const EVENTS: u32 = 100_000;
/// Cells up to which every event is drawn.
const SMALL: u32 = 600;
/// On larger screens, one event of so many is drawn.
const SELDOM: u32 = 24;

const HOSTILE: [&str; 8] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "\u{202e}txet desrever\u{202c}",
    "日本語の記事、とても長い",
    "e\u{301}\u{200b}\u{200d}\u{fe0f}👩‍👩‍👧‍👦",
    "a\r\nb\tc\u{0}\u{8}\u{7f}\u{9b}31m",
    "العربية نص طويل",
    "band:critical profile:texas source:official lang:en is:selected",
    "0.01",
];

struct Fuzz {
    random: ChaCha8Rng,
    size: (u16, u16),
}

impl Fuzz {
    fn below(&mut self, n: u32) -> u32 {
        self.random.next_u32() % n
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u32) as usize]
    }

    fn key(&mut self) -> KeyEvent {
        const CODES: [KeyCode; 18] = [
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::Backspace,
            KeyCode::Delete,
            KeyCode::F(1),
            KeyCode::F(5),
            KeyCode::Insert,
            KeyCode::Null,
        ];
        let code = match self.below(10) {
            0..=5 => KeyCode::Char(char::from(b' ' + self.below(95) as u8)),
            6 => KeyCode::Char(*self.of(&['é', '日', '\u{301}', '👍', '\u{202e}', '0', '9'])),
            _ => *self.of(&CODES),
        };
        let modifiers = match self.below(12) {
            0 => KeyModifiers::CONTROL,
            1 => KeyModifiers::ALT,
            2 => KeyModifiers::SHIFT,
            _ => KeyModifiers::NONE,
        };
        KeyEvent::new(code, modifiers)
    }

    /// Mostly a few cells, now and then a whole wall.
    fn resize(&mut self) {
        let (width, height) = match self.below(6) {
            0 => (1 + self.below(4), 1 + self.below(4)),
            1 => (80, 24),
            2 => (1 + self.below(220), 1 + self.below(70)),
            _ => (1 + self.below(60), 1 + self.below(12)),
        };
        self.size = (width as u16, height as u16);
    }

    fn job(&mut self, now: UnixMillis) -> JobView {
        let failed = JobState::Failed { reason: HOSTILE[0].into(), next: HOSTILE[2].into() };
        let states = [JobState::Running, JobState::Pausing, JobState::Paused, JobState::Stopping, JobState::Done, failed];
        JobView {
            id: 1,
            phase: *self.of(&Phase::ALL),
            state: self.of(&states).clone(),
            done: u64::from(self.below(10)),
            total: u64::from(self.below(3)) * 7,
            unit: "rows".into(),
            message: (*self.of(&HOSTILE)).into(),
            started: UnixMillis(0),
            heartbeat: now,
            then: Vec::new(),
        }
    }
}

/// The snapshot of a workspace in which everything ran.
fn finished(workspace: &Workspace) -> (Arc<stratos::workspace::Workspace>, Arc<Snapshot>) {
    let run = workspace.stratos(&["run", "--yes", "--to", "audit", "--json"]);
    assert!(run.status.success(), "{}", common::text(&run));
    let opened = stratos::workspace::Workspace::open(workspace.path()).expect("opens");
    let (engine, handle) = Engine::start(opened.clone(), Arc::new(SystemClock)).expect("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let snapshot = runtime.block_on(async {
        let mut snapshot = handle.snapshot();
        let whole = snapshot.wait_for(|s| s.complete).await.expect("an engine");
        whole.clone()
    });
    drop(handle);
    engine.join();
    (opened, snapshot)
}

#[test]
fn a_hundred_thousand_random_events_at_random_sizes_never_panic_and_never_draw_a_control_character() {
    let workspace = Workspace::small();
    let (opened, whole) = finished(&workspace);
    let mut library = Library::open(opened).expect("opens");
    let mut fuzz = Fuzz { random: ChaCha8Rng::seed_from_u64(19), size: (80, 24) };
    let mut app = App::new(whole.clone(), Theme::default());
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("terminal");
    let mut asked: VecDeque<Query> = VecDeque::new();
    let (mut now, mut sent, mut quits) = (UnixMillis(1_000_000), 0_u32, 0_u32);
    for event in 0..EVENTS {
        let message = match fuzz.below(40) {
            0 => {
                fuzz.resize();
                Msg::Resize
            }
            1 => Msg::Paste((*fuzz.of(&HOSTILE)).repeat(1 + fuzz.below(3) as usize)),
            2 => {
                now = UnixMillis(now.0 + i64::from(fuzz.below(40_000)));
                Msg::Tick(now)
            }
            3 => Msg::Event(Event::Log { level: *fuzz.of(&[Level::Info, Level::Warn, Level::Error]), text: HOSTILE[0].into() }),
            4 => {
                let empty = fuzz.below(4) == 0;
                let mut next = if empty { Snapshot::default() } else { (*whole).clone() };
                next.job = (fuzz.below(2) == 0).then(|| fuzz.job(now));
                next.revisions[fuzz.below(8) as usize] += u64::from(fuzz.below(3));
                Msg::Snapshot(Arc::new(next))
            }
            5 => Msg::Edited(if fuzz.below(2) == 0 { Ok((*fuzz.of(&HOSTILE)).into()) } else { Err(HOSTILE[1].into()) }),
            6 => match asked.pop_front() {
                Some(query) => {
                    let answer = library.answer(&query);
                    Msg::Answered((query, Some(answer)))
                }
                None => Msg::Resize,
            },
            _ => Msg::Key(fuzz.key()),
        };
        for effect in app.update(message) {
            match effect {
                Effect::Ask(query) => asked.push_back(query),
                Effect::Send(_) => sent += 1,
                Effect::Quit => quits += 1,
                Effect::Edit(_) | Effect::Copy(_) | Effect::Reconnect => {}
            }
        }
        let cells = u32::from(fuzz.size.0) * u32::from(fuzz.size.1);
        if cells <= SMALL || event % SELDOM == 0 {
            terminal.backend_mut().resize(fuzz.size.0, fuzz.size.1);
            terminal.resize(ratatui::layout::Rect::new(0, 0, fuzz.size.0, fuzz.size.1)).expect("resizes");
            terminal.draw(|frame| chrome::draw(frame, &app)).expect("draws");
            let buffer = terminal.backend().buffer();
            let control = buffer.content.iter().find(|cell| cell.symbol().chars().any(char::is_control));
            assert!(control.is_none(), "event {event} drew {control:?} at {:?}", fuzz.size);
        }
    }
    assert!(sent > 100 && quits > 100, "the fuzzer reaches what costs: {sent} commands, {quits} quits");
}
