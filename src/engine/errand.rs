//! Errands: pieces of distillation, training and validation that are not a phase. They run as jobs and record no phase; what they plan,
//! buy, bring home and find is in the ledger.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::evaluation::{EvaluationRequest, RowsChoice};
use super::sealing::SealWish;
use crate::dataset::publish::Format;
use crate::distill::Scope;
use crate::domain::{Digest, Phase, ProfileId, Trust};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "errand")]
pub enum Errand {
    /// Plans the phase's own pairs in a scope, and sends nothing.
    Plan { scope: Scope },
    /// Brings open batches on by a step and passes cancellations on, and sends nothing new.
    Tend,
    /// Asks another teacher of `stratos.toml` about pairs of this workspace; `send`: what is approved goes out.
    SecondOpinion { teacher: String, scope: Scope, send: bool },
    /// Has new articles written for some readers; `send`: what is approved goes out, and what comes home is imported.
    Polarise { profiles: Vec<ProfileId>, count: usize, send: bool },
    /// Proves and rehearses the training that would begin now, and trains nothing.
    DryRun,
    /// Asks the trained student what tells whether its reasoning is any good, about at most so many rows of its newest
    /// evaluation.
    Probe { n: usize },
    /// Has a predictor judged on rows, and keeps the record.
    Evaluate { request: EvaluationRequest },
    /// Measures what the cascade of `[scoring.cascade]` costs and gives on judged rows, at most `limit` of them.
    Frontier { rows: RowsChoice, limit: Option<usize> },
    /// Imports files of labels. `annotator`: who judged the rows that do not say.
    ImportLabels { files: Vec<PathBuf>, annotator: Option<String>, trust: Trust },
    /// Imports articles from a file, a folder of files or an address. `limit`: at most so many, from the top.
    ImportArticles { from: String, limit: Option<usize> },
    /// Fetches and imports every feed of `stratos.toml`.
    FetchFeeds,
    /// Makes the sealed hold-out, or grows it.
    Seal { wish: SealWish },
    /// Opens the sealed hold-out for a reason and writes its rows to a file.
    OpenSeal { why: String, to: PathBuf },
    /// Writes the dataset for other programs, with a dataset card.
    ExportDataset { format: Format, folder: PathBuf },
    /// Holds a release against the trained student once more.
    GateRelease { release: String },
    /// Serves a release that passed its gate; without a name: the one served before.
    GoLive { release: Option<String> },
    /// Deletes releases that are not live.
    ClearReleases { releases: Vec<String> },
}

impl Errand {
    /// What it reads where its phase cannot say yet: an evaluation of a file needs no trained student.
    pub fn own_input(&self) -> Option<Digest> {
        match self {
            Self::Evaluate { request } => Some(Digest::of_json(request)),
            Self::Frontier { rows, limit } => Some(Digest::of_json(&("frontier", rows, limit))),
            Self::ImportLabels { .. }
            | Self::ImportArticles { .. }
            | Self::FetchFeeds
            | Self::Seal { .. }
            | Self::OpenSeal { .. }
            | Self::ExportDataset { .. } => Some(Digest::of("stored rows")),
            Self::GateRelease { .. } | Self::GoLive { .. } | Self::ClearReleases { .. } => Some(Digest::of_json(self)),
            _ => None,
        }
    }

    /// Makes relative paths those below `folder`.
    pub(super) fn anchor(&mut self, folder: &Path) {
        for file in self.files() {
            *file = folder.join(&*file);
        }
        match self {
            Self::ImportArticles { from, .. } if !is_address(from) => *from = folder.join(&*from).to_string_lossy().into_owned(),
            _ => {}
        }
    }

    /// Files that the operator named.
    fn files(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::ImportLabels { files, .. } => files.iter_mut().collect(),
            Self::OpenSeal { to, .. } => vec![to],
            Self::ExportDataset { folder, .. } => vec![folder],
            Self::Evaluate { request } => request.files(),
            Self::Frontier { rows: RowsChoice::File(path), .. } => vec![path],
            _ => Vec::new(),
        }
    }

    /// The tab it belongs to.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Polarise { .. } | Self::ImportArticles { .. } | Self::FetchFeeds => Phase::Articles,
            Self::DryRun => Phase::Train,
            Self::Evaluate { .. } | Self::Probe { .. } | Self::Frontier { .. } => Phase::Validate,
            Self::ImportLabels { .. } | Self::Seal { .. } | Self::OpenSeal { .. } | Self::ExportDataset { .. } => Phase::Dataset,
            Self::GateRelease { .. } | Self::GoLive { .. } | Self::ClearReleases { .. } => Phase::Deploy,
            _ => Phase::Distill,
        }
    }

    /// Whether the recipe's readers and articles have to be stored first.
    pub(super) fn needs_sources(&self) -> bool {
        !matches!(
            self,
            Self::ImportLabels { .. }
                | Self::ImportArticles { .. }
                | Self::FetchFeeds
                | Self::ExportDataset { .. }
                | Self::GateRelease { .. }
                | Self::GoLive { .. }
                | Self::ClearReleases { .. }
        )
    }
}

/// Whether articles come over the network from here.
pub(super) fn is_address(from: &str) -> bool {
    let scheme = from.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
}
