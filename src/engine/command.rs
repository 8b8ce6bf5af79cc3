//! What an operator can ask of the engine. Closed and serialisable: the console and `run` send the same values, and
//! a later front end can send them over a socket.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::audit::Judgement;
use super::errand::Errand;
use super::event::Event;
use crate::domain::{ArticleId, Author, Digest, PairKey, Phase, Profile, ProfileId, Remedy, SourceType, Usd};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Runs what is not done or stale, in order, up to and including a phase. Stops at whatever needs the operator,
    /// except what `consent` covers.
    Run {
        to: Phase,
        consent: Consent,
    },
    /// Runs one phase again, even if it is done.
    Rerun {
        phase: Phase,
    },
    /// Approves the current distillation plan up to a ceiling. Refused if the plan is not the one named.
    Approve {
        plan: Digest,
        ceiling: Usd,
    },
    /// Runs a piece of distillation that is not a phase.
    Errand {
        errand: Errand,
    },
    /// Cancels one open batch, or all of them; with all, the current plan's approval ends too.
    CancelBatches {
        submission: Option<i64>,
    },
    /// Says what an unclear submission is: a batch at the provider, or none.
    Settle {
        submission: i64,
        adopt: Option<String>,
    },
    /// Imports results that were fetched by hand.
    ImportAnswers {
        path: PathBuf,
        partial: bool,
    },
    /// Says that the statistics of this dataset were read; training may start on it.
    Acknowledge {
        dataset: Digest,
    },
    /// Overrides a failed stop guard for one subject, with a reason that is kept.
    Override {
        guard: String,
        subject: Digest,
        reason: String,
    },
    Pause,
    Resume,
    /// Saves the training that runs at its next step, and goes on.
    Checkpoint,
    /// Finishes the current unit of work, saves, and ends the job.
    Stop,
    /// Says what is right or wrong with a think block after reading it. A rejected trace of the teacher's leaves the
    /// dataset at its next build, unless another remedy is chosen.
    Judge {
        judgement: Judgement,
    },
    /// Chooses what becomes of a rejected trace.
    Remedy {
        pair: PairKey,
        choice: Remedy,
    },
    /// Takes the newest verdict or remedy back, of one pair or of all; it stays in the history.
    UndoVerdict {
        pair: Option<PairKey>,
        author: Option<Author>,
    },
    /// Writes every verdict to a file, CSV or JSON lines by its ending.
    ExportVerdicts {
        path: PathBuf,
    },
    /// Writes the report of a stored run into a folder; into the workspace's `reports` where none is given.
    WriteReport {
        run: String,
        to: Option<PathBuf>,
    },
    /// Stores a reader: a new one, or another text of one that is there.
    SaveProfile {
        profile: Box<Profile>,
    },
    /// Takes a reader out of the workspace; what was bought for it stays.
    RemoveProfile {
        id: ProfileId,
    },
    /// Gives articles another source type.
    SetSourceType {
        articles: Vec<ArticleId>,
        source_type: SourceType,
    },
    ImportProfiles {
        path: PathBuf,
        only: Vec<ProfileId>,
    },
    /// Scores one article for one reader with the served model.
    Score {
        profile: ProfileId,
        title: String,
        summary: String,
        source: String,
        source_type: SourceType,
    },
}

impl Command {
    /// What was asked, in two words, for messages about it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Rerun { .. } => "run again",
            Self::Approve { .. } => "approve",
            Self::Errand { .. } => "errand",
            Self::CancelBatches { .. } => "cancel",
            Self::Settle { .. } => "settle",
            Self::ImportAnswers { .. } => "import answers",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Override { .. } => "override",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Checkpoint => "checkpoint",
            Self::Stop => "stop",
            Self::Judge { .. } => "judge",
            Self::Remedy { .. } => "remedy",
            Self::UndoVerdict { .. } => "undo",
            Self::ExportVerdicts { .. } => "export verdicts",
            Self::WriteReport { .. } => "report",
            Self::SaveProfile { .. } => "save reader",
            Self::RemoveProfile { .. } => "remove reader",
            Self::SetSourceType { .. } => "set source type",
            Self::ImportProfiles { .. } => "import profiles",
            Self::Score { .. } => "score",
        }
    }
}

/// A command on its way, and where its sender waits to hear that it was taken.
#[derive(Debug)]
pub(super) struct Asked {
    pub command: Command,
    pub answer: Option<oneshot::Sender<Taken>>,
}

/// That the engine has taken a command: the snapshot shows it from now on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Why it was not done at all: another job runs.
    pub refused: Option<String>,
    /// What the engine said while it took it, news of a job that it started included.
    pub said: Vec<Event>,
}

impl Command {
    /// Relative paths become those below `folder`: the engine may stand in another folder than who sends this.
    #[must_use]
    pub fn anchored(mut self, folder: &Path) -> Self {
        match &mut self {
            Self::ImportAnswers { path, .. } | Self::ImportProfiles { path, .. } => *path = folder.join(&*path),
            Self::WriteReport { to: Some(to), .. } => *to = folder.join(&*to),
            Self::Errand { errand } => errand.anchor(folder),
            _ => {}
        }
        self
    }
}

/// What `run --yes` agrees to in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Consent {
    /// Approve a plan whose worst case does not exceed this.
    pub spend_up_to: Option<Usd>,
    /// Acknowledge the dataset's statistics as printed.
    pub dataset: bool,
}

impl Consent {
    /// `--yes`: everything that costs nothing, or no more than a ceiling given beside it.
    pub fn yes(ceiling: Option<Usd>) -> Self {
        Self { spend_up_to: Some(ceiling.unwrap_or(Usd::ZERO)), dataset: true }
    }
}
