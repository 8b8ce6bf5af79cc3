//! What changed between two snapshots, part by part, and a snapshot with that applied.
//!
//! Owns the list of parts. Shared parts are compared by where they lie: the supervisor makes a new one only when it read or
//! changed it, so telling what changed costs nothing. A list that only grew crosses as its new end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::curve::CurveGrowth;
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
    Jobs(Arc<Vec<JobView>>),
    Approval(Option<ApprovalRequest>),
    Profiles(Arc<Vec<ProfileView>>),
    Articles(Arc<ArticlesView>),
    Distill(Arc<DistillView>),
    Planned(Option<Arc<PlanView>>),
    Dataset(Arc<DatasetView>),
    Train(Arc<TrainView>),
    /// The curves are empty: each grows by its values that are new.
    TrainGrown {
        view: Box<TrainView>,
        growths: Vec<CurveGrowth>,
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
    Memory(Arc<MemoryView>),
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
        jobs,
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
    tell(!Arc::ptr_eq(jobs, &old.jobs), &|| Part::Jobs(jobs.clone()));
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
    tell(!Arc::ptr_eq(memory, &old.memory), &|| Part::Memory(memory.clone()));
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
            Part::Jobs(jobs) => snapshot.jobs = jobs,
            Part::Approval(approval) => snapshot.approval = approval,
            Part::Profiles(profiles) => snapshot.profiles = profiles,
            Part::Articles(articles) => snapshot.articles = articles,
            Part::Distill(distill) => snapshot.distill = distill,
            Part::Planned(planned) => snapshot.planned = planned,
            Part::Dataset(dataset) => snapshot.dataset = dataset,
            Part::Train(train) => snapshot.train = train,
            Part::TrainGrown { view, growths } => grow_curves(Arc::make_mut(&mut snapshot.train), *view, growths)?,
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

/// A step adds a point to each curve: only the points cross, and the reader grows its curves by them as the engine did.
fn trained(old: &TrainView, new: &Arc<TrainView>) -> Part {
    let growths: Option<Vec<CurveGrowth>> =
        new.curves().into_iter().zip(old.curves()).map(|(new, old)| new.growth_since(old)).collect();
    match growths {
        Some(growths) if new.run == old.run => Part::TrainGrown { view: Box::new(new.without_curves()), growths },
        _ => Part::Train(new.clone()),
    }
}

fn grow_curves(train: &mut TrainView, mut new: TrainView, growths: Vec<CurveGrowth>) -> Result<(), String> {
    for ((curve, known), growth) in new.curves_mut().into_iter().zip(train.curves_mut()).zip(growths) {
        *curve = std::mem::take(known);
        curve.grow(growth)?;
    }
    *train = new;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::protocol::{Frames, FromEngine, frame};
    use super::*;
    use crate::domain::{Phase, UnixMillis};
    use crate::engine::curve::Curve;
    use crate::engine::{JobState, Level};

    /// One thing that an engine does to its snapshot.
    #[derive(Debug, Clone)]
    enum Change {
        Complete(bool),
        Recipe(String),
        Revision(usize),
        Job(Option<u64>),
        Approval(Option<usize>),
        Articles(usize),
        Rejects(Vec<(String, usize)>),
        Report(Vec<String>),
        Step(f64),
        EvalLoss(f64),
        NewRun,
        Verdict(String),
        Kept(usize),
        Served(Option<String>),
        Log(String),
        LogIsCut,
        Memory(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        let number = || any::<f64>().prop_filter("the same as itself", |n| n.is_finite());
        prop_oneof![
            any::<bool>().prop_map(Change::Complete),
            any::<String>().prop_map(Change::Recipe),
            (0_usize..8).prop_map(Change::Revision),
            any::<Option<u64>>().prop_map(Change::Job),
            any::<Option<usize>>().prop_map(Change::Approval),
            any::<usize>().prop_map(Change::Articles),
            any::<Vec<(String, usize)>>().prop_map(Change::Rejects),
            any::<Vec<String>>().prop_map(Change::Report),
            number().prop_map(Change::Step),
            number().prop_map(Change::EvalLoss),
            Just(Change::NewRun),
            any::<String>().prop_map(Change::Verdict),
            any::<usize>().prop_map(Change::Kept),
            any::<Option<String>>().prop_map(Change::Served),
            any::<String>().prop_map(Change::Log),
            Just(Change::LogIsCut),
            any::<u64>().prop_map(Change::Memory),
        ]
    }

    fn make(snapshot: &mut Snapshot, change: Change) {
        match change {
            Change::Complete(complete) => snapshot.complete = complete,
            Change::Recipe(recipe) => snapshot.workspace.recipe = recipe,
            Change::Revision(at) => snapshot.revisions[at] += 1,
            Change::Job(done) => {
                snapshot.job = done.map(|done| JobView {
                    id: 1,
                    phase: Phase::Train,
                    state: JobState::Failed { reason: "r".into(), next: "n".into() },
                    done,
                    total: 0,
                    unit: "steps".into(),
                    message: String::new(),
                    started: UnixMillis(1),
                    heartbeat: UnixMillis(2),
                    then: vec![Phase::Audit],
                });
            }
            Change::Approval(rows) => {
                snapshot.approval =
                    rows.map(|rows| ApprovalRequest::Dataset { dataset: crate::domain::Digest::of("d"), rows, how: "a".into() });
            }
            Change::Articles(total) => Arc::make_mut(&mut snapshot.articles).total = total,
            Change::Rejects(rejects) => Arc::make_mut(&mut snapshot.distill).rejects = rejects,
            Change::Report(report) => Arc::make_mut(&mut snapshot.dataset).report = report,
            Change::Step(loss) => Arc::make_mut(&mut snapshot.train).loss.push(1, loss),
            Change::EvalLoss(loss) => Arc::make_mut(&mut snapshot.train).eval_loss.push(2, loss),
            Change::NewRun => snapshot.train = Arc::new(TrainView { run: Some("r".into()), ..TrainView::default() }),
            Change::Verdict(verdict) => Arc::make_mut(&mut snapshot.validate).verdict = verdict,
            Change::Kept(kept) => Arc::make_mut(&mut snapshot.audit).traces = kept,
            Change::Served(served) => Arc::make_mut(&mut snapshot.deploy).served = served,
            Change::Log(text) => {
                Arc::make_mut(&mut snapshot.log).push(LogLine { at: UnixMillis(3), level: Level::Warn, text });
            }
            Change::LogIsCut => {
                let lines = Arc::make_mut(&mut snapshot.log);
                lines.drain(..lines.len() / 2);
            }
            Change::Memory(used) => Arc::make_mut(&mut snapshot.memory).used = used,
        }
    }

    /// As it crosses the socket.
    fn sent(parts: Vec<Part>) -> Vec<Part> {
        let mut frames = Frames::default();
        frames.push(&frame(&FromEngine::State(parts)).expect("a frame"));
        match frames.take().expect("readable") {
            Some(FromEngine::State(parts)) => parts,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn any_difference_applied_to_the_old_snapshot_gives_the_new_one(
            rounds in proptest::collection::vec(proptest::collection::vec(change(), 0..6), 1..12)
        ) {
            let (mut here, mut there) = (Snapshot::default(), Snapshot::default());
            for round in rounds {
                let before = here.clone();
                for change in round {
                    make(&mut here, change);
                }
                apply(&mut there, sent(between(&before, &here))).expect("fits");
                prop_assert_eq!(&there, &here);
            }
        }
    }

    #[test]
    fn what_did_not_change_is_not_sent() {
        let mut old = Snapshot::default();
        make(&mut old, Change::Report(vec!["TOTALS".into()]));
        assert!(between(&old, &old.clone()).is_empty());
        let mut new = old.clone();
        make(&mut new, Change::Memory(7));
        assert!(matches!(between(&old, &new)[..], [Part::Memory(_)]));
    }

    #[test]
    fn a_step_of_a_long_run_crosses_as_one_point_and_a_log_line_as_one_line() {
        let mut old = Snapshot::default();
        for step in 0..100_000 {
            Arc::make_mut(&mut old.train).loss.push(step, 0.5);
        }
        make(&mut old, Change::Log("first".into()));
        let mut new = old.clone();
        make(&mut new, Change::Step(f64::NAN));
        make(&mut new, Change::Log("second".into()));
        let parts = between(&old, &new);
        assert!(frame(&FromEngine::State(parts.clone())).expect("a frame").len() < 1_000);
        apply(&mut old, sent(parts)).expect("fits");
        assert_eq!((old.train.loss.count(), old.log.len()), (100_001, 2));
        assert_eq!((old.train.loss.value(), old.train.loss.holes()), (None, 1));
    }

    #[test]
    fn a_difference_of_another_snapshot_is_an_error_and_no_panic() {
        let lines = Part::LogGrown { from: 3, lines: Vec::new() };
        assert!(apply(&mut Snapshot::default(), vec![lines]).is_err());
        let curves = Part::TrainGrown {
            view: Box::default(),
            growths: Curve::growth_since(&[(1, 0.5), (2, 0.4)].into_iter().collect(), &[(1, 0.5)].into_iter().collect())
                .into_iter()
                .collect(),
        };
        assert!(apply(&mut Snapshot::default(), vec![curves]).is_err());
    }

    #[test]
    fn a_loss_that_is_no_number_crosses_as_a_hole() {
        let loss = [(1, 0.5), (2, f64::NAN)].into_iter().collect();
        let train = TrainView { loss, ..TrainView::default() };
        let mut there = Snapshot::default();
        apply(&mut there, sent(vec![Part::Train(Arc::new(train.clone()))])).expect("fits");
        assert_eq!((&*there.train, there.train.loss.holes()), (&train, 1));
    }
}
