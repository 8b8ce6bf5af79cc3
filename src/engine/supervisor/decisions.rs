//! What the operator decides: approvals, acknowledgements, overrides, cancellations, settlements, imports.

use std::path::Path;

use super::super::errand::Errand;
use super::super::event::{ApprovalRequest, Event, Level};
use super::super::{imports, sources_edit, views};
use super::{RunPlan, Supervisor};
use crate::distill::Approval;
use crate::domain::{ArticleId, Digest, Phase, Profile, ProfileId, SourceType, Usd, one_line};
use crate::workspace::{Cancel, Override, SubmissionState, WorkspaceError};
use std::sync::Arc;

impl Supervisor {
    /// Gives what the run's consent covers; false if the operator has to be asked.
    pub(super) fn consented(&mut self, request: &ApprovalRequest) -> Result<bool, WorkspaceError> {
        let consent = self.run.as_ref().map(|r| r.consent).unwrap_or_default();
        match request {
            ApprovalRequest::Spend { plan, p95, worst, .. } => {
                let granted = self.run.as_ref().map(|r| r.granted).unwrap_or_default();
                let Some(left) = consent.spend_up_to.map(|all| if all > granted { all - granted } else { Usd::ZERO }) else {
                    return Ok(false);
                };
                if *p95 > left {
                    return Ok(false);
                }
                // What one plan may use, the next one of the same run may not.
                let ceiling = left.min(*worst);
                if let Some(run) = &mut self.run {
                    run.granted += ceiling;
                }
                self.record_approval(plan, ceiling)?;
                Ok(true)
            }
            ApprovalRequest::Dataset { dataset, .. } if consent.dataset => {
                self.ledger.acknowledge(dataset, self.clock.now())?;
                self.refresh_view(Phase::Dataset)?;
                Ok(true)
            }
            ApprovalRequest::Dataset { .. } => Ok(false),
        }
    }

    fn record_approval(&mut self, plan: &Digest, ceiling: Usd) -> Result<(), WorkspaceError> {
        match Approval::confirm(&mut self.ledger, plan, ceiling, self.clock.now()) {
            Ok(approval) => {
                let text = format!("plan {} approved up to {}", approval.plan().short(), approval.ceiling());
                self.emit(Event::Log { level: Level::Info, text });
                self.refresh_view(Phase::Distill)
            }
            Err(crate::distill::DistillError::Workspace(error)) => Err(error),
            Err(other) => {
                self.emit(Event::Log { level: Level::Error, text: other.to_string() });
                Ok(())
            }
        }
    }

    pub(super) fn approve(&mut self, plan: &Digest, ceiling: Usd) -> Result<(), WorkspaceError> {
        let newest = match self.ledger.plan(plan)? {
            Some(row) if row.void.is_none() && row.kind == "articles" => Some(row.digest),
            Some(row) if row.void.is_none() => self.ledger.plan_for(&row.input)?.map(|p| p.digest),
            _ => None,
        };
        if newest.as_ref() != Some(plan) {
            let text = format!("plan {} is not a current plan; look at the new one before approving", plan.short());
            self.emit(Event::Log { level: Level::Error, text });
            return Ok(());
        }
        self.record_approval(plan, ceiling)?;
        self.go_on()
    }

    pub(super) fn acknowledge(&mut self, dataset: &Digest) -> Result<(), WorkspaceError> {
        let current = self.standings[Phase::Dataset.index()].record.as_ref().map(|r| r.output.clone());
        if current.as_ref() != Some(dataset) {
            let text = format!("dataset {} is not the current one; read the new statistics first", dataset.short());
            self.emit(Event::Log { level: Level::Error, text });
            return Ok(());
        }
        self.ledger.acknowledge(dataset, self.clock.now())?;
        self.refresh_view(Phase::Dataset)?;
        self.go_on()
    }

    /// After an approval the run that asked for it goes on.
    pub(super) fn go_on(&mut self) -> Result<(), WorkspaceError> {
        self.snapshot.approval = None;
        self.refresh_states()?;
        match self.resume_to.take() {
            Some(run) if matches!(run.errand, Some(Errand::Plan { .. })) => Ok(()),
            Some(run) => self.start_run(RunPlan { told: Phase::ALL.to_vec(), ..run }),
            None => Ok(()),
        }
    }

    pub(super) fn override_guard(&mut self, guard: String, subject: Digest, reason: &str) -> Result<(), WorkspaceError> {
        let reason = one_line(reason, 500);
        if reason.is_empty() || crate::guards::guard(&guard).is_none() {
            let text = if reason.is_empty() {
                "an override needs a written reason".into()
            } else {
                format!("there is no guard '{guard}'")
            };
            self.emit(Event::Log { level: Level::Error, text });
            return Ok(());
        }
        let text = format!("guard {guard} overridden for {}: {reason}", subject.short());
        self.ledger.override_guard(&Override { guard, subject, reason }, self.clock.now())?;
        self.emit(Event::Log { level: Level::Warn, text });
        self.snapshot.findings = Arc::new(views::findings(&self.ledger)?);
        Ok(())
    }

    pub(super) fn save_profile(&mut self, profile: &Profile) -> Result<(), WorkspaceError> {
        sources_edit::save_profile(&self.workspace, &mut self.ledger, profile)?;
        self.edited(Phase::Profiles, format!("reader {} is saved", profile.id))
    }

    pub(super) fn remove_profile(&mut self, id: &ProfileId) -> Result<(), WorkspaceError> {
        let text = match sources_edit::remove_profile(&self.workspace, &mut self.ledger, id)? {
            Some(_) => format!("reader {id} is removed"),
            None => format!("there is no reader {id}"),
        };
        self.edited(Phase::Profiles, text)
    }

    pub(super) fn set_source_type(&mut self, ids: &[ArticleId], kind: SourceType) -> Result<(), WorkspaceError> {
        let changed = sources_edit::set_source_type(&self.workspace, &mut self.ledger, ids, kind)?;
        self.edited(Phase::Articles, format!("{changed} articles are now {kind}"))
    }

    fn edited(&mut self, phase: Phase, text: String) -> Result<(), WorkspaceError> {
        self.emit(Event::Log { level: Level::Info, text });
        self.refresh_states()?;
        self.refresh_view(phase)
    }

    pub(super) fn imported(&mut self, phase: Phase, import: Event) -> Result<(), WorkspaceError> {
        self.emit(import);
        self.refresh_states()?;
        self.refresh_view(phase)
    }

    /// Cancels open batches. The provider is told by the job that watches them, or by one started for it.
    fn cancel_batches_marked(&mut self, submission: Option<i64>) -> Result<usize, WorkspaceError> {
        let open = self.ledger.open_submissions()?;
        let chosen: Vec<_> = open.into_iter().filter(|s| submission.is_none_or(|id| id == s.id)).collect();
        for batch in &chosen {
            self.ledger.set_cancel(batch.id, Cancel::Asked)?;
            if submission.is_none() {
                self.ledger.void_plan(&batch.plan, "cancelled by the operator")?;
            }
        }
        Ok(chosen.len())
    }

    pub(super) fn cancel_batches(&mut self, submission: Option<i64>) -> Result<(), WorkspaceError> {
        let count = self.cancel_batches_marked(submission)?;
        if count == 0 {
            self.emit(Event::Log { level: Level::Warn, text: "no such batch is open; nothing to cancel".into() });
            self.emit(Event::RunEnded { complete: true });
            return Ok(());
        }
        let text = format!("{count} batches are cancelled; what the provider answered by then is billed, kept and imported");
        self.emit(Event::Log { level: Level::Info, text });
        self.refresh_view(Phase::Distill)?;
        if self.job.is_some() {
            return Ok(());
        }
        self.start_run(RunPlan { errand: Some(Errand::Tend), ..RunPlan::to(Phase::Distill) })
    }

    pub(super) fn settle(&mut self, submission: i64, adopt: Option<&str>) -> Result<(), WorkspaceError> {
        let Some(row) = self.ledger.submission(submission)?.filter(|s| s.state.is_open()) else {
            let text = format!("submission {submission} is not open; see 'stratos distill batches'");
            self.emit(Event::Log { level: Level::Error, text });
            return Ok(());
        };
        if row.remote.as_deref() == Some(crate::distill::ONE_BY_ONE) {
            let text = format!(
                "submission {submission} is asked one by one: run the phase to end it, or 'stratos distill cancel {submission}'"
            );
            self.emit(Event::Log { level: Level::Error, text });
            return Ok(());
        }
        let now = self.clock.now();
        let text = if let Some(remote) = adopt {
            self.ledger.set_submission(submission, SubmissionState::Submitted, Some(remote), None, now)?;
            format!("submission {submission} is batch {remote} now; its ids are checked when its results arrive")
        } else {
            match crate::distill::give_up(&mut self.ledger, &row, now) {
                Ok(()) => format!("submission {submission} is given up; its requests are planned anew and want a new approval"),
                Err(crate::distill::DistillError::Workspace(error)) => return Err(error),
                Err(other) => other.to_string(),
            }
        };
        self.emit(Event::Log { level: Level::Info, text });
        self.refresh_states()?;
        self.refresh_view(Phase::Distill)
    }

    pub(super) fn import_answers(&mut self, path: &Path, partial: bool) -> Result<(), WorkspaceError> {
        let imported = imports::answers(&self.workspace, &mut self.ledger, path, partial, self.clock.now());
        match imported {
            Ok(event) => self.imported(Phase::Distill, event),
            Err(failure) => {
                self.emit(Event::Log {
                    level: Level::Error,
                    text: format!("{} {}", failure.reason, failure.next).trim().to_owned(),
                });
                Ok(())
            }
        }
    }
}
