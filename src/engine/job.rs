//! Jobs: one thread each, asked to pause and stop, confirmed only by the worker.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::errand::Errand;
use super::event::{Event, Level};
use super::snapshot::{JobState, PlanView};
use super::train_view::TrainUpdate;
use crate::domain::{Clock, Conduct, Digest, Finding, Gate, Phase};
use crate::guards;
use crate::train;
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// What a job's thread tells the supervisor.
pub(super) enum JobMessage {
    Event(Event),
    State(JobState),
    Progress {
        done: u64,
        total: u64,
        unit: String,
        message: String,
    },
    /// Rows of this phase changed; its view is to be read again.
    Refresh(Phase),
    Train(TrainUpdate),
    /// A plan was made or found.
    Planned(Box<PlanView>),
    Finished(Result<PhaseEnd, Failure>),
}

/// How a phase ended.
#[derive(Debug)]
pub(super) enum PhaseEnd {
    Done {
        output: Digest,
        headline: String,
    },
    NeedsApproval(super::event::ApprovalRequest),
    /// An errand came to its end; no phase is recorded.
    Aside {
        headline: String,
    },
    Stopped,
}

/// Why a phase failed and what to do about it.
#[derive(Debug, Clone)]
pub struct Failure {
    pub reason: String,
    pub next: String,
}

impl Failure {
    pub fn new(reason: impl Into<String>, next: impl Into<String>) -> Self {
        Self { reason: reason.into(), next: next.into() }
    }
}

/// Errors of the phases carry their remedy in their words; what remains is how to go on.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string(), "Run the phase again once the cause is mended; nothing recorded is lost.")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    Pause,
    Stop,
}

/// What is wished of a job, and whether its training is to be saved at its next step.
#[derive(Debug, Clone, Copy)]
struct Asked {
    wish: Wish,
    checkpoint: bool,
}

/// The supervisor's hand on a running job.
#[derive(Clone)]
pub(super) struct JobControl {
    shared: Arc<(Mutex<Asked>, Condvar)>,
}

impl JobControl {
    pub fn new() -> Self {
        Self { shared: Arc::new((Mutex::new(Asked { wish: Wish::Run, checkpoint: false }), Condvar::new())) }
    }

    fn set(&self, wish: Wish) {
        let mut held = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A stop is final: a later resume does not take it back.
        if held.wish != Wish::Stop {
            held.wish = wish;
        }
        self.shared.1.notify_all();
    }

    pub fn pause(&self) {
        self.set(Wish::Pause);
    }

    pub fn resume(&self) {
        self.set(Wish::Run);
    }

    pub fn stop(&self) {
        self.set(Wish::Stop);
    }

    /// Asks a training for a checkpoint at its next step, or now if it is paused.
    pub fn checkpoint(&self) {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).checkpoint = true;
        self.shared.1.notify_all();
    }

    /// The worker's side: waits while paused, and says so.
    fn wait(&self, on_state: impl Fn(JobState)) -> Gate {
        match self.wait_or_save(on_state, false) {
            train::Gate::Stop => Gate::Stop,
            train::Gate::Continue | train::Gate::Checkpoint => Gate::Continue,
        }
    }

    /// [`Self::wait`] of a training, which a wish for a checkpoint wakes; it comes back to wait on.
    fn wait_or_save(&self, on_state: impl Fn(JobState), saves: bool) -> train::Gate {
        let mut asked = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let save = |asked: &Asked| saves && asked.checkpoint && asked.wish != Wish::Stop;
        if asked.wish == Wish::Pause && !save(&asked) {
            on_state(JobState::Paused);
            while asked.wish == Wish::Pause && !save(&asked) {
                asked = self.shared.1.wait(asked).unwrap_or_else(PoisonError::into_inner);
            }
            if asked.wish == Wish::Run {
                on_state(JobState::Running);
            }
        }
        if save(&asked) {
            asked.checkpoint = false;
            return train::Gate::Checkpoint;
        }
        if asked.wish == Wish::Stop { train::Gate::Stop } else { train::Gate::Continue }
    }
}

/// What a phase works with.
pub(super) struct JobContext {
    pub workspace: Arc<Workspace>,
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub phase: Phase,
    pub errand: Option<Errand>,
    pub control: JobControl,
    pub tell: UnboundedSender<JobMessage>,
}

impl JobContext {
    pub fn send(&self, message: JobMessage) {
        // The supervisor is gone only while the process ends; then nobody needs the news.
        let _ = self.tell.send(message);
    }

    /// A training's gate before its next step.
    pub fn training_gate(&self) -> train::Gate {
        self.control.wait_or_save(|state| self.send(JobMessage::State(state)), true)
    }

    pub fn event(&self, event: Event) {
        self.send(JobMessage::Event(event));
    }

    pub fn log(&self, level: Level, text: impl Into<String>) {
        self.event(Event::Log { level, text: text.into() });
    }

    /// Records and tells what guards saw, and refuses to go on past a failed stop guard that nobody overrode.
    pub fn hold(&mut self, subject: &Digest, findings: &[Finding]) -> Result<(), Failure> {
        self.ledger.put_findings(self.phase, subject, findings, self.clock.now())?;
        let mut stops = Vec::new();
        for finding in findings {
            self.event(Event::Finding { phase: self.phase, finding: finding.clone() });
            let stop = guards::guard(&finding.guard).is_none_or(|g| g.severity == guards::Severity::Stop);
            if finding.failed() && stop && self.ledger.override_of(&finding.guard, subject)?.is_none() {
                stops.push(finding);
            }
        }
        self.send(JobMessage::Refresh(self.phase));
        let Some(first) = stops.first() else { return Ok(()) };
        let how = format!("stratos guards override {} --phase {} --reason \"…\"", first.guard, self.phase);
        Err(Failure::new(
            format!("guard {}: {}", first.guard, first.saw),
            format!("{} Or override it with a written reason: {how}", first.remedy),
        ))
    }
}

impl Conduct for JobContext {
    fn gate(&mut self) -> Gate {
        self.control.wait(|state| self.send(JobMessage::State(state)))
    }

    fn progress(&mut self, done: u64, total: u64, unit: &str, message: &str) {
        self.send(JobMessage::Progress { done, total, unit: unit.into(), message: message.into() });
    }

    fn warn(&mut self, text: String) {
        self.log(Level::Warn, text);
    }
}

/// A test has no honest way to make a job panic in another process; this is its dishonest one.
fn told_to_panic(phase: Phase) -> bool {
    std::env::var("STRATOS_PANIC_IN").is_ok_and(|name| name == phase.id())
}

/// Starts a phase on its own named thread. A panic becomes a failure; the engine and the screen stay.
pub(super) fn spawn(mut context: JobContext, input: Digest) -> Result<(), WorkspaceError> {
    let tell = context.tell.clone();
    let name = format!("job-{}", context.phase);
    let work = move || {
        let run = std::panic::AssertUnwindSafe(|| {
            assert!(!told_to_panic(context.phase), "as STRATOS_PANIC_IN says");
            super::phases::run(&mut context, &input)
        });
        let end = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
            let what = what.unwrap_or_else(|| "no message".into());
            Err(Failure::new(
                format!("the job panicked: {what}"),
                "This is a fault of StratOS; the log in .stratos/logs has the place.",
            ))
        });
        let _ = tell.send(JobMessage::Finished(end));
    };
    let failed = |source| WorkspaceError::io("start a thread in", std::path::Path::new("."), source);
    std::thread::Builder::new().name(name).spawn(work).map(|_| ()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_pause_is_confirmed_by_the_worker_and_a_resume_lets_it_go_on() {
        let control = JobControl::new();
        control.pause();
        let (tell, told) = mpsc::channel();
        let worker = control.clone();
        let thread = std::thread::spawn(move || worker.wait(|state| tell.send(state).expect("listened to")));
        assert_eq!(told.recv(), Ok(JobState::Paused));
        control.resume();
        assert_eq!(told.recv(), Ok(JobState::Running));
        assert_eq!(thread.join().expect("ends"), Gate::Continue);
    }

    #[test]
    fn a_checkpoint_is_asked_for_once_also_of_a_paused_training_and_of_no_other_job() {
        let control = JobControl::new();
        control.checkpoint();
        assert_eq!(control.wait(|_| ()), Gate::Continue);
        assert_eq!(control.wait_or_save(|_| (), true), train::Gate::Checkpoint);
        assert_eq!(control.wait_or_save(|_| (), true), train::Gate::Continue);
        control.pause();
        control.checkpoint();
        let said = |_| panic!("neither paused nor running is news");
        assert_eq!(control.wait_or_save(said, true), train::Gate::Checkpoint);
        control.checkpoint();
        control.stop();
        assert_eq!(control.wait_or_save(|_| (), true), train::Gate::Stop, "a stop saves by itself");
    }

    #[test]
    fn a_stop_is_final_and_wakes_a_paused_worker() {
        let control = JobControl::new();
        control.pause();
        control.stop();
        control.resume();
        assert_eq!(control.wait(|_| ()), Gate::Stop);
    }
}
