//! What can go wrong with an Ollama. What a server says is outside text, so it is cut to one line.

use std::path::PathBuf;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum OllamaError {
    #[error("cannot prepare the connection to {server}: {why}; mend 'ollama' in [deploy] of stratos.toml")]
    Connection { server: String, why: String },
    #[error("no Ollama answers at {server}: {why}. Start it: ollama serve; or mend 'ollama' in [deploy] of stratos.toml")]
    Unreachable { server: String, why: String },
    #[error("{server}, {what}: it has said nothing for {seconds} s. Look whether it still works ('ollama ps'), then do it again")]
    Slow { server: String, what: &'static str, seconds: f64 },
    #[error("{server}, {what}: refused with {status}: {why}. {next}")]
    Refused { server: String, what: &'static str, status: u16, why: String, next: &'static str },
    #[error("{server}, {what}: it gave up: {why}. Its own log says more; what was uploaded is kept, so doing it again is quick")]
    GaveUp { server: String, what: &'static str, why: String },
    #[error("{server}, {what}: the reply cannot be read: {why}. Is it an Ollama, and is nothing between it and us?")]
    Reply { server: String, what: &'static str, why: String },
    #[error("{server} has no model {model} though it said that it made it. Look at 'ollama list', then make it again")]
    NotMade { server: String, model: String },
    #[error(
        "guard S6: {server} serves {model} as {found}, but the release is pinned to {pinned}: somebody made it anew. Make the release \
         again under its own tag, or switch to another one"
    )]
    OtherDigest { server: String, model: String, pinned: String, found: String },
    #[error(
        "guard S8: {server} read {read} tokens of a prompt that has {sent}: it cut the text. Make the model again with num_ctx {needed} at least"
    )]
    Cut { server: String, read: usize, sent: usize, needed: usize },
    #[error(
        "guard S2: {server} read {read} tokens of a prompt that has {sent}: it has another tokenizer, or put the prompt into a template. \
         Release this student's own GGUF there"
    )]
    Tokens { server: String, read: usize, sent: usize },
    #[error("the Modelfile cannot be released: {why}")]
    Modelfile { why: String },
    #[error("'{name}' is no name that Ollama takes; use letters, digits, - _ and .")]
    Name { name: String },
    #[error("cannot read {path}: {source}. Export the release again", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Weights(#[from] crate::deploy::ExportError),
    #[error("stopped; what was uploaded whole is kept")]
    Stopped,
}
