//! The desk behind the console's `n`: a thread that keeps its model for the next question, and lets it go when nobody asks.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::super::event::{Event, Level};
use super::super::job::{Failure, JobMessage};
use super::desk::{Desk, DeskOptions};
use crate::domain::{Article, Phase, ProfileId};
use crate::workspace::Workspace;

/// Without a question for so long, the model's memory is given back.
const IDLE: Duration = Duration::from_secs(120);

/// Where questions are put; its thread ends with it.
pub(in crate::engine) struct Window {
    ask: Sender<(ProfileId, Article)>,
}

impl Window {
    /// `None`: the system gives no thread.
    pub fn open(workspace: Arc<Workspace>, tell: UnboundedSender<JobMessage>) -> Option<Self> {
        let (ask, asked) = channel();
        let work = move || attend(&workspace, &asked, &tell);
        std::thread::Builder::new().name("score".into()).spawn(work).ok().map(|_| Self { ask })
    }

    /// False: the thread is gone.
    pub fn ask(&self, profile: ProfileId, article: Article) -> bool {
        self.ask.send((profile, article)).is_ok()
    }
}

fn attend(workspace: &Arc<Workspace>, asked: &Receiver<(ProfileId, Article)>, tell: &UnboundedSender<JobMessage>) {
    // The listener is gone only while the process ends.
    let say = |message: JobMessage| drop(tell.send(message));
    let mut desk = None;
    loop {
        let question = match asked.recv_timeout(IDLE) {
            Ok(question) => question,
            Err(RecvTimeoutError::Timeout) => {
                desk = None;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match score(workspace, &mut desk, question) {
            Ok(event) => {
                say(JobMessage::Event(event));
                say(JobMessage::Refresh(Phase::Deploy));
            }
            Err(failure) => {
                desk = None;
                let text = format!("score: {}. {}", failure.reason, failure.next);
                say(JobMessage::Event(Event::Log { level: Level::Error, text }));
            }
        }
    }
}

fn score(workspace: &Arc<Workspace>, desk: &mut Option<Desk>, question: (ProfileId, Article)) -> Result<Event, Failure> {
    let desk = match desk {
        Some(desk) => desk,
        None => desk.insert(Desk::open(workspace.clone(), workspace.ledger()?, DeskOptions::default())?),
    };
    let mut answer = None;
    desk.score(&[question], &mut |scored| {
        answer = Some(scored);
        ControlFlow::Continue(())
    })?;
    let nothing = || Failure::new("nothing was answered", "Ask again.");
    Ok(Event::Scored(Box::new(answer.ok_or_else(nothing)?)))
}
