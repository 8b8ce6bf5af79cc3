//! The engine behind a socket: it outlives the screen, and a front end does not know the difference.
//!
//! ```text
//! front end ─ EngineHandle ─ client ══ socket ══ server ─ EngineHandle ─ engine
//!                                protocol: frames; difference: the snapshot by its parts; outbox: what a slow reader misses
//! place: where the socket is      spawn: starting, finding and ending the process
//! ```
//! Owns the way between two processes. What commands mean is the supervisor's; what is drawn is the front end's.

mod client;
mod difference;
mod outbox;
mod place;
mod protocol;
mod server;
mod spawn;

use std::path::PathBuf;

use thiserror::Error;

pub use client::{Link, attach, look};
pub use difference::Part;
pub use protocol::{Farewell, Greeting, Kind, Wish};
pub use server::Server;
pub use spawn::{Found, attach_or_start, end, find, run};

use crate::workspace::WorkspaceError;

/// Why there is no way to the engine, and what to do.
#[derive(Debug, Error)]
pub enum RemoteError {
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error("no engine runs in this workspace; start one with 'stratos', or run phases with 'stratos run'")]
    NoEngine,
    #[error("cannot {act} the engine's socket {}: {source}. {remedy}", path.display())]
    Socket { act: &'static str, path: PathBuf, source: std::io::Error, remedy: &'static str },
    #[error("{folder} for the engine's socket belongs to somebody else, or others may write to it. Remove it, or set XDG_RUNTIME_DIR to a folder of your own", folder = .folder.display())]
    Unsafe { folder: PathBuf },
    #[error(
        "the engine of this workspace (process {pid}) is another build of StratOS ({theirs}; this is {ours}) and is not idle: {busy}. \
         Let it finish, or end it at its next checkpoint with 'stratos engine stop'; then start again"
    )]
    OtherBuild { pid: u32, theirs: String, ours: String, busy: String },
    #[error("the engine (process {pid}) refused: {why}")]
    Refused { pid: u32, why: String },
    #[error("the engine's socket said what no engine says ({why}). Look at who holds it: {}", path.display())]
    Garbled { path: PathBuf, why: String },
    #[error("the engine did not start: {why}. Its log is {}", log.display())]
    NotStarted { why: String, log: PathBuf },
}

impl RemoteError {
    fn socket(act: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let remedy = match source.kind() {
            K::PermissionDenied => "It belongs to who started the engine; work as that user, or in a copy of the workspace",
            K::TimedOut | K::WouldBlock => {
                "The engine does not answer; see 'stratos engine status', or end it with 'stratos engine stop --now'"
            }
            _ => "Try again; nothing recorded is lost",
        };
        Self::Socket { act, path: path.to_owned(), source, remedy }
    }
}

#[cfg(test)]
mod tests;
