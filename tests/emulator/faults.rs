//! The script of faults: what goes wrong next, how often, and at which kind of call.
//! Owns the queue and the record of calls seen; both outlive a restart of the server, because they belong to the test.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What kind of call is being answered; faults wait for the first one they apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A batch is made.
    Create,
    /// One batch is looked at.
    Look,
    /// Batches are listed.
    List,
    /// Results are downloaded: Anthropic's results, an `OpenAI` or Gemini output file, an inline Gemini answer.
    Results,
    /// A file is uploaded.
    Upload,
    /// One prompt, answered at once.
    Sync,
    /// Everything else: cancel, delete, models, token counts, file facts.
    Other,
}

/// How a download is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// In the middle of a line, with a content-length that fits the cut: only the parser can notice.
    InsideLine,
    /// Behind the first half of the lines, with a content-length that fits: only the count can notice.
    AtLineBoundary,
    /// The content-length of the whole, half the bytes, then the connection closes.
    WrongLength,
}

/// What a scripted status says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The provider's own error object for that status.
    Provider,
    /// A proxy's HTML page.
    Html,
    /// The provider's words for a spend limit that no waiting cures.
    SpendLimit,
    /// These very bytes.
    Text(String),
}

/// One thing that goes wrong. Each is consumed once unless it says `times`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The next create (or synchronous call) is committed and billed, and the connection closes without a reply.
    CommitThenDrop,
    /// The next create (or synchronous call) is forgotten and the connection closes without a reply.
    DropBeforeCommit,
    /// The next create (or synchronous call) is committed and billed; the reply is a proxy's HTML 502.
    CommitThen502Html,
    /// The next call is done at once and its reply comes that many milliseconds late.
    DelayMs(u64),
    /// The next download of results is cut short.
    TruncateResults { how: Truncation },
    /// The next download of results has its first line twice.
    DuplicateLine,
    /// The next download of results holds one line more, for an id nobody asked about.
    UnknownIdLine,
    /// The next looks at a batch find nothing, that many times.
    NotFoundAfterCreate { times: u32 },
    /// The next batch that shows an Anthropic `results_url` names another host from then on: `localhost` instead of `127.0.0.1`,
    /// same port, so that a leaked key shows in `requests_seen` with its `host`.
    ForeignResultsUrl,
    /// The next calls are answered with this status, that many times, before anything is done.
    Status { code: u16, times: u32, body: Body, retry_after: Option<u64> },
    /// Every line of the next batch made fails for want of credit; nothing is billed.
    AllErroredLowCredit,
    /// Every line of the next `OpenAI` batch goes to the error file; there is no output file (its id is "").
    OnlyErrorFile,
    /// In the next `OpenAI` batch one line of the output file holds a status 400 inside `response`, with `error: null`.
    ErrorInsideOutput,
    /// The next `OpenAI` batch becomes `failed` with `token_limit_exceeded` after its creation.
    QueuedTokenLimit,
    /// The next batch made never starts; after its time limit every line is expired.
    StuckPending,
    /// The next batch looked at while it runs is expired on the spot: about half its lines are done (Gemini: none).
    ExpireNow,
    /// From now on, until faults are cleared, no model is known: lookups and synchronous calls 404, batch lines errored.
    ModelRetired,
    /// The next call is answered with a 307 to this address.
    Redirect { to: String },
    /// The next connections are closed before the request is read, that many times.
    ServerDown { times: u32 },
}

impl Fault {
    /// 429 with a `retry-after`: wait and go on.
    pub fn rate_limited(retry_after: u64) -> Self {
        Self::Status { code: 429, times: 1, body: Body::Provider, retry_after: Some(retry_after) }
    }

    /// 429 that says `enforced_spend_limit_reached`: stop.
    pub fn spend_limit() -> Self {
        Self::Status { code: 429, times: 1, body: Body::SpendLimit, retry_after: None }
    }

    /// 529 (503 in the dialects that know no 529).
    pub fn overloaded() -> Self {
        Self::Status { code: 529, times: 1, body: Body::Provider, retry_after: None }
    }

    /// 413 in a proxy's HTML.
    pub fn too_large_html() -> Self {
        Self::Status { code: 413, times: 1, body: Body::Html, retry_after: None }
    }

    /// 401 in the provider's words.
    pub fn unauthorized() -> Self {
        Self::Status { code: 401, times: 1, body: Body::Provider, retry_after: None }
    }

    /// Any status, in the provider's words.
    pub fn status(code: u16, times: u32) -> Self {
        Self::Status { code, times, body: Body::Provider, retry_after: None }
    }

    fn times(&self) -> u32 {
        match self {
            Self::NotFoundAfterCreate { times } | Self::Status { times, .. } | Self::ServerDown { times } => *times,
            Self::ModelRetired => u32::MAX,
            _ => 1,
        }
    }
}

/// A fault that waits for its call.
#[derive(Debug, Clone)]
struct Armed {
    fault: Fault,
    left: u32,
    on: Option<Op>,
}

/// One call that reached the server, as a test about leaked keys wants to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub host: String,
    /// Every header or query value that carries a credential, as (name, value).
    pub keys: Vec<(String, String)>,
}

/// The queue of faults and the record of calls.
#[derive(Debug, Default)]
pub struct Script {
    armed: VecDeque<Armed>,
    pub seen: Vec<Seen>,
}

impl Script {
    pub fn arm(&mut self, fault: Fault, on: Option<Op>) {
        let left = fault.times();
        if left > 0 {
            self.armed.push_back(Armed { fault, left, on });
        }
    }

    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// The first fault in the queue that `wants` accepts and that may strike at `op`; one of its times is used up.
    pub fn take(&mut self, op: Op, wants: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let at = self.armed.iter().position(|a| a.on.is_none_or(|on| on == op) && wants(&a.fault))?;
        let armed = self.armed.get_mut(at)?;
        let fault = armed.fault.clone();
        if armed.left != u32::MAX {
            armed.left -= 1;
        }
        if armed.left == 0 {
            self.armed.remove(at);
        }
        Some(fault)
    }

    /// Whether exactly this fault struck.
    pub fn strikes(&mut self, op: Op, fault: &Fault) -> bool {
        self.take(op, |f| f == fault).is_some()
    }

    /// How many faults still wait.
    pub fn waiting(&self) -> usize {
        self.armed.len()
    }
}
