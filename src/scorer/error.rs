//! What can go wrong while somebody else writes the answers. What a server says is outside text, so it is cut to one line.

use std::path::PathBuf;

use thiserror::Error;

use crate::student::StudentError;

#[derive(Debug, Error)]
pub enum ScorerError {
    #[error(transparent)]
    Student(#[from] StudentError),
    #[error(
        "{folder}: {source}. The server writes the answers, but prompts are made with the student's own tokenizer and chat \
         template: train or deploy it here ('stratos run'), or take 'server' out of [scoring] in stratos.toml", folder = .folder.display()
    )]
    TextSide { folder: PathBuf, source: StudentError },
    #[error(
        "no server answers at {server}: {why}. {start}; or take 'server' out of [scoring] in stratos.toml, then the embedded engine answers"
    )]
    Unreachable { server: String, why: String, start: &'static str },
    #[error("the server at {server} was gone after {done} of {total} answers: {why}. {start}, then ask again")]
    Gone { server: String, done: usize, total: usize, why: String, start: &'static str },
    #[error(
        "{server}, {what}: no answer within {seconds} s. Look whether it still works; then raise timeout_seconds or lower parallel in [scoring]"
    )]
    Slow { server: String, what: &'static str, seconds: f64 },
    #[error(
        "{server} answers, but neither as llama.cpp ({llama}) nor as Ollama ({ollama}). Is the address right? kind = \"llama.cpp\" or \
         \"ollama\" in [scoring] says which one is meant"
    )]
    UnknownKind { server: String, llama: String, ollama: String },
    #[error("{server}, {what}: refused with {status}: {why}. {next}")]
    Refused { server: String, what: &'static str, status: u16, why: String, next: &'static str },
    #[error(
        "{server}, {what}: the reply cannot be read: {why}. Is it the server that [scoring] means, and is nothing between it and us?"
    )]
    Reply { server: String, what: &'static str, why: String },
    #[error(
        "guard T11: {server} reads the prompt of {row} as other tokens than the student was trained on: {why}. Serve the GGUF of this \
         student's release; if it does, its tokenizer takes this text otherwise: mend or leave out the article"
    )]
    Tokens { server: String, row: String, why: String },
    #[error("guard S7: Ollama {version} at {server} cannot be trusted with this student: {why}")]
    Defect { server: String, version: String, why: &'static str },
    #[error("{server} serves {served}, but [scoring] names model '{wanted}'; start it with that model, or mend the name")]
    OtherModel { server: String, served: String, wanted: String },
    #[error(
        "{server} has room for {room} tokens a request, and {row} needs {needed} (prompt {prompt}, answer {answer}): the text would be cut. {next}"
    )]
    Room { server: String, room: usize, row: String, needed: usize, prompt: usize, answer: usize, next: String },
    #[error("{server} cut the text of {row}: {why}. {next}")]
    Cut { server: String, row: String, why: String, next: String },
    #[error(
        "guard S6: {server} served the model {was} when it was asked first, and serves {is} now. Score again, if that is the one that is \
         meant; else let it serve the release's model"
    )]
    Swapped { server: String, was: String, is: String },
    #[error("cannot prepare the connection to {server}: {why}; mend 'server' in [scoring] of stratos.toml")]
    Connection { server: String, why: String },
}

/// What to start, in the words of the operator's shell.
pub(super) const START_LLAMA: &str = "Start it: llama-server -m MODEL.gguf --port 8080 -np 4 -c 16384";
pub(super) const START_OLLAMA: &str = "Start it: ollama serve";
pub(super) const START_EITHER: &str = "Start it: 'llama-server -m MODEL.gguf --port 8080 -np 4 -c 16384', or 'ollama serve'";

impl ScorerError {
    /// A server that is gone in the middle is another thing than one that was never there.
    pub(super) fn after(self, done: usize, total: usize) -> Self {
        match self {
            Self::Unreachable { server, why, start } if done > 0 => Self::Gone { server, done, total, why, start },
            other => other,
        }
    }
}
