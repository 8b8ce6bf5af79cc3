//! A workspace with 200,000 articles, of which 2,000 take part with ten readers: 20,000 traces of the rehearsal teacher.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use stratos::domain::{Article, Phase, SystemClock};
use stratos::engine::{Command, Consent, Engine, Event};
use stratos::workspace::{Config, Origin, Workspace};

pub const ARTICLES: usize = 200_000;
const TAKING_PART: usize = 2_000;

pub fn workspace(fresh: bool) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-console");
    if fresh {
        let _ = std::fs::remove_dir_all(&dir);
    }
    if dir.join("ready").is_file() {
        return dir;
    }
    let _ = std::fs::remove_dir_all(&dir);
    let start = Instant::now();
    let mut config = Config { seed: 19, ..Config::default() };
    config.select.max_articles = TAKING_PART;
    Workspace::init(&dir, &config).expect("inits");
    let opened = Workspace::open(&dir).expect("opens");
    let rows: Vec<Article> = (0..ARTICLES).map(article).collect();
    opened.ledger().expect("opens").put_articles(&rows, Origin::Imported).expect("stores");
    distil(opened);
    std::fs::write(dir.join("ready"), "").expect("writes");
    println!("made a workspace of {ARTICLES} articles and its traces in {:.0} s", start.elapsed().as_secs_f64());
    dir
}

/// Words of news, so that titles differ and searches find some of them.
const WORDS: [&str; 24] = [
    "refinery",
    "nurse",
    "grid",
    "tender",
    "Kuwait",
    "Houston",
    "Seoul",
    "orbit",
    "startup",
    "ward",
    "chip",
    "port",
    "pension",
    "drone",
    "harvest",
    "bridge",
    "vaccine",
    "league",
    "budget",
    "strike",
    "festival",
    "satellite",
    "bank",
    "school",
];

fn article(n: usize) -> Article {
    let word = |k: usize| WORDS[(n * 7 + n / 24 * k + k * 5) % WORDS.len()];
    let kind = ["official", "news", "blog"][n % 3];
    let row = serde_json::json!({
        "id": format!("x{n:06}"),
        "title": format!("{} {} announces {} {} plan number {n} for the coming season", word(1), word(2), word(3), word(4)),
        "summary": format!(
            "The {} said that its {} would open next month, with {} places for {} and a budget that was agreed in number {n}. \
             Officials named the {} as the reason and asked for applications before the end of the week, in writing.",
            word(2), word(3), n % 97, word(5), word(6)
        ),
        "source": format!("Gazette {}", n % 40),
        "source_type": kind,
        "published": format!("2026-{:02}-{:02}", n % 11 + 1, n % 28 + 1),
    });
    serde_json::from_value(row).expect("an article")
}

fn distil(workspace: Arc<Workspace>) {
    let (engine, handle) = Engine::start(workspace, Arc::new(SystemClock)).expect("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        let mut events = handle.events();
        handle.send(Command::Run { to: Phase::Distill, consent: Consent::yes(None) });
        loop {
            match events.recv().await {
                Ok(Event::RunEnded { complete }) => {
                    assert!(complete, "the rehearsal did not end well");
                    break;
                }
                Ok(Event::PhaseFailed { reason, .. }) => panic!("{reason}"),
                Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    drop(handle);
    engine.join();
}
