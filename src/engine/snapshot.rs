//! The state a front end draws: one cheap clone of everything, published whole. Views hold text that is already safe
//! to draw and numbers that are already computed; a front end formats, it does not work.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{ApprovalRequest, Level};
use super::labels::LabelSourceView;
pub use super::memory::{GpuView, MachineHistory, MemoryView};
use super::sealing::SealView;
pub use super::train_view::{BandDraw, Pace, SampleRound, SampleView, TrainView, Warning};
use crate::deploy::Parity;
use crate::deploy::drift::DriftLevel;
use crate::distill::{Estimate, Receipt};
use crate::domain::{Digest, PairKey, Phase, PhaseState, Profile, UnixMillis, Usd};
use crate::guards::Finding;

/// Everything there is to see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every view was read; before that only the workspace, the states and the readers are there.
    pub complete: bool,
    pub workspace: WorkspaceView,
    pub phases: Vec<PhaseView>,
    /// Counts up whenever a phase's rows may have changed: what the library answered before is then old.
    pub revisions: [u64; 8],
    pub job: Option<JobView>,
    /// Jobs that have ended since the engine began, newest last.
    pub jobs: Arc<Vec<JobView>>,
    /// What the engine waits for, if it does.
    pub approval: Option<ApprovalRequest>,
    pub profiles: Arc<Vec<ProfileView>>,
    pub articles: Arc<ArticlesView>,
    pub distill: Arc<DistillView>,
    /// The plan that the last errand made or found.
    pub planned: Option<Arc<PlanView>>,
    pub dataset: Arc<DatasetView>,
    pub train: Arc<TrainView>,
    pub validate: Arc<ValidateView>,
    pub audit: Arc<AuditView>,
    pub deploy: Arc<DeployView>,
    pub findings: Arc<Vec<FindingView>>,
    /// Newest last.
    pub log: Arc<Vec<LogLine>>,
    pub memory: Arc<MemoryView>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceView {
    pub root: String,
    pub recipe: String,
    /// "rehearsal · rehearsal-prism-1"
    pub teacher: String,
    pub student: String,
    /// The numbers come from the practice teacher or the practice student.
    pub practice: bool,
    pub spent: Usd,
    pub ceiling: Option<Usd>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseView {
    pub phase: Phase,
    pub state: PhaseState,
    /// One line of result, e.g. "118 articles, 110 clusters"; empty before the first run.
    pub headline: String,
}

/// `Queued → Running ⇄ Pausing → Paused → Running → Stopping → Stopped | Done | Failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum JobState {
    Queued,
    Running,
    /// Asked to pause; the worker has not confirmed yet.
    Pausing,
    Paused,
    Stopping,
    Stopped,
    Done,
    Failed {
        reason: String,
        next: String,
    },
}

impl DatasetView {
    /// Imported labels and the seal, in a few lines; empty where there is neither.
    pub fn labels_and_seal(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        if !self.labels.is_empty() {
            let sum = |of: fn(&LabelSourceView) -> usize| self.labels.iter().map(of).sum::<usize>();
            let suspicious: Vec<&str> = self.labels.iter().filter(|l| l.suspicious).map(|l| l.name.as_str()).collect();
            lines.push(format!(
                "{} imported labels from {} files: {} kept, {} orphans, {} quarantined",
                sum(|l| l.rows),
                self.labels.len(),
                sum(|l| l.kept),
                sum(|l| l.orphans),
                sum(|l| l.quarantined)
            ));
            if !suspicious.is_empty() {
                lines.push(format!("suspicious: {}", suspicious.join(", ")));
            }
        }
        if let Some(seal) = &self.seal {
            let (digest, opened) = (seal.digest.short(), seal.openings.len());
            lines.push(format!(
                "sealed {digest}: {} clusters, {} readers; opened {opened} times",
                seal.clusters,
                seal.readers.len()
            ));
            lines.extend(seal.tampered.iter().map(|why| format!("the seal was changed: {why}")));
        }
        lines
    }
}

impl JobState {
    pub fn label(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// The job still holds its thread.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Pausing | Self::Paused | Self::Stopping)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    pub id: u64,
    pub phase: Phase,
    pub state: JobState,
    pub done: u64,
    /// 0: unknown.
    pub total: u64,
    pub unit: String,
    pub message: String,
    pub started: UnixMillis,
    /// When the worker last gave a sign of life.
    pub heartbeat: UnixMillis,
    /// Phases that follow in the same run.
    pub then: Vec<Phase>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileView {
    pub profile: Profile,
    /// As the student reads it.
    pub system_prompt: String,
    pub prompt_words: usize,
    /// Takes part in this workspace's runs.
    pub selected: bool,
    /// What the lint says; empty if nothing.
    pub remarks: Vec<String>,
}

/// How many articles there are; the articles themselves are the library's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArticlesView {
    pub total: usize,
    /// How many take part in this workspace's runs.
    pub selected: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DistillView {
    pub plan: Option<PlanView>,
    pub batches: Vec<BatchView>,
    pub kept: usize,
    pub pairs: usize,
    /// (reason kind, how many)
    pub rejects: Vec<(String, usize)>,
    /// How many kept traces lie outside their tier's word range.
    pub flagged: usize,
    /// Over all plans of what is distilled now, pilot included.
    pub receipt: Option<Receipt>,
    /// Where the teacher's key comes from, or that there is none.
    pub key: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    pub digest: Digest,
    /// "pilot", "traces", "articles"
    pub kind: String,
    /// Which pairs, in words.
    pub scope: String,
    pub teacher: String,
    pub model: String,
    pub estimate: Estimate,
    pub approved: Option<Usd>,
    /// What would usually be enough as a ceiling.
    pub suggested: Usd,
    /// What it has cost, and the most that is under way.
    pub spent: Usd,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchView {
    pub id: i64,
    pub plan: Digest,
    pub remote: String,
    pub state: String,
    /// What is known beyond the state: why it failed, that a cancellation is on its way.
    pub note: String,
    pub requests: usize,
    pub answered: usize,
    pub attempt: u32,
    pub created: UnixMillis,
    pub ended: Option<UnixMillis>,
    /// When the provider was last heard of it.
    pub watched: Option<UnixMillis>,
    /// When the provider gives it up.
    pub expires: Option<UnixMillis>,
}

/// The dataset's figures; its rows are the library's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetView {
    pub digest: Option<Digest>,
    pub acknowledged: bool,
    /// The statistics report, as lines of at most 80 columns.
    pub report: Vec<String>,
    /// (band, train rows, train rows after up-sampling, held-out rows)
    pub bands: Vec<(String, usize, usize, usize)>,
    /// (reader, train rows, held-out rows)
    pub profiles: Vec<(String, usize, usize)>,
    /// Imported files of labels, oldest first.
    pub labels: Vec<LabelSourceView>,
    pub seal: Option<SealView>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidateView {
    /// Model, runtime and rows these numbers belong to; `None`: no evaluation yet.
    pub subject: Option<String>,
    pub table: Vec<MetricRow>,
    pub sanity: Vec<SanityRow>,
    /// Checks of the think blocks, one line each.
    pub think: Vec<String>,
    pub verdict: String,
    pub verdict_lines: Vec<String>,
    /// By |error|, worst first.
    pub worst: Vec<PredictionView>,
    /// (reader, n, mae)
    pub by_profile: Vec<(String, usize, f64)>,
}

/// Numbers as text: "—" where undefined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    pub name: String,
    pub model: String,
    pub interval: String,
    pub n: usize,
    /// Too few rows to lean on.
    pub weak: bool,
    /// Baselines by name, in the order of the header: constant, profile median, lexical.
    pub baselines: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SanityRow {
    pub article: String,
    pub profile: String,
    pub expected: String,
    pub teacher: Option<f64>,
    pub student: Option<f64>,
    pub passed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionView {
    pub pair: PairKey,
    pub title: String,
    pub truth: f64,
    pub predicted: Option<f64>,
    pub output: String,
}

/// Counts and progress; the queue and the blocks themselves are asked of the library.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditView {
    /// Traces of the teacher's that can be read now.
    pub traces: usize,
    /// Pairs of these that the student answered.
    pub answers: usize,
    /// How many blocks make an audit.
    pub target: usize,
    /// Blocks with a verdict, teacher's and student's.
    pub read: [usize; 2],
    /// Those of them that are not faithful.
    pub rejected: [usize; 2],
    /// Rejected traces that the operator scored herself.
    pub fixed: usize,
    /// Pairs that went back to the teacher.
    pub sent_back: usize,
    /// Blind readings.
    pub repeats: usize,
    /// The reviewer's agreement with herself, once there are enough repeats.
    pub kappa: Option<f64>,
    pub kappa_interval: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeployView {
    /// Newest first.
    pub releases: Vec<ReleaseView>,
    pub served: Option<String>,
    /// Where a roll-back goes.
    pub back: Option<String>,
    /// What a clean-up would take, and how many it leaves beside those that are needed.
    pub clearable: Vec<String>,
    pub keep: usize,
    /// The last article scored here: text lines.
    pub last_score: Vec<String>,
    /// Whether live scores are still like those of the evaluation; `None`: nothing was scored yet.
    pub drift: Option<DriftView>,
}

/// The drift watch in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftView {
    pub level: DriftLevel,
    /// Live answers that were looked at.
    pub n: usize,
    pub line: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    pub name: String,
    pub created: UnixMillis,
    pub model: String,
    pub runtime: String,
    pub verdict: String,
    pub path: String,
    pub live: bool,
    /// Exported forms and their bytes.
    pub forms: Vec<(String, u64)>,
    /// What its gate saw; `None`: it has not been through one.
    pub gate: Option<Parity>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingView {
    pub phase: Phase,
    pub finding: Finding,
    pub stops: bool,
    /// The reason it was overridden with.
    pub overridden: Option<String>,
    /// What an override is bound to.
    pub subject: Digest,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: UnixMillis,
    pub level: Level,
    pub text: String,
}
