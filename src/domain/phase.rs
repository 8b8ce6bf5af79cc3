//! The eight phases: at once the tabs, the subcommands and the modules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Profiles,
    Articles,
    Distill,
    Dataset,
    Train,
    Validate,
    Audit,
    Deploy,
}

impl Phase {
    pub const ALL: [Self; 8] =
        [Self::Profiles, Self::Articles, Self::Distill, Self::Dataset, Self::Train, Self::Validate, Self::Audit, Self::Deploy];

    /// 0 for Profiles … 7 for Deploy.
    pub fn index(self) -> usize {
        self as usize
    }

    pub fn id(self) -> &'static str {
        match self {
            Self::Profiles => "profiles",
            Self::Articles => "articles",
            Self::Distill => "distill",
            Self::Dataset => "dataset",
            Self::Train => "train",
            Self::Validate => "validate",
            Self::Audit => "audit",
            Self::Deploy => "deploy",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Profiles => "Profiles",
            Self::Articles => "Articles",
            Self::Distill => "Distill",
            Self::Dataset => "Dataset",
            Self::Train => "Train",
            Self::Validate => "Validate",
            Self::Audit => "Audit",
            Self::Deploy => "Deploy",
        }
    }

    /// The phases up to and including this one.
    pub fn up_to(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().take_while(move |p| *p <= self)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Phase {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|p| p.id() == text.to_lowercase()).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|p| p.id()).collect();
            format!("'{text}' is not a phase; the phases are {}", known.join(", "))
        })
    }
}

/// Where a phase stands, computed from content digests and the running job, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub enum PhaseState {
    /// Inputs are missing; says which.
    Locked(String),
    Ready,
    Running,
    /// Waits for the operator; says for what.
    NeedsApproval(String),
    Done,
    /// Was done, but its inputs changed since; says which.
    Stale(String),
}

impl PhaseState {
    pub fn label(&self) -> &'static str {
        match self {
            Self::Locked(_) => "locked",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::NeedsApproval(_) => "needs approval",
            Self::Done => "done",
            Self::Stale(_) => "stale",
        }
    }

    /// A glyph that tells the states apart without colour.
    pub fn glyph(&self) -> &'static str {
        match self {
            Self::Locked(_) => "·",
            Self::Ready => "○",
            Self::Running => "▶",
            Self::NeedsApproval(_) => "?",
            Self::Done => "✓",
            Self::Stale(_) => "~",
        }
    }
}
