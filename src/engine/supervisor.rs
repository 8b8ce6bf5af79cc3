//! The supervisor: the engine's own thread. It turns commands into jobs, jobs' news into events and the snapshot, and
//! decides what runs next. It does no long work itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::audit::AuditDesk;
use super::command::{Asked, Command, Taken};
use super::event::{Event, Level};
use super::job::{JobControl, JobMessage};
use super::snapshot::{JobState, LogLine, PhaseView, Snapshot};
use super::state::{self, Standing};
use super::{memory, scoring, views};
use crate::domain::{Article, Clock, Phase, PhaseState, ProfileId, UnixMillis};
use crate::workspace::{Backend, Ledger, Workspace, WorkspaceError};

/// Lines of log that a snapshot carries.
const LOG_LINES: usize = 500;

/// How often memory is looked at while a job runs; never when idle.
const TICK: Duration = Duration::from_secs(1);

/// What the operator decides stands in a file of its own.
mod decisions;
/// And the files that she asks for in a third.
mod reports;
/// What she says of think blocks in another.
mod reviews;
/// From one phase to the next, and what its job tells.
mod runs;

use runs::{LiveJob, RunPlan};

pub(super) struct Supervisor {
    workspace: Arc<Workspace>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    snapshot: Snapshot,
    publish: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<Event>,
    tell: mpsc::UnboundedSender<JobMessage>,
    told: mpsc::UnboundedReceiver<JobMessage>,
    job: Option<LiveJob>,
    run: Option<RunPlan>,
    /// What the run that asked for an approval was about.
    resume_to: Option<RunPlan>,
    standings: Vec<Standing>,
    jobs_started: u64,
    /// What is said while a command is taken, for who sent it.
    taking: Option<Taken>,
    memory: memory::Gauge,
    /// What there is to audit, as it was last read.
    desk: AuditDesk,
    /// When the running phase's view was last read from the ledger.
    view_read: UnixMillis,
    /// Where articles are scored; `None`: nobody asked yet.
    window: Option<scoring::Window>,
}

impl Supervisor {
    pub fn new(
        workspace: Arc<Workspace>,
        clock: Arc<dyn Clock>,
        publish: watch::Sender<Arc<Snapshot>>,
        events: broadcast::Sender<Event>,
    ) -> Result<Self, WorkspaceError> {
        let ledger = workspace.ledger()?;
        let (tell, told) = mpsc::unbounded_channel();
        let mut supervisor = Self {
            ledger,
            clock,
            snapshot: Snapshot::default(),
            publish,
            events,
            tell,
            told,
            job: None,
            run: None,
            resume_to: None,
            standings: Vec::new(),
            jobs_started: 0,
            taking: None,
            memory: memory::Gauge::new(),
            desk: AuditDesk::default(),
            view_read: UnixMillis::default(),
            window: None,
            workspace,
        };
        // A front end that goes on from another engine's counts must not take these for the same.
        supervisor.snapshot.revisions = [u64::try_from(supervisor.clock.now().0).unwrap_or_default(); 8];
        supervisor.snapshot.workspace = views::workspace(&supervisor.workspace, &supervisor.ledger)?;
        supervisor.refresh_states()?;
        supervisor.refresh_view(Phase::Profiles)?;
        supervisor.publish();
        Ok(supervisor)
    }

    /// Runs until every handle is gone, then stops the job at its next safe point.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Asked>) {
        // A console draws its first frame meanwhile.
        for phase in Phase::ALL {
            if let Err(error) = self.refresh_view(phase) {
                self.log(Level::Error, error.to_string());
            }
        }
        // What an earlier process waited for, this one waits for too.
        let distill = Phase::Distill;
        if matches!(self.standings[distill.index()].state, PhaseState::NeedsApproval(_)) {
            self.snapshot.approval = views::approval(distill, &self.workspace, &self.ledger, &self.standings);
        }
        self.snapshot.complete = true;
        self.publish();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(asked) => {
                        self.take(asked);
                        continue;
                    }
                    None => break,
                },
                message = self.told.recv() => {
                    if let Some(message) = message {
                        self.hear(message);
                        // Whatever else has arrived goes into the same snapshot.
                        while let Ok(more) = self.told.try_recv() {
                            self.hear(more);
                        }
                    }
                }
                _ = tick.tick(), if self.job.is_some() => self.look_at_machine(),
            }
            self.publish();
        }
        if let Some(job) = &self.job {
            job.control.stop();
            while self.job.is_some() {
                match self.told.recv().await {
                    Some(message) => self.hear(message),
                    None => break,
                }
            }
        }
    }

    fn look_at_machine(&mut self) {
        let training = self.job.as_ref().is_some_and(|job| job.phase == Phase::Train);
        let children = training && self.workspace.config.train.backend == Backend::External;
        self.memory.read(Arc::make_mut(&mut self.snapshot.memory), children);
    }

    fn publish(&self) {
        self.publish.send_replace(Arc::new(self.snapshot.clone()));
    }

    fn emit(&mut self, event: Event) {
        if let Event::Log { level, text } = &event {
            self.log(*level, text.clone());
        }
        if let Some(taking) = &mut self.taking {
            taking.said.push(event.clone());
        }
        // No listener is no failure: the snapshot and the ledger have the facts.
        let _ = self.events.send(event);
    }

    fn log(&mut self, level: Level, text: String) {
        match level {
            Level::Info => tracing::info!("{text}"),
            Level::Warn => tracing::warn!("{text}"),
            Level::Error => tracing::error!("{text}"),
        }
        let lines = Arc::make_mut(&mut self.snapshot.log);
        if lines.len() >= LOG_LINES {
            lines.drain(..LOG_LINES / 5);
        }
        lines.push(LogLine { at: self.clock.now(), level, text });
    }

    /// Obeys, publishes, and then tells the sender: who waits for the answer finds the snapshot changed.
    fn take(&mut self, Asked { command, answer }: Asked) {
        self.taking = answer.is_some().then(Taken::default);
        self.handle(command);
        self.publish();
        if let (Some(answer), Some(taken)) = (answer, self.taking.take()) {
            // Who does not wait any more does not need it.
            let _ = answer.send(taken);
        }
    }

    fn handle(&mut self, command: Command) {
        let label = command.label();
        if let Err(error) = self.obey(command) {
            self.emit(Event::Log { level: Level::Error, text: format!("{label}: {error}") });
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), WorkspaceError> {
        match command {
            Command::Run { to, consent } => self.start_run(RunPlan { consent, ..RunPlan::to(to) }),
            Command::Rerun { phase } => self.start_run(RunPlan { forced: Some(phase), ..RunPlan::to(phase) }),
            Command::Errand { errand } => self.start_run(RunPlan { errand: Some(errand.clone()), ..RunPlan::to(errand.phase()) }),
            Command::CancelBatches { submission } => self.cancel_batches(submission),
            Command::Settle { submission, adopt } => self.settle(submission, adopt.as_deref()),
            Command::ImportAnswers { path, partial } => self.import_answers(&path, partial),
            Command::Approve { plan, ceiling } => self.approve(&plan, ceiling),
            Command::Acknowledge { dataset } => self.acknowledge(&dataset),
            Command::Override { guard, subject, reason } => self.override_guard(guard, subject, &reason),
            Command::Pause => {
                self.ask_job(JobState::Pausing, JobControl::pause);
                Ok(())
            }
            Command::Resume => {
                self.ask_job(JobState::Running, JobControl::resume);
                Ok(())
            }
            Command::Checkpoint => {
                match self.job.as_ref().filter(|job| job.phase == Phase::Train) {
                    Some(job) => job.control.checkpoint(),
                    None => self.emit(Event::Log { level: Level::Warn, text: "no training runs that could be saved".into() }),
                }
                Ok(())
            }
            Command::Stop => {
                self.run = None;
                self.ask_job(JobState::Stopping, JobControl::stop);
                Ok(())
            }
            Command::Judge { judgement } => self.judge(judgement),
            Command::Remedy { pair, choice } => self.remedy(&pair, choice),
            Command::UndoVerdict { pair, author } => self.undo_verdict(pair.as_ref(), author),
            Command::ExportVerdicts { path } => self.export_verdicts(&path),
            Command::WriteReport { run, to } => {
                self.write_report(&run, to.as_deref());
                Ok(())
            }
            Command::SaveProfile { profile } => self.save_profile(&profile),
            Command::RemoveProfile { id } => self.remove_profile(&id),
            Command::SetSourceType { articles, source_type } => self.set_source_type(&articles, source_type),
            Command::ImportProfiles { path, only } => {
                let import = super::imports::profiles(&mut self.ledger, &path, &only)?;
                self.imported(Phase::Profiles, import)
            }
            Command::Score { profile, title, summary, source, source_type } => {
                match scoring::adhoc_article(&title, &summary, &source, source_type) {
                    Ok(article) => self.score(&profile, &article),
                    Err(failure) => self.emit(Event::Log { level: Level::Error, text: format!("score: {}", failure.reason) }),
                }
                Ok(())
            }
        }
    }

    /// Puts the question to the desk; a window whose thread is gone is opened anew.
    fn score(&mut self, profile: &ProfileId, article: &Article) {
        for _ in 0..2 {
            if self.window.is_none() {
                self.window = scoring::Window::open(self.workspace.clone(), self.tell.clone());
            }
            if self.window.as_ref().is_some_and(|window| window.ask(profile.clone(), article.clone())) {
                return;
            }
            self.window = None;
        }
        let text = "score: the system gives no thread; close something and ask again".into();
        self.emit(Event::Log { level: Level::Error, text });
    }

    fn refresh_states(&mut self) -> Result<(), WorkspaceError> {
        let live = self.job.as_ref().map(|j| j.phase);
        self.standings = state::standings(&self.workspace, &self.ledger, live)?;
        let view = |s: &Standing| PhaseView {
            phase: s.phase,
            state: s.state.clone(),
            headline: s.record.as_ref().map(|r| r.headline.clone()).unwrap_or_default(),
        };
        self.snapshot.phases = self.standings.iter().map(view).collect();
        Ok(())
    }

    fn refresh_view(&mut self, phase: Phase) -> Result<(), WorkspaceError> {
        let Self { snapshot, workspace, ledger, standings, desk, .. } = self;
        views::refresh(phase, snapshot, workspace, ledger, standings, desk)
    }
}
