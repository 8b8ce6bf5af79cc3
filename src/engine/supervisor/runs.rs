//! A run: its phases one after the other, the job of the phase under way, and what that tells.

use std::sync::Arc;

use super::super::command::Consent;
use super::super::errand::Errand;
use super::super::event::{ApprovalRequest, Event, Level};
use super::super::job::{self, Failure, JobContext, JobControl, JobMessage, PhaseEnd};
use super::super::snapshot::{JobState, JobView};
use super::super::views;
use super::Supervisor;
use crate::domain::{Digest, Phase, PhaseState, UnixMillis, Usd, one_line};
use crate::workspace::{PhaseRecord, WorkspaceError};

/// Ended jobs that a snapshot carries.
const JOBS_KEPT: usize = 50;

/// A run in progress: what is left to do, and what was agreed to in advance.
pub(super) struct RunPlan {
    pub to: Phase,
    /// Only this phase, even if it is done.
    pub forced: Option<Phase>,
    pub consent: Consent,
    /// Phases already told about, so that "nothing to do" is said once.
    pub told: Vec<Phase>,
    /// Dollars of ceilings that the consent was used for already.
    pub granted: Usd,
    /// Not a run of phases, but this.
    pub errand: Option<Errand>,
}

impl RunPlan {
    pub fn to(to: Phase) -> Self {
        Self { to, forced: None, consent: Consent::default(), told: Vec::new(), granted: Usd::ZERO, errand: None }
    }
}

pub(super) struct LiveJob {
    pub phase: Phase,
    pub input: Digest,
    pub control: JobControl,
    pub started: UnixMillis,
}

impl Supervisor {
    pub(super) fn start_run(&mut self, plan: RunPlan) -> Result<(), WorkspaceError> {
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
    pub(super) fn advance(&mut self) -> Result<(), WorkspaceError> {
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

    pub(super) fn start_job(&mut self, phase: Phase, errand: Option<Errand>) -> Result<(), WorkspaceError> {
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
    pub(super) fn hear(&mut self, message: JobMessage) {
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

    pub(super) fn progress(&mut self, done: u64, total: u64, unit: String, message: &str) {
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

    pub(super) fn finished(&mut self, end: Result<PhaseEnd, Failure>) -> Result<(), WorkspaceError> {
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

    pub(super) fn set_job_state(&mut self, state: JobState) {
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

    pub(super) fn fail(&mut self, phase: Phase, failure: &Failure) {
        self.log(Level::Error, format!("{phase}: {} {}", failure.reason, failure.next));
        self.emit(Event::PhaseFailed { phase, reason: failure.reason.clone(), next: failure.next.clone() });
    }

    pub(super) fn end_run(&mut self, complete: bool) -> Result<(), WorkspaceError> {
        if self.run.take().is_some() {
            self.snapshot.workspace = views::workspace(&self.workspace, &self.ledger)?;
            self.emit(Event::RunEnded { complete });
        }
        Ok(())
    }

    pub(super) fn wait_for(&mut self, request: ApprovalRequest) -> Result<(), WorkspaceError> {
        self.snapshot.approval = Some(request.clone());
        self.snapshot.job = None;
        self.emit(Event::Approval { request });
        self.refresh_states()?;
        // The run is kept in mind: an approval goes on where it stopped.
        self.resume_to = self.run.as_ref().map(|r| RunPlan { errand: r.errand.clone(), ..RunPlan::to(r.to) });
        self.end_run(false)?;
        Ok(())
    }

    pub(super) fn ask_job(&mut self, state: JobState, ask: impl Fn(&JobControl)) {
        let Some(job) = &self.job else { return };
        ask(&job.control);
        if state != JobState::Running {
            self.set_job_state(state);
        }
    }
}
