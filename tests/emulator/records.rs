//! What is remembered of batches, their requests and files: plain records, in no provider's words.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answers::{Ask, Said};
use super::{Bill, Provider};

/// Where a batch stands, in no provider's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Running,
    Cancelling,
    Completed,
    Cancelled,
    Expired,
    Failed,
}

impl Phase {
    pub fn ended(self) -> bool {
        !matches!(self, Self::Running | Self::Cancelling)
    }
}

/// How one request of a batch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Said(Said),
    /// Failed at the provider, with its own kind of error and words.
    Errored {
        kind: String,
        message: String,
    },
    Canceled,
    Expired,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub custom_id: String,
    pub model: String,
    pub end: End,
    pub bill: Option<Bill>,
    /// Its cache entry lives an hour, not five minutes.
    pub hour: bool,
}

/// A batch without its outcomes, as it is written again at every change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with one another")]
pub struct Batch {
    pub id: String,
    pub provider: Provider,
    pub created: i64,
    pub looks: u32,
    pub phase: Phase,
    pub count: usize,
    pub model: String,
    pub ended_at: Option<i64>,
    pub cancel_at: Option<i64>,
    /// Never starts.
    pub stuck: bool,
    /// Its results are said to lie on another host.
    pub foreign: bool,
    pub deleted: bool,
    /// Why it failed as a whole.
    pub failure: Option<Failure>,
    /// One line of the output holds an error inside its response.
    pub error_inside: bool,
    /// What the maker said about it: metadata, display name.
    pub note: Value,
    pub endpoint: String,
    pub input_file: String,
    pub output_file: Option<String>,
    pub error_file: Option<String>,
    #[serde(skip)]
    pub outcomes: Vec<Outcome>,
}

/// Why a batch failed as a whole, and at which line of its input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub line: Option<usize>,
}

impl Failure {
    pub fn new(code: &str, message: &str, line: Option<usize>) -> Self {
        Self { code: code.into(), message: message.into(), line }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredFile {
    pub id: String,
    pub provider: Provider,
    pub name: String,
    pub purpose: String,
    pub mime: String,
    pub bytes: u64,
    pub created: i64,
    /// An upload that has begun and is not complete.
    pub open: bool,
}

/// What is known of a batch before it is made.
#[derive(Debug, Default)]
pub struct Draft {
    pub model: String,
    pub note: Value,
    pub endpoint: String,
    pub input_file: String,
    pub stuck: bool,
    pub failure: Option<Failure>,
    pub error_inside: bool,
}

/// One request on its way into a batch: what it asks, or why it will be errored (kind, message).
pub type Line = (String, Result<Ask, (String, String)>);
