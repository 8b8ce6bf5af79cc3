//! Views: what the ledger and the files say, as a front end draws it. Reads; never writes, never decides.

mod audit;
mod dataset;
mod deploy;
mod distill;
mod sources;
mod validate;

use std::sync::Arc;

use super::audit::AuditDesk;
use super::event::ApprovalRequest;
use super::phases;
use super::snapshot::{FindingView, Snapshot, WorkspaceView};
use super::state::Standing;
use crate::distill::Plan;
use crate::domain::{Digest, Phase, Usd};
use crate::guards::{self, Severity};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

pub(super) use deploy::scored_lines;
pub(super) use distill::plan_view;
pub(super) use validate::{TABLE as FIGURE_TABLE, sanity as sanity_rows, shown as shown_figure};

/// Reads one phase's view again.
pub(super) fn refresh(
    phase: Phase,
    snapshot: &mut Snapshot,
    workspace: &Workspace,
    ledger: &Ledger,
    standings: &[Standing],
    desk: &mut AuditDesk,
) -> Result<(), WorkspaceError> {
    snapshot.revisions[phase.index()] += 1;
    match phase {
        Phase::Profiles => snapshot.profiles = Arc::new(sources::profiles(workspace, ledger)?),
        Phase::Articles => snapshot.articles = Arc::new(sources::articles(workspace, ledger)?),
        Phase::Distill => {
            snapshot.distill = Arc::new(distill::view(workspace, ledger, standings)?);
            snapshot.workspace = self::workspace(workspace, ledger)?;
        }
        Phase::Dataset => {
            snapshot.dataset = Arc::new(dataset::view(workspace, ledger, standings)?);
            // The traces are all there now: the articles' heat strips can be filled.
            snapshot.revisions[Phase::Articles.index()] += 1;
        }
        Phase::Train => {
            if snapshot.train.run.is_none() {
                snapshot.train = Arc::new(phases::train_history(workspace, standings));
            }
        }
        Phase::Validate => snapshot.validate = Arc::new(validate::view(workspace, ledger, standings)?),
        Phase::Audit => snapshot.audit = Arc::new(audit::view(workspace, ledger, desk)?),
        Phase::Deploy => {
            let last_score = snapshot.deploy.last_score.clone();
            snapshot.deploy = Arc::new(deploy::view(workspace, ledger, last_score)?);
        }
    }
    snapshot.findings = Arc::new(findings(ledger)?);
    Ok(())
}

pub(super) fn workspace(workspace: &Workspace, ledger: &Ledger) -> Result<WorkspaceView, WorkspaceError> {
    let (teacher, student) = (&workspace.config.teacher, &workspace.config.student);
    let plans = ledger.plans()?;
    let spent = crate::distill::receipt(ledger, &plans).map(|r| r.billed + r.perhaps).unwrap_or_default();
    let ceiling =
        plans.iter().rev().find(|p| p.void.is_none()).map(|p| ledger.approved_ceiling(&p.digest)).transpose()?.flatten();
    Ok(WorkspaceView {
        root: workspace.root().display().to_string(),
        recipe: workspace.recipe.name.clone(),
        teacher: format!("{} · {}", teacher.provider, teacher.model),
        student: student.base.clone(),
        practice: teacher.provider == "rehearsal" || student.base == "seedling",
        spent,
        ceiling: ceiling.filter(|c| *c > Usd::ZERO),
    })
}

pub(super) fn findings(ledger: &Ledger) -> Result<Vec<FindingView>, WorkspaceError> {
    let mut views = Vec::new();
    for stored in ledger.findings()? {
        let stops = guards::guard(&stored.finding.guard).is_some_and(|g| g.severity == Severity::Stop);
        let overridden = ledger.override_of(&stored.finding.guard, &stored.subject)?;
        views.push(FindingView { phase: stored.phase, finding: stored.finding, stops, overridden, subject: stored.subject });
    }
    Ok(views)
}

/// What a phase that needs approval asks for.
pub(super) fn approval(phase: Phase, workspace: &Workspace, ledger: &Ledger, standings: &[Standing]) -> Option<ApprovalRequest> {
    match phase {
        Phase::Distill => {
            let plan = Plan::recorded(ledger, standings[phase.index()].input.as_ref()?).ok().flatten();
            plan.and_then(|plan| phases::spend_request(ledger, &plan).ok())
        }
        Phase::Train => {
            let record = standings[Phase::Dataset.index()].record.as_ref()?;
            let rows = phases::load_dataset(workspace, &record.output).map_or(0, |d| d.examples.len());
            let how = format!("read 'stratos dataset stats', then 'stratos dataset acknowledge {}'", record.output.short());
            Some(ApprovalRequest::Dataset { dataset: record.output.clone(), rows, how })
        }
        _ => None,
    }
}

/// The digest a run of `phase` last recorded.
fn output_of(standings: &[Standing], phase: Phase) -> Option<Digest> {
    standings[phase.index()].record.as_ref().map(|r| r.output.clone())
}
