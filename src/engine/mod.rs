//! The engine: takes [`Command`]s, runs one job at a time, publishes [`Event`]s and a [`Snapshot`].
//!
//! Owns the life of jobs and the state of phases. Draws nothing and knows no terminal; the work itself is the phases'.

mod command;
mod event;
mod snapshot;

pub use command::{Command, Consent, Verdict};
pub use event::{ApprovalRequest, Event, Level};
pub use snapshot::*;

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, watch};

/// A front end's end of the engine: cheap to clone, nothing in it blocks.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    commands: mpsc::UnboundedSender<Command>,
    events: broadcast::Sender<Event>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

impl EngineHandle {
    /// Sends a command; false if the engine is gone.
    pub fn send(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Changes arrive by `changed().await`; `borrow()` is the newest state.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }
}
