//! A trace: one validated judgement of a teacher, ready to be taught from.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Answer, AnswerDefect, DepthVerdict, PairKey, Recipe, word_count};

/// Usable, but worth knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The think block has fewer or more words than its tier asks for.
    OutsideTier,
}

/// What a request that errored at its provider tells about asking again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The provider's own trouble: asking again can help.
    #[default]
    Server,
    /// The request as such is not accepted: the same one will not be either.
    Request,
    /// Credit, spend limit, permission: nothing helps before the account is mended.
    Account,
}

/// Why a paid answer cannot be taught from. Its bytes are kept all the same.
#[derive(Debug, Clone, PartialEq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reject")]
pub enum Reject {
    #[error("not in the format: {defect}")]
    Format { defect: AnswerDefect },
    #[error("scored exactly {score:.1}, which the recipe forbids")]
    Forbidden { score: f64 },
    #[error("think block of {words} words; at least {least} are asked for")]
    TooShort { words: usize, least: usize },
    #[error("think block of {words} words; at most {most} are allowed")]
    TooLong { words: usize, most: usize },
    #[error("cut off at {tokens} tokens before it was finished")]
    Truncated { tokens: u64 },
    #[error("refused by the model: {why}")]
    Refused { why: String },
    #[error("failed at the provider: {why}")]
    Failed {
        why: String,
        #[serde(default)]
        kind: ErrorKind,
    },
    #[error("expired at the provider before it was answered")]
    Expired,
    #[error("cancelled before it was answered")]
    Canceled,
    #[error("no answer came back for this request")]
    Missing,
    #[error("sent, but its answer was lost on the way; it may have been billed")]
    Lost,
}

impl Reject {
    /// Short stable name to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Format { .. } => "format",
            Self::Forbidden { .. } => "forbidden score",
            Self::TooShort { .. } => "too short",
            Self::TooLong { .. } => "too long",
            Self::Truncated { .. } => "truncated",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::Expired => "expired",
            Self::Canceled => "cancelled",
            Self::Missing => "missing",
            Self::Lost => "lost",
        }
    }
}

/// One judgement that passed examination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub pair: PairKey,
    pub answer: Answer,
    pub words: usize,
    /// Name of the depth tier the score belongs to.
    pub reasoning_tier: String,
    pub flags: Vec<Flag>,
}

/// Examines an answer's text by the recipe's rules: format, forbidden scores, depth.
pub fn examine(recipe: &Recipe, pair: PairKey, text: &str) -> Result<Trace, Reject> {
    let answer =
        Answer::parse_strict(text, recipe.student.think, recipe.scale.range()).map_err(|defect| Reject::Format { defect })?;
    if recipe.scale.forbids(answer.score) {
        return Err(Reject::Forbidden { score: answer.score });
    }
    let words = word_count(&answer.think);
    let mut flags = Vec::new();
    if recipe.student.think {
        match recipe.depth.judge(&recipe.bands, answer.score, words) {
            DepthVerdict::Fits => {}
            DepthVerdict::OutsideTier => flags.push(Flag::OutsideTier),
            DepthVerdict::TooShort => {
                return Err(Reject::TooShort { words, least: recipe.depth.reject_below });
            }
            DepthVerdict::TooLong => {
                return Err(Reject::TooLong { words, most: recipe.depth.reject_above });
            }
        }
    }
    let reasoning_tier = recipe.depth.tier_of(&recipe.bands, answer.score).map_or_else(String::new, |tier| tier.name.clone());
    Ok(Trace { pair, answer, words, reasoning_tier, flags })
}
