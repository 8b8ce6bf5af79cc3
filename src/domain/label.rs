//! Labels: judgements that came as files. Owns what one is and where it stands; reading files of foreign shapes and
//! deciding what can be taught from is `dataset`'s, keeping them is `workspace`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ArticleId, Digest, PairKey, ProfileId};

/// How far an annotator is trusted, as whoever imported the file said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    Low,
    #[default]
    Medium,
    High,
}

impl Trust {
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    pub fn id(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl std::str::FromStr for Trust {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || format!("'{}' is no trust; use low, medium or high", super::one_line(text, 20));
        Self::ALL.into_iter().find(|trust| trust.id() == text).ok_or_else(known)
    }
}

/// What kind of file a label came in, told by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// `article_id`, `profile_id`, `score`, `reason`, `annotator`.
    Scores,
    /// Chat messages that carry the texts of reader and article and no ids.
    Chat,
    /// Rows of an earlier training file: messages with ids, or prompt and completion.
    Training,
}

impl LabelKind {
    pub fn id(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Chat => "chat",
            Self::Training => "training",
        }
    }

    pub fn from_id(id: &str) -> Option<Self> {
        [Self::Scores, Self::Chat, Self::Training].into_iter().find(|kind| kind.id() == id)
    }
}

/// Whether a label can be taught from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelState {
    Kept,
    /// Its article or its reader is not known; it is looked at again when more is imported.
    Orphan,
    Quarantined,
}

impl LabelState {
    pub fn id(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Orphan => "orphan",
            Self::Quarantined => "quarantined",
        }
    }

    pub fn from_id(id: &str) -> Option<Self> {
        [Self::Kept, Self::Orphan, Self::Quarantined].into_iter().find(|state| state.id() == id)
    }
}

/// What one row says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelBody {
    /// `None`: the row has no number for a score.
    pub score: Option<f64>,
    #[serde(default)]
    pub reason: String,
    /// The think block, where the row has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub think: String,
    /// Why the row cannot be read as one judgement of one pair; found when it was read, whatever the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<String>,
    /// The model that judged, where the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Digest of the prompt that was judged by, where the row carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_digest: Option<Digest>,
    /// What the scores were calibrated by, where the row says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated_by: Option<String>,
}

/// One row of an imported file.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Counted from 1 in its file.
    pub line: usize,
    pub annotator: String,
    /// As the file spells them; empty where it says nothing usable.
    pub article: String,
    pub profile: String,
    pub body: LabelBody,
    pub state: LabelState,
    /// Why it is not kept; empty for kept ones.
    pub reason: String,
}

impl Label {
    /// The pair, where both ids can be ids.
    pub fn pair(&self) -> Option<PairKey> {
        let article = ArticleId::new(self.article.as_str()).ok()?;
        Some(PairKey { article, profile: ProfileId::new(self.profile.as_str()).ok()? })
    }
}

/// Where in which file a label stood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileLine {
    pub file: String,
    pub sha256: Digest,
    pub line: usize,
}
