//! Teachers: what answers requests for money, or for practice.
//!
//! Owns the [`Teacher`] trait (one life cycle for every provider: check, encode, submit or ask, watch, fetch, read), its
//! implementations, their keys, and the prices. Does not decide what is asked, approved, retried or kept: that is
//! `distill`'s.

mod anthropic;
mod chat;
mod compatible;
mod gemini;
mod http;
pub mod keys;
mod openai;
mod prices;
pub mod rehearsal;
mod rehearsal_batches;
mod replies;
mod settings;
#[cfg(test)]
mod testing;
mod wire;

pub use crate::domain::ErrorKind;
pub use prices::{Mode, Price, PriceError, PriceTable};
pub use rehearsal_batches::{RehearsalTeacher, RehearsalTeacherError};
pub use settings::{BuildError, Settings, build};

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::domain::{Prism, TeacherPrompt, Tokens, UnixMillis};

/// One question, before it takes a provider's form.
pub struct Ask<'a> {
    pub prompt: &'a TeacherPrompt,
    /// The answer's JSON schema; `None`: the text format that the prompt describes.
    pub schema: Option<&'a Schema>,
    pub max_output_tokens: u64,
    /// The typed things that the prompt was rendered from, for a teacher in this process. Never leaves it.
    pub material: &'a Value,
}

/// A JSON schema with the name that some providers want.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub name: &'static str,
    pub schema: Value,
}

/// A request on its way: the id that its answer is joined by, and the provider's body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    pub custom_id: String,
    pub body: Value,
}

/// What is made at a provider in one call.
pub struct NewBatch<'a> {
    /// Ours, put where the provider stores a label, so that a lost reply can be settled by listing.
    pub label: &'a str,
    pub requests: &'a [Outgoing],
}

/// A batch as the provider describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteBatch {
    pub id: String,
    pub state: BatchState,
    /// `None` where the provider does not say (yet).
    pub total: Option<usize>,
    /// `None` where the provider gives no progress.
    pub answered: Option<usize>,
    /// The label it was made with, where the provider keeps one.
    pub label: Option<String>,
    pub created: Option<UnixMillis>,
    pub expires: Option<UnixMillis>,
    /// What the provider says of a batch that failed.
    pub why: Option<String>,
    /// The provider expired or cancelled it, and then leaves requests out of the results.
    pub short: bool,
    /// Where the results are: urls or file ids, as the provider spells them.
    pub results: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Under way, or in a state this version does not know.
    InProgress,
    Canceling,
    /// Over, with results; also where the provider cancelled or gave up some requests.
    Ended,
    /// Over as a whole: nothing was answered, nothing is billed.
    Failed,
    /// Its results are no longer to be had.
    Archived,
}

impl BatchState {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Failed | Self::Archived)
    }
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
    Answered { text: String, stop: Stop, tokens: Tokens },
    Errored { why: String, kind: ErrorKind },
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
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The provider said clearly that it made nothing.
    #[error("{why}")]
    Refused { why: String, kind: Refusal },
    /// It may exist; it is never sent again before that is settled.
    #[error("{0}")]
    Unclear(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// More than one call may carry: send it in smaller parts.
    TooLarge,
    /// Not now: a rate or queue limit.
    Busy { after: Option<Duration> },
    /// This request is not accepted (its content, its parameters); another one may be.
    Request,
    /// Spend limit, key, permission: stop.
    Final,
}

/// A read that failed. Reading costs nothing and may be tried again, where trying can help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct TeacherError {
    pub why: String,
    pub trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Network, overload, rate limit: the same read again, later.
    Passing { after: Option<Duration> },
    /// The provider does not know the thing (yet, or any more).
    Missing,
    /// Key, account, spend limit, foreign host, a damaged reply: stop.
    Final,
}

impl TeacherError {
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), trouble: Trouble::Passing { after: None } }
    }

    pub fn missing(why: impl Into<String>) -> Self {
        Self { why: why.into(), trouble: Trouble::Missing }
    }

    pub fn fatal(why: impl Into<String>) -> Self {
        Self { why: why.into(), trouble: Trouble::Final }
    }
}

/// What one call of a provider may carry, and how often it likes to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub requests: usize,
    /// Of the encoded requests together.
    pub bytes: usize,
    /// Between two looks at a batch.
    pub poll: Duration,
    /// After this long a provider gives up a batch; `None`: never.
    pub expires: Option<Duration>,
    /// A batch that nobody finds in the provider's list for this long was never made. Zero: the list is always complete.
    pub settle: Duration,
    /// Requests under way at once where requests are asked one by one.
    pub concurrency: usize,
}

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A provider of answers. Calls that cost money are made once each; nothing here retries.
pub trait Teacher: Send + Sync {
    fn provider(&self) -> &str;
    fn model(&self) -> &str;
    fn limits(&self) -> Limits;

    /// The batch calls; `None`: this provider answers one request at a time.
    fn batches(&self) -> Option<&dyn Batches>;

    /// Which price row a request takes.
    fn mode(&self) -> Mode {
        if self.batches().is_some() { Mode::Batch } else { Mode::Standard }
    }

    /// Whether answers by JSON schema can be asked for.
    fn answers_by_schema(&self) -> bool {
        false
    }

    /// Whether a prompt's shared front may be billed at the price of writing it to a cache.
    fn writes_cache(&self) -> bool {
        false
    }

    /// Settings that change what the model answers (temperature, effort), as text: part of the cache key.
    fn options(&self) -> String {
        String::new()
    }

    /// The request's body, the same for the same question.
    fn encode(&self, ask: &Ask<'_>) -> Value;

    /// A free look whether key and model are accepted, before anything is sent that costs.
    fn check(&self) -> Pending<'_, Result<(), TeacherError>> {
        Box::pin(async { Ok(()) })
    }

    /// Prompt tokens of a body by the provider's own counter; `None`: it has none that is free.
    fn count<'a>(&'a self, _body: &'a Value) -> Option<Pending<'a, Result<u64, TeacherError>>> {
        None
    }

    /// Asks one request and waits for its answer: the bytes of one result line, without a line end.
    fn ask<'a>(&'a self, request: &'a Outgoing) -> Pending<'a, Result<Vec<u8>, SubmitError>>;

    /// Reads one line of a result file, or what [`Teacher::ask`] brought.
    fn read_line(&self, line: &[u8]) -> Result<ResultLine, String>;

    /// A judgement that costs nothing and needs no batch, where the teacher can give one.
    fn free_answer(&self, _material: &Value) -> Option<Prism> {
        None
    }
}

/// The calls of a batch API.
pub trait Batches: Send + Sync {
    /// Makes a batch, once.
    fn submit<'a>(&'a self, batch: &'a NewBatch<'a>) -> Pending<'a, Result<RemoteBatch, SubmitError>>;

    fn watch<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<RemoteBatch, TeacherError>>;

    /// Asks the provider to answer no more of a batch. What is under way may still be answered and billed.
    fn cancel<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<(), TeacherError>>;

    /// Writes the whole result file, byte for byte as it comes; several files one after the other.
    fn fetch<'a>(&'a self, batch: &'a RemoteBatch, into: &'a mut (dyn Write + Send)) -> Pending<'a, Result<(), TeacherError>>;

    /// Batches created at or after `since`, for settling an unclear submission.
    fn list(&self, since: UnixMillis) -> Pending<'_, Result<Vec<RemoteBatch>, TeacherError>>;
}
