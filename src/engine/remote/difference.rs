//! What changed between two snapshots, part by part, and a snapshot with that applied.
//!
//! Owns the list of parts. Shared parts are compared by where they lie: the supervisor makes a new one only when it read or
//! changed it, so telling what changed costs nothing. A list that only grew crosses as its new end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::event::ApprovalRequest;
use super::super::snapshot::{
    ArticlesView, AuditView, DatasetView, DeployView, DistillView, FindingView, JobView, LogLine, MemoryView, PhaseView,
    PlanView, ProfileView, Snapshot, TrainView, ValidateView, WorkspaceView,
};

/// One part of the snapshot, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Complete(bool),
    Workspace(WorkspaceView),
    Phases(Vec<PhaseView>),
    Revisions([u64; 8]),
    Job(Option<JobView>),
    Approval(Option<ApprovalRequest>),
    Profiles(Arc<Vec<ProfileView>>),
    Articles(Arc<ArticlesView>),
    Distill(Arc<DistillView>),
    Planned(Option<Arc<PlanView>>),
    Dataset(Arc<DatasetView>),
    Train(Arc<TrainView>),
    /// The curves hold only what follows their first so many points.
    TrainGrown {
        view: Box<TrainView>,
        loss: usize,
        eval_loss: usize,
    },
    Validate(Arc<ValidateView>),
    Audit(Arc<AuditView>),
    Deploy(Arc<DeployView>),
    Findings(Arc<Vec<FindingView>>),
    Log(Arc<Vec<LogLine>>),
    LogGrown {
        from: usize,
        lines: Vec<LogLine>,
    },
    Memory(MemoryView),
}

/// What has to be told to somebody who has `old` so that they have `new`.
pub fn between(old: &Snapshot, new: &Snapshot) -> Vec<Part> {
    // By name: a new field of the snapshot does not compile without its line here.
    let Snapshot {
        complete,
        workspace,
        phases,
        revisions,
        job,
        approval,
        profiles,
        articles,
        distill,
        planned,
        dataset,
        train,
        validate,
        audit,
        deploy,
        findings,
        log,
        memory,
    } = new;
    let mut parts = Vec::new();
    let mut tell = |changed: bool, part: &dyn Fn() -> Part| {
        if changed {
            parts.push(part());
        }
    };
    tell(*workspace != old.workspace, &|| Part::Workspace(workspace.clone()));
    tell(*phases != old.phases, &|| Part::Phases(phases.clone()));
    tell(*revisions != old.revisions, &|| Part::Revisions(*revisions));
    tell(*job != old.job, &|| Part::Job(job.clone()));
    tell(*approval != old.approval, &|| Part::Approval(approval.clone()));
    tell(!Arc::ptr_eq(profiles, &old.profiles), &|| Part::Profiles(profiles.clone()));
    tell(!Arc::ptr_eq(articles, &old.articles), &|| Part::Articles(articles.clone()));
    tell(!Arc::ptr_eq(distill, &old.distill), &|| Part::Distill(distill.clone()));
    let same_plan = match (planned, &old.planned) {
        (Some(new), Some(old)) => Arc::ptr_eq(new, old),
        (new, old) => new.is_none() && old.is_none(),
    };
    tell(!same_plan, &|| Part::Planned(planned.clone()));
    tell(!Arc::ptr_eq(dataset, &old.dataset), &|| Part::Dataset(dataset.clone()));
    tell(!Arc::ptr_eq(train, &old.train), &|| trained(&old.train, train));
    tell(!Arc::ptr_eq(validate, &old.validate), &|| Part::Validate(validate.clone()));
    tell(!Arc::ptr_eq(audit, &old.audit), &|| Part::Audit(audit.clone()));
    tell(!Arc::ptr_eq(deploy, &old.deploy), &|| Part::Deploy(deploy.clone()));
    tell(!Arc::ptr_eq(findings, &old.findings), &|| Part::Findings(findings.clone()));
    tell(!Arc::ptr_eq(log, &old.log), &|| match grown(&old.log, log) {
        Some(from) => Part::LogGrown { from, lines: log[from..].to_vec() },
        None => Part::Log(log.clone()),
    });
    tell(*memory != old.memory, &|| Part::Memory(*memory));
    // Last: who reads this has everything else.
    tell(*complete != old.complete, &|| Part::Complete(*complete));
    parts
}

/// The snapshot of somebody who is told `parts`. A part that does not fit what they have is an error in the stream.
pub fn apply(snapshot: &mut Snapshot, parts: Vec<Part>) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Complete(complete) => snapshot.complete = complete,
            Part::Workspace(workspace) => snapshot.workspace = workspace,
            Part::Phases(phases) => snapshot.phases = phases,
            Part::Revisions(revisions) => snapshot.revisions = revisions,
            Part::Job(job) => snapshot.job = job,
            Part::Approval(approval) => snapshot.approval = approval,
            Part::Profiles(profiles) => snapshot.profiles = profiles,
            Part::Articles(articles) => snapshot.articles = articles,
            Part::Distill(distill) => snapshot.distill = distill,
            Part::Planned(planned) => snapshot.planned = planned,
            Part::Dataset(dataset) => snapshot.dataset = dataset,
            Part::Train(train) => snapshot.train = train,
            Part::TrainGrown { view, loss, eval_loss } => {
                grow_curves(Arc::make_mut(&mut snapshot.train), *view, loss, eval_loss)?
            }
            Part::Validate(validate) => snapshot.validate = validate,
            Part::Audit(audit) => snapshot.audit = audit,
            Part::Deploy(deploy) => snapshot.deploy = deploy,
            Part::Findings(findings) => snapshot.findings = findings,
            Part::Log(log) => snapshot.log = log,
            Part::LogGrown { from, lines } => append(Arc::make_mut(&mut snapshot.log), from, lines)?,
            Part::Memory(memory) => snapshot.memory = memory,
        }
    }
    Ok(())
}

/// Where the new end begins, if `new` is `old` with something behind it.
fn grown<T: PartialEq>(old: &[T], new: &[T]) -> Option<usize> {
    (!old.is_empty() && new.starts_with(old)).then_some(old.len())
}

/// A step adds a point to curves of a million: only the point crosses.
fn trained(old: &TrainView, new: &Arc<TrainView>) -> Part {
    let (loss, eval_loss) = (grown(&old.loss, &new.loss), grown(&old.eval_loss, &new.eval_loss));
    if loss.is_none() && eval_loss.is_none() {
        return Part::Train(new.clone());
    }
    let (loss, eval_loss) = (loss.unwrap_or(0), eval_loss.unwrap_or(0));
    let mut view = Box::new(TrainView::clone(new));
    view.loss.drain(..loss);
    view.eval_loss.drain(..eval_loss);
    Part::TrainGrown { view, loss, eval_loss }
}

fn grow_curves(train: &mut TrainView, mut new: TrainView, loss: usize, eval_loss: usize) -> Result<(), String> {
    let (mut whole, mut whole_eval) = (std::mem::take(&mut train.loss), std::mem::take(&mut train.eval_loss));
    append(&mut whole, loss, std::mem::take(&mut new.loss))?;
    append(&mut whole_eval, eval_loss, std::mem::take(&mut new.eval_loss))?;
    *train = TrainView { loss: whole, eval_loss: whole_eval, ..new };
    Ok(())
}

/// Puts `end` behind the first `from`.
fn append<T>(list: &mut Vec<T>, from: usize, end: Vec<T>) -> Result<(), String> {
    if from > list.len() {
        return Err(format!("rows from {from} on, where {} are known", list.len()));
    }
    list.truncate(from);
    list.extend(end);
    Ok(())
}
