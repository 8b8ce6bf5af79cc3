//! The library's threads: one for what is read at once, one for what takes seconds.
//!
//! Owns the queues and which waiting questions are passed over for newer ones; what is read is the [`Library`]'s.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Answer, Library, Query, SharedIndex};
use crate::workspace::{Workspace, WorkspaceError};

/// An answer with its question; `None`: passed over for a newer question of the same kind.
pub type Answered = (Query, Option<Result<Answer, String>>);

/// A front end's end of the library. Dropped, its threads end after the question they are at.
pub struct Reading {
    quick: Sender<Query>,
    slow: Sender<Query>,
    answers: UnboundedReceiver<Answered>,
}

impl Reading {
    pub fn start(workspace: &Arc<Workspace>) -> Result<Self, WorkspaceError> {
        let (tell, answers) = unbounded_channel();
        let index = SharedIndex::default();
        let quick = desk("library", Library::beside(workspace.clone(), index.clone())?, workspace, tell.clone())?;
        let slow = desk("library-slow", Library::beside(workspace.clone(), index)?, workspace, tell)?;
        Ok(Self { quick, slow, answers })
    }

    pub fn ask(&self, query: Query) {
        let desk = if query.is_slow() { &self.slow } else { &self.quick };
        // A desk that is gone has panicked, and the log says so; its questions stay open.
        let _ = desk.send(query);
    }

    /// The next answer. Never ends while this lives.
    pub async fn answered(&mut self) -> Option<Answered> {
        self.answers.recv().await
    }
}

fn desk(
    name: &str,
    library: Library,
    workspace: &Workspace,
    tell: UnboundedSender<Answered>,
) -> Result<Sender<Query>, WorkspaceError> {
    let (ask, asked) = channel();
    let work = move || sit(library, &asked, &tell);
    let failed = |source| WorkspaceError::io("start the library's thread in", workspace.root(), source);
    thread::Builder::new().name(name.into()).spawn(work).map_err(failed)?;
    Ok(ask)
}

fn sit(mut library: Library, asked: &Receiver<Query>, tell: &UnboundedSender<Answered>) {
    let mut waiting: Vec<Query> = Vec::new();
    loop {
        if waiting.is_empty() {
            match asked.recv() {
                Ok(query) => waiting.push(query),
                Err(_) => return,
            }
        }
        waiting.extend(asked.try_iter());
        let query = waiting.remove(0);
        let passed_over = waiting.iter().any(|newer| query.is_superseded_by(newer));
        let answer = (!passed_over).then(|| library.answer(&query));
        if tell.send((query, answer)).is_err() {
            return;
        }
    }
}
