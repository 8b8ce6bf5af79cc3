//! Who writes the student's answers: the embedded engine, a llama.cpp server or Ollama, by one line of `stratos.toml`.
//!
//! Owns talking to servers: which one it is, whether it reads prompts as the student was trained to, how many requests are
//! under way, and what its answers become by the embedded engine's rules. Prompts are `domain`'s and `student`'s, scores are
//! `domain::answer`'s, servers themselves the operator's.
//!
//! What servers do otherwise than the embedded engine, and evaluations keep apart by the runtime: llama.cpp and Ollama let
//! the repeat penalty look at the prompt's last tokens too, and draw from their own random streams.

mod crowd;
mod embedded;
mod error;
mod http;
mod kind;
mod llama;
mod ollama;
mod reading;

pub use embedded::Embedded;
pub use error::ScorerError;
pub use reading::TextSide;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use crate::domain::Digest;
use crate::domain::recipe::Sampling;
use crate::evaluate::Runtime;
use crate::student::{Generated, Prompt, Student};
use crate::workspace::ScoringChoice;

/// Hears of each row as it is finished, in any order, and may end the whole.
pub type OnRow<'a> = &'a mut dyn FnMut(&Generated) -> ControlFlow<()>;

/// Answers prompts. Blocks until it is done; not to be called from async code.
pub trait Scorer {
    /// What computes the answers.
    fn runtime(&self) -> Runtime;

    /// Names the model and who serves it; answers of another digest are never taken for this one's.
    fn digest(&self) -> Digest;

    /// Whether it still is what it was when it was opened (guard S6): who serves may serve another model since.
    fn check(&self) -> Result<(), ScorerError> {
        Ok(())
    }

    /// The ids that this runtime itself makes of each conversation, the beginning of an answer left out; `None`: it does not
    /// tell.
    fn prompt_ids(&self, prompts: &[Prompt]) -> Result<Option<Vec<Vec<u32>>>, ScorerError> {
        let _ = prompts;
        Ok(None)
    }

    /// Answers every prompt, in the prompts' order; after a `Break` those finished so far.
    fn answer(&self, prompts: &[Prompt], rules: &Sampling, seed: u64, on_row: OnRow<'_>) -> Result<Vec<Generated>, ScorerError>;
}

/// The scorer that `[scoring]` chooses, for the student that lies in `folder` and has this digest.
pub fn open(choice: &ScoringChoice, folder: &Path, student: &Digest) -> Result<Box<dyn Scorer + Send>, ScorerError> {
    let Some(server) = &choice.server else { return Ok(Box::new(Embedded::new(Student::load(folder)?))) };
    let text = TextSide::load(folder, student.clone())?;
    connect(choice, server, text)
}

/// The server at an address, for a student's text side.
pub fn connect(choice: &ScoringChoice, server: &str, text: TextSide) -> Result<Box<dyn Scorer + Send>, ScorerError> {
    let seconds = choice.timeout_seconds;
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(600));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed = |e: std::io::Error| ScorerError::Connection { server: server.to_owned(), why: e.to_string() };
    let runtime = runtime.map_err(failed)?;
    let mut wire = http::Wire::new(server, wait, kind::start(choice.kind))?;
    let found = runtime.block_on(kind::find(&wire, choice))?;
    wire.start = kind::start(Some(found.kind()));
    match found {
        kind::Found::LlamaCpp(props) => Ok(Box::new(llama::LlamaServer::new(wire, runtime, &props, choice, text)?)),
        kind::Found::Ollama(version) => Ok(Box::new(ollama::Ollama::new(wire, runtime, &version, choice, text)?)),
    }
}
