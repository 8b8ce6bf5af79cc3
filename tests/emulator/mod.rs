//! A server that behaves like the batch APIs of Anthropic, `OpenAI` and Gemini, and bills nobody: for tests and for people who
//! want to try the console against something. Owns the handle that a test holds; [`serve.rs`](../serve.rs) is the same by hand.
//!
//! Seeded and deterministic: an answer depends on the seed and the prompt, a mishap on the seed and the custom id. State lives in
//! `Options::dir` and survives [`Emulator::restart`]; the fault script and the record of calls belong to the test and survive too.
#![expect(dead_code, reason = "every test binary that includes the emulator uses another part of it")]
#![expect(unreachable_pub, reason = "included by path into several binaries, where nothing is reachable from outside")]

pub mod answers;
pub mod anthropic;
pub mod chat;
pub mod control;
pub mod faults;
pub mod gemini;
pub mod generate;
pub mod multipart;
pub mod openai;
pub mod records;
pub mod server;
pub mod state;
pub mod wire;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use answers::AnswerMix;
#[allow(unused_imports, reason = "not every test scripts every fault")]
pub use faults::{Body, Fault, Op, Seen, Truncation};
pub use records::Phase;

/// Whose API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Anthropic,
    OpenAi,
    Gemini,
}

impl Provider {
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
        }
    }
}

/// When a batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// After that many looks at its status found it running; 0: the first look finds it ended. Listing is not looking.
    AfterLooks(u32),
    /// That many seconds after it was made, by the emulator's clock.
    AfterSeconds(u64),
    /// Never; when its time limit is over, every request is expired.
    Never,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    /// Where the state is kept.
    pub dir: PathBuf,
    /// 0: any free port.
    pub port: u16,
    /// When set, any other key is refused.
    pub key: Option<String>,
    pub finish: Finish,
    pub answers: AnswerMix,
}

impl Options {
    /// Good answers only, batches that end after two looks, any key, any port.
    pub fn new(seed: u64, dir: impl Into<PathBuf>) -> Self {
        Self { seed, dir: dir.into(), port: 0, key: None, finish: Finish::AfterLooks(2), answers: AnswerMix::default() }
    }
}

/// What one answered request costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    pub custom_id: String,
    /// The batch's id; empty for a synchronous call.
    pub batch: String,
    pub provider: Provider,
    /// sha256 of the system text followed by the user text.
    pub prompt: String,
    /// The article's title line in the prompt.
    pub title: String,
    /// The profile's role and location lines.
    pub reader: String,
    /// Tokens read, without those that the cache wrote or read.
    pub input: u64,
    pub cache_write: u64,
    pub cache_read: u64,
    pub output: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchInfo {
    pub id: String,
    pub provider: Provider,
    pub requests: usize,
    pub state: Phase,
    /// Seconds since 1970, by the emulator's clock.
    pub created: i64,
    pub deleted: bool,
}

/// What the server's thread and the test share.
pub struct Shared {
    world: Mutex<state::World>,
    script: Arc<Mutex<faults::Script>>,
}

impl Shared {
    pub fn world(&self) -> MutexGuard<'_, state::World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn script(&self) -> MutexGuard<'_, faults::Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server. Dropping it stops it; its state stays in its folder.
pub struct Emulator {
    options: Options,
    shared: Arc<Shared>,
    running: Option<server::Running>,
    /// Keeps the port while nothing answers: another test's server would get it.
    kept: Option<server::Kept>,
}

impl Emulator {
    pub fn start(options: Options) -> Self {
        let script = Arc::new(Mutex::new(faults::Script::default()));
        let (shared, running) = server::run(&options, script);
        let options = Options { port: running.port, ..options };
        Self { options, shared, running: Some(running), kept: None }
    }

    /// Stops answering: connections are refused until [`Self::restart`].
    pub fn stop(&mut self) {
        self.running = None;
        self.kept = Some(server::Kept::on(self.options.port));
    }

    /// As a server that crashed and came back: same folder, same port, everything read from disk again.
    pub fn restart(&mut self) {
        (self.running, self.kept) = (None, None);
        let (shared, running) = server::run(&self.options, Arc::clone(&self.shared.script));
        self.shared = shared;
        self.running = Some(running);
    }

    /// The same, with other habits from now on (how batches end, what is answered, which key is right).
    pub fn restart_with(&mut self, change: impl FnOnce(&mut Options)) {
        let port = self.options.port;
        change(&mut self.options);
        self.options.port = port;
        self.restart();
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.options.port)
    }

    /// Queues a fault for the next call it applies to.
    pub fn fault(&self, fault: Fault) {
        self.shared.script().arm(fault, None);
    }

    /// Queues a fault for the next call of this kind.
    pub fn fault_on(&self, op: Op, fault: Fault) {
        self.shared.script().arm(fault, Some(op));
    }

    pub fn clear_faults(&self) {
        self.shared.script().clear();
    }

    /// How many faults have not struck yet.
    pub fn faults_waiting(&self) -> usize {
        self.shared.script().waiting()
    }

    /// Moves its clock.
    pub fn advance(&self, by: Duration) {
        self.shared.world().advance(by.as_secs() as i64);
    }

    /// Every request it billed, entered when the batch was made and taken back where cancelling or expiry came first.
    pub fn billed(&self) -> Vec<Bill> {
        self.shared.world().bills()
    }

    pub fn batches(&self) -> Vec<BatchInfo> {
        self.shared.world().infos()
    }

    /// Every call to a provider's API that reached it, across restarts.
    pub fn requests_seen(&self) -> Vec<Seen> {
        self.shared.script().seen.clone()
    }
}
