//! Teachers: what answers requests for money, or for practice.
//!
//! Owns the [`Teacher`] trait (one life cycle for every provider: encode, submit, watch, fetch, read) and its
//! implementations, and the prices. Does not decide what is asked, approved, retried or kept: that is `distill`'s.

mod prices;
pub mod rehearsal;
mod rehearsal_batches;

pub use prices::{Price, PriceError, PriceTable};
pub use rehearsal_batches::{RehearsalTeacher, RehearsalTeacherError};

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{Article, Prism, Profile, StudentPrompt};

/// One question, before it takes a provider's form.
pub struct Ask<'a> {
    pub profile: &'a Profile,
    pub article: &'a Article,
    pub prompt: &'a StudentPrompt,
    pub max_output_tokens: u64,
}

/// A request on its way: the id that its answer is joined by, and the provider's body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    pub custom_id: String,
    pub body: serde_json::Value,
}

/// A batch as the provider describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteBatch {
    pub id: String,
    pub state: BatchState,
    pub total: usize,
    /// `None` where the provider gives no progress.
    pub answered: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    InProgress,
    Ended,
    Canceled,
    Expired,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    End,
    TokenLimit,
    Refusal,
}

impl Stop {
    pub fn id(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::TokenLimit => "token limit",
            Self::Refusal => "refusal",
        }
    }
}

/// What came back for one request: a closed set.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answered { text: String, stop: Stop, input_tokens: u64, output_tokens: u64 },
    Errored { why: String },
    Expired,
    Canceled,
}

/// One line of a result file.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultLine {
    pub custom_id: String,
    pub outcome: Outcome,
}

/// Why a batch was not made, or nobody knows whether it was.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// The provider said clearly that it made nothing.
    #[error("the batch was refused: {0}")]
    Refused(String),
    /// It may exist; it is never sent again before that is settled.
    #[error("no clear answer to the submission: {0}")]
    Unclear(String),
}

/// A read that failed. Reading costs nothing and may be tried again.
#[derive(Debug, Error)]
#[error("{why}")]
pub struct TeacherError {
    pub why: String,
}

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A provider of answers. Calls that cost money are made once each; nothing here retries.
pub trait Teacher: Send + Sync {
    fn provider(&self) -> &str;
    fn model(&self) -> &str;

    /// How long to wait between two looks at a batch.
    fn poll_interval(&self) -> Duration;

    /// Most requests in one batch.
    fn max_batch(&self) -> usize;

    /// The request's body. Its digest, with provider and model, is the cache key of the answer.
    fn encode(&self, ask: &Ask<'_>) -> serde_json::Value;

    /// Makes a batch, once.
    fn submit<'a>(&'a self, requests: &'a [Outgoing]) -> Pending<'a, Result<RemoteBatch, SubmitError>>;

    fn watch<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<RemoteBatch, TeacherError>>;

    /// The whole result file, byte for byte.
    fn fetch<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<Vec<u8>, TeacherError>>;

    /// All batches the provider knows, for settling an unclear submission.
    fn list(&self) -> Pending<'_, Result<Vec<RemoteBatch>, TeacherError>>;

    /// An answer that costs nothing and needs no batch, where the teacher can give one.
    fn free_answer(&self, _profile: &Profile, _article: &Article) -> Option<Prism> {
        None
    }

    /// Reads one line of a result file.
    fn read_line(&self, line: &str) -> Result<ResultLine, String>;
}

/// Tokens as an estimate where no counter is to be had: four bytes a token, as the providers advise.
pub fn estimate_tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}
