//! What the engine tells as it works. Progress may be dropped on a slow channel; facts are in the ledger.

use serde::{Deserialize, Serialize};

use super::numbers::number;
use super::scoring::Scored;
use crate::domain::{Digest, Phase, Usd};
use crate::guards::Finding;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    PhaseStarted {
        phase: Phase,
    },
    /// `total` 0: unknown.
    Progress {
        phase: Phase,
        done: u64,
        total: u64,
        unit: String,
        message: String,
    },
    /// One optimizer step. Loss in nats per trained token, norms before clipping.
    Step {
        step: u64,
        total_steps: u64,
        epoch: usize,
        #[serde(deserialize_with = "number")]
        loss: f64,
        #[serde(deserialize_with = "number")]
        lr: f64,
        #[serde(deserialize_with = "number")]
        grad_norm: f64,
        #[serde(deserialize_with = "number")]
        tokens_per_second: f64,
    },
    EvalLoss {
        step: u64,
        #[serde(deserialize_with = "number")]
        loss: f64,
    },
    /// A training was saved; it can be gone on from here.
    Checkpoint {
        step: u64,
    },
    /// What the student in training wrote to a held-out prompt, and how it reads.
    Sample {
        step: u64,
        id: String,
        text: String,
        /// As far as any score can be read.
        score: Option<f64>,
        /// Why it is not in the recipe's full format.
        defect: Option<String>,
        teacher: f64,
    },
    Finding {
        phase: Phase,
        finding: Finding,
    },
    Approval {
        request: ApprovalRequest,
    },
    PhaseDone {
        phase: Phase,
        headline: String,
        seconds: f64,
    },
    /// The phase was not stale; nothing was done.
    PhaseKept {
        phase: Phase,
        headline: String,
    },
    /// The operator asked for it.
    PhaseStopped {
        phase: Phase,
    },
    PhaseFailed {
        phase: Phase,
        reason: String,
        next: String,
    },
    /// A whole `Run` came to its end; `complete` is false if something stopped it on the way.
    RunEnded {
        complete: bool,
    },
    /// An article was scored.
    Scored(Box<Scored>),
    /// An evaluation was stored under this name.
    Evaluated {
        id: Digest,
        headline: String,
    },
    Imported {
        what: String,
        added: usize,
        updated: usize,
        unchanged: usize,
    },
    Log {
        level: Level,
        text: String,
    },
    /// A front end did not read for so long that the link dropped news for it. Facts are in the snapshot and the ledger.
    Dropped {
        progress: u64,
        facts: u64,
    },
}

impl Event {
    /// Only says how far something is: the next one says it again, so a slow listener may miss it.
    pub fn is_progress(&self) -> bool {
        matches!(self, Self::Progress { .. } | Self::Step { .. } | Self::EvalLoss { .. })
    }
}

/// What the engine waits for, and how to give it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ApprovalRequest {
    Spend {
        plan: Digest,
        /// "pilot", "judgements", "articles"
        what: String,
        requests: usize,
        expected: Usd,
        p95: Usd,
        worst: Usd,
        /// What would usually be enough; the operator may choose another.
        ceiling: Usd,
        /// What to know before the first submission to a provider.
        notice: Option<String>,
        how: String,
    },
    Dataset {
        dataset: Digest,
        rows: usize,
        how: String,
    },
}

impl ApprovalRequest {
    pub fn how(&self) -> &str {
        match self {
            Self::Spend { how, .. } | Self::Dataset { how, .. } => how,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Info,
    Warn,
    Error,
}
