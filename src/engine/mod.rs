//! The engine: takes [`Command`]s, runs one job at a time, publishes [`Event`]s and a [`Snapshot`].
//!
//! Owns the life of jobs and the state of phases. Draws nothing and knows no terminal; the work itself is the phases'.

mod asked;
mod audit;
mod command;
mod compare;
pub mod curve;
mod deploying;
mod doctor;
mod errand;
mod evaluation;
mod event;
mod export;
mod gpu;
mod imports;
mod job;
mod label_import;
mod labels;
mod library;
mod memory;
mod numbers;
mod phases;
mod probes;
pub mod remote;
mod report;
mod runs;
mod scoring;
mod sealing;
mod snapshot;
mod sources_edit;
mod state;
mod subject;
mod supervisor;
mod train_view;
mod views;
mod warnings;
mod wiring;

pub use asked::{AskError, sampler_report};
pub use audit::{
    AUDIT_TARGET, Anatomy, AuditBlock, AuditDesk, AuditExportError, AuditHead, AuditIndex, AuditQueue, AuditReading,
    AuditResults, AuditRow, AuditStanding, AuditText, AuthorResults, Basis as QueueBasis, Consistency, ENOUGH_REPEATS, FEW_READ,
    JudgeError, Judgement, Part, PartKind, QueueOrder, REPEAT_EVERY, ResultRow, Results, Share, audit_desk,
};
pub use command::{Command, Consent, Taken};
pub use compare::{CompareError, Comparison, MOST_PAIRS, compare};
pub use curve::{Bucket, Curve, Point};
pub use deploying::{clearable, find_release, lint_modelfile, modelfile_of};
pub use doctor::{Checkup, Diagnosis, State, examine};
pub use errand::Errand;
pub use evaluation::{
    EvaluationRequest, PredictorChoice, RequestError, RowsChoice, RunError, RunSummary, SamplingChoice, StoredRun, stored_run,
    stored_runs,
};
pub use event::{ApprovalRequest, Event, Level};
pub use export::{Exported, export_dataset};
pub use job::Failure;
pub use labels::{LabelSourceView, label_sources, quarantined};
pub use library::{
    Answer, Answered, ArticleIndex, ArticleSort, ArticleView, BaselineFigure, Bin, Brief, ComparisonView, DatasetIndex,
    DraftView, EvaluationView, ExampleRow, ExampleView, FigureLine, Found, Library, MaskView, Neighbour, PartDifference,
    PartLine, QuarantineView, Query, RELEVANT, ReaderScore, Reading, RejectRow, RejectsView, RunLine, WorstLine,
};
pub use probes::{Drawn, Judged, ProbeError, ProbeMaterial, Told, draw, probe};
pub use report::{ReportError, last_probes, write_report};
pub use runs::{CompareRunsError, compare_stored};
pub use scoring::{ArticleSource, ArticlesRead, BrokenRow, DriftReport, StoredFrontier, drift, last_frontier, read_articles};
pub use scoring::{Cycle, Desk, DeskOptions, Done, Forecast as ScoreForecast, ScoreNews, Scored, Summary};
pub use sealing::{SealView, SealWish, seal_view};
pub use snapshot::*;
pub use warnings::WarningKind;

pub use crate::dataset::labels::remedy as quarantine_remedy;
pub use crate::dataset::publish::Format;
pub use crate::dataset::{ContrastivePair, DatasetStats, Example, Quarantined, SamplerReport};
pub use crate::deploy::Pass;
pub use crate::deploy::drift::{Drift, DriftLevel, DriftLine};
pub use crate::deploy::frontier::{Frontier, Point as FrontierPoint, Setting};
pub use crate::deploy::parity::{Parity, Stage, StageLine, Standing as GateStanding};
pub use crate::distill::{Basis, Estimate, Forecast, Kind, Receipt, ReceiptLine, Sample, Scope, Which};
pub use crate::evaluate::{Outcome, RunComparison};
pub use crate::teacher::{Price, keys};

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::command::Asked;
use self::remote::Link;
use crate::distill::Plan;
use crate::domain::{Clock, Digest};
use crate::workspace::{Workspace, WorkspaceError, WorkspaceLock};

/// A front end's end of the engine, here or behind a socket: cheap to clone, nothing in it blocks.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    commands: mpsc::UnboundedSender<Asked>,
    events: broadcast::Sender<Event>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    /// The way to the engine's process; `None`: it is this one.
    link: Option<Arc<Link>>,
}

impl EngineHandle {
    /// Sends a command; false if the engine is gone.
    pub fn send(&self, command: Command) -> bool {
        self.commands.send(Asked { command, answer: None }).is_ok()
    }

    /// Sends a command and waits until the engine has taken it and the snapshot shows it; `None` if the engine is gone.
    pub async fn ask(&self, command: Command) -> Option<Taken> {
        self.order(command)?.await.ok()
    }

    /// The same in two steps: sent now, waited for later.
    pub fn order(&self, command: Command) -> Option<oneshot::Receiver<Taken>> {
        let (answer, taken) = oneshot::channel();
        self.commands.send(Asked { command, answer: Some(answer) }).ok().map(|()| taken)
    }

    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Changes arrive by `changed().await`; `borrow()` is the newest state.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// The way to the engine's process; `None`: it is this one.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_deref()
    }

    /// Waits until the engine is gone.
    pub async fn ended(&self) {
        let mut snapshot = self.snapshot();
        while snapshot.changed().await.is_ok() {}
    }
}

/// A recorded plan by its whole digest, whatever it buys; `None`: there is none, or an older version wrote it.
pub fn recorded_plan(workspace: &Workspace, digest: &Digest) -> Result<Option<PlanView>, WorkspaceError> {
    let ledger = workspace.ledger()?;
    let plan = ledger.plan(digest)?.as_ref().and_then(Plan::of_row);
    plan.map(|plan| views::plan_view(&ledger, plan)).transpose()
}

/// Events a slow listener may fall behind by before it is told that some were dropped.
const EVENT_BACKLOG: usize = 4096;

/// A running engine. Drop every [`EngineHandle`], then [`Engine::join`]: the job saves and ends first.
pub struct Engine {
    thread: JoinHandle<()>,
    _lock: WorkspaceLock,
}

impl Engine {
    /// Takes the workspace's lock and starts the engine's thread.
    pub fn start(workspace: Arc<Workspace>, clock: Arc<dyn Clock>) -> Result<(Self, EngineHandle), WorkspaceError> {
        let lock = workspace.lock()?;
        let (commands, asked) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let (publish, snapshot) = watch::channel(Arc::new(Snapshot::default()));
        let root = workspace.root().to_owned();
        let supervisor = supervisor::Supervisor::new(workspace, clock, publish, events.clone())?;
        let io = |source| WorkspaceError::io("start the engine in", &root, source);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(io)?;
        let work = move || runtime.block_on(supervisor.run(asked));
        let thread = std::thread::Builder::new().name("engine".into()).spawn(work).map_err(io)?;
        Ok((Self { thread, _lock: lock }, EngineHandle { commands, events, snapshot, link: None }))
    }

    /// Waits for the engine to end.
    pub fn join(self) {
        // A panic of the engine's thread was reported by the hook; there is nothing left to wait for.
        let _ = self.thread.join();
    }
}
