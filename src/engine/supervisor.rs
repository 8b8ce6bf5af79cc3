//! The supervisor: the engine's own thread. It turns commands into jobs, jobs' news into events and the snapshot, and
//! decides what runs next. It does no long work itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::audit::AuditDesk;
use super::command::{Asked, Command, Consent, Taken};
use super::errand::Errand;
use super::event::{ApprovalRequest, Event, Level};
use super::job::{self, Failure, JobContext, JobControl, JobMessage, PhaseEnd};
use super::snapshot::{JobState, JobView, LogLine, PhaseView, Snapshot};
use super::state::{self, Standing};
use super::{memory, scoring, views};
use crate::domain::{Article, Clock, Digest, Phase, PhaseState, ProfileId, UnixMillis, Usd, one_line};
use crate::workspace::{Backend, Ledger, PhaseRecord, Workspace, WorkspaceError};

/// Lines of log that a snapshot carries.
const LOG_LINES: usize = 500;

/// Ended jobs that a snapshot carries.
const JOBS_KEPT: usize = 50;

/// How often memory is looked at while a job runs; never when idle.
const TICK: Duration = Duration::from_secs(1);

/// A run in progress: what is left to do, and what was agreed to in advance.
struct RunPlan {
    to: Phase,
    /// Only this phase, even if it is done.
    forced: Option<Phase>,
    consent: Consent,
    /// Phases already told about, so that "nothing to do" is said once.
    told: Vec<Phase>,
    /// Dollars of ceilings that the consent was used for already.
    granted: Usd,
    /// Not a run of phases, but this.
    errand: Option<Errand>,
}

impl RunPlan {
    fn to(to: Phase) -> Self {
        Self { to, forced: None, consent: Consent::default(), told: Vec::new(), granted: Usd::ZERO, errand: None }
    }
}

struct LiveJob {
    phase: Phase,
    input: Digest,
    control: JobControl,
    started: UnixMillis,
}

/// What the operator decides stands in a file of its own.
mod decisions;
/// And the files that she asks for in a third.
mod reports;
/// What she says of think blocks in another.
mod reviews;

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

    fn start_run(&mut self, plan: RunPlan) -> Result<(), WorkspaceError> {
        if let Some(job) = &self.job {
            let text = format!("{} is still running; stop it first, or wait", job.phase);
            if let Some(taking) = &mut self.taking {
                taking.refused = Some(text.clone());
            }
            self.emit(Event::Log { level: Level::Warn, text });
            return Ok(());
        }
        self.snapshot.approval = None;
        if plan.errand.is_some() {
            // Another front end's plan would be taken for this one's.
            self.snapshot.planned = None;
        }
        self.run = Some(plan);
        self.refresh_states()?;
        self.advance()
    }

    /// Starts the next phase of the run, or ends it.
    fn advance(&mut self) -> Result<(), WorkspaceError> {
        loop {
            let Some(run) = &mut self.run else { return Ok(()) };
            if let Some(errand) = run.errand.clone() {
                let sources = [Phase::Profiles, Phase::Articles];
                let open = |p: &Phase| errand.needs_sources() && self.standings[p.index()].state != PhaseState::Done;
                let missing = sources.into_iter().find(open);
                return match missing {
                    Some(phase) if !run.told.contains(&phase) => self.start_job(phase, None),
                    _ => self.start_job(errand.phase(), Some(errand)),
                };
            }
            let forced = run.forced;
            let pending = run.to.up_to().find(|p| self.standings[p.index()].state != PhaseState::Done || forced == Some(*p));
            let until = pending.unwrap_or(Phase::Deploy);
            let kept: Vec<Phase> =
                run.to.up_to().filter(|p| (*p < until || pending.is_none()) && !run.told.contains(p)).collect();
            run.told.extend(&kept);
            for phase in kept {
                let headline = self.standings[phase.index()].record.as_ref().map(|r| r.headline.clone()).unwrap_or_default();
                self.emit(Event::PhaseKept { phase, headline });
            }
            let Some(phase) = pending else { return self.end_run(true) };
            match self.standings[phase.index()].state.clone() {
                PhaseState::Locked(why) => {
                    self.fail(phase, &Failure::new(why, "Run the earlier phases first."));
                    return self.end_run(false);
                }
                PhaseState::NeedsApproval(_) => {
                    let Some(request) = views::approval(phase, &self.workspace, &self.ledger, &self.standings) else {
                        return self.start_job(phase, None);
                    };
                    if !self.consented(&request)? {
                        return self.wait_for(request);
                    }
                    self.refresh_states()?;
                }
                _ => return self.start_job(phase, None),
            }
        }
    }

    fn start_job(&mut self, phase: Phase, errand: Option<Errand>) -> Result<(), WorkspaceError> {
        let own = || errand.as_ref().and_then(Errand::own_input);
        let Some(input) = self.standings[phase.index()].input.clone().or_else(own) else {
            self.fail(phase, &Failure::new("its inputs are missing", "Run the earlier phases first."));
            return self.end_run(false);
        };
        let control = JobControl::new();
        let context = JobContext {
            workspace: self.workspace.clone(),
            ledger: self.workspace.ledger()?,
            clock: self.clock.clone(),
            phase,
            errand,
            control: control.clone(),
            tell: self.tell.clone(),
        };
        let now = self.clock.now();
        if let Some(run) = &mut self.run {
            run.told.push(phase);
            run.forced = None;
        }
        let then = self.run.as_ref().map(|r| r.to.up_to().filter(|p| *p > phase).collect()).unwrap_or_default();
        self.jobs_started += 1;
        self.snapshot.job = Some(JobView {
            id: self.jobs_started,
            phase,
            state: JobState::Running,
            done: 0,
            total: 0,
            unit: String::new(),
            message: String::new(),
            started: now,
            heartbeat: now,
            then,
        });
        self.job = Some(LiveJob { phase, input: input.clone(), control, started: now });
        Arc::make_mut(&mut self.snapshot.memory).peak = 0;
        self.emit(Event::PhaseStarted { phase });
        self.refresh_states()?;
        job::spawn(context, input)
    }

    /// Takes a job's message into the snapshot.
    fn hear(&mut self, message: JobMessage) {
        let now = self.clock.now();
        if let Some(view) = &mut self.snapshot.job {
            view.heartbeat = now;
        }
        let taken = match message {
            JobMessage::Event(event) => {
                if let Event::Scored(scored) = &event {
                    Arc::make_mut(&mut self.snapshot.deploy).last_score = views::scored_lines(scored);
                }
                self.emit(event);
                Ok(())
            }
            JobMessage::State(state) => {
                if let Some(view) = &mut self.snapshot.job {
                    view.state = state;
                }
                Ok(())
            }
            JobMessage::Progress { done, total, unit, message } => {
                self.progress(done, total, unit, &message);
                Ok(())
            }
            JobMessage::Refresh(phase) => self.refresh_view(phase),
            JobMessage::Train(update) => {
                for text in Arc::make_mut(&mut self.snapshot.train).apply(update, now) {
                    self.emit(Event::Log { level: Level::Warn, text });
                }
                Ok(())
            }
            JobMessage::Planned(plan) => {
                self.snapshot.planned = Some(Arc::new(*plan));
                Ok(())
            }
            JobMessage::Finished(end) => self.finished(end),
        };
        if let Err(error) = taken {
            self.emit(Event::Log { level: Level::Error, text: error.to_string() });
        }
    }

    fn progress(&mut self, done: u64, total: u64, unit: String, message: &str) {
        let Some(job) = &self.job else { return };
        let phase = job.phase;
        let text = one_line(message, 200);
        if let Some(view) = &mut self.snapshot.job {
            (view.done, view.total, view.unit, view.message) = (done, total, unit.clone(), text.clone());
        }
        // Reading the whole view costs more than a look at a batch: twice a second is enough for eyes.
        let due = self.clock.now().seconds_since(self.view_read) > 0.5;
        if phase == Phase::Distill && due {
            self.view_read = self.clock.now();
            if let Err(error) = self.refresh_view(phase) {
                self.log(Level::Error, error.to_string());
            }
        }
        self.emit(Event::Progress { phase, done, total, unit, message: text });
    }

    fn finished(&mut self, end: Result<PhaseEnd, Failure>) -> Result<(), WorkspaceError> {
        let Some(job) = self.job.take() else { return Ok(()) };
        let phase = job.phase;
        let seconds = self.clock.now().seconds_since(job.started);
        let state = match end {
            Ok(PhaseEnd::Done { output, headline }) => {
                let at = self.clock.now();
                let record = PhaseRecord { phase, input: job.input, output, headline: headline.clone(), at, seconds };
                self.ledger.record_phase(&record)?;
                self.refresh_states()?;
                self.refresh_view(phase)?;
                if matches!(phase, Phase::Distill | Phase::Validate) {
                    // There are other think blocks to read now.
                    self.refresh_view(Phase::Audit)?;
                }
                self.emit(Event::PhaseDone { phase, headline, seconds });
                self.set_job_state(JobState::Done);
                return self.advance();
            }
            Ok(PhaseEnd::NeedsApproval(request)) => {
                self.snapshot.job = None;
                self.refresh_states()?;
                self.refresh_view(phase)?;
                if self.run.is_some() && self.consented(&request)? {
                    self.refresh_states()?;
                    return self.advance();
                }
                return self.wait_for(request);
            }
            Ok(PhaseEnd::Aside { headline }) => {
                self.emit(Event::Log { level: Level::Info, text: headline });
                self.set_job_state(JobState::Done);
                self.refresh_states()?;
                self.refresh_view(phase)?;
                return self.end_run(true);
            }
            Ok(PhaseEnd::Stopped) => {
                self.emit(Event::PhaseStopped { phase });
                JobState::Stopped
            }
            Err(failure) => {
                self.fail(phase, &failure);
                JobState::Failed { reason: failure.reason, next: failure.next }
            }
        };
        self.set_job_state(state);
        self.refresh_states()?;
        self.refresh_view(phase)?;
        self.end_run(false)
    }

    fn set_job_state(&mut self, state: JobState) {
        let now = self.clock.now();
        if let Some(view) = &mut self.snapshot.job {
            (view.state, view.heartbeat) = (state, now);
            if !view.state.is_live() {
                let jobs = Arc::make_mut(&mut self.snapshot.jobs);
                jobs.push(view.clone());
                let surplus = jobs.len().saturating_sub(JOBS_KEPT);
                jobs.drain(..surplus);
            }
        }
    }

    fn fail(&mut self, phase: Phase, failure: &Failure) {
        self.log(Level::Error, format!("{phase}: {} {}", failure.reason, failure.next));
        self.emit(Event::PhaseFailed { phase, reason: failure.reason.clone(), next: failure.next.clone() });
    }

    fn end_run(&mut self, complete: bool) -> Result<(), WorkspaceError> {
        if self.run.take().is_some() {
            self.snapshot.workspace = views::workspace(&self.workspace, &self.ledger)?;
            self.emit(Event::RunEnded { complete });
        }
        Ok(())
    }

    fn wait_for(&mut self, request: ApprovalRequest) -> Result<(), WorkspaceError> {
        self.snapshot.approval = Some(request.clone());
        self.snapshot.job = None;
        self.emit(Event::Approval { request });
        self.refresh_states()?;
        // The run is kept in mind: an approval goes on where it stopped.
        self.resume_to = self.run.as_ref().map(|r| RunPlan { errand: r.errand.clone(), ..RunPlan::to(r.to) });
        self.end_run(false)?;
        Ok(())
    }

    fn ask_job(&mut self, state: JobState, ask: impl Fn(&JobControl)) {
        let Some(job) = &self.job else { return };
        ask(&job.control);
        if state != JobState::Running {
            self.set_job_state(state);
        }
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
