//! OpenAI's chat form, as OpenAI's batches and every compatible server speak it.
//!
//! Owns the request body and the reading of a completion. Knows no address, no file and no price.

use serde_json::{Value, json};

use super::replies::Complaint;
use super::settings::Settings;
use super::{Ask, ErrorKind, Outcome, ResultLine, Stop, wire};
use crate::domain::Tokens;

/// What differs between servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// The key of the output limit.
    pub limit: &'static str,
    /// Said explicitly where a server may stream by default.
    pub no_stream: bool,
}

/// The rubric and the reader come first, in one system text, so that servers can cache the shared front.
pub(super) fn body(settings: &Settings, dialect: Dialect, ask: &Ask<'_>) -> Value {
    let mut body = json!({
        "model": settings.model,
        "messages": [{"role": "system", "content": ask.prompt.system()}, {"role": "user", "content": ask.prompt.user}],
    });
    body[dialect.limit] = json!(ask.max_output_tokens);
    if dialect.no_stream {
        body["stream"] = json!(false);
    }
    if let Some(schema) = ask.schema {
        let named = json!({"name": schema.name, "strict": true, "schema": schema.schema});
        body["response_format"] = json!({"type": "json_schema", "json_schema": named});
    }
    if let Some(effort) = &settings.effort {
        body["reasoning_effort"] = json!(effort);
    }
    if let Some(temperature) = settings.temperature {
        body["temperature"] = json!(temperature);
    }
    body
}

/// What a server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub prompt: u64,
    pub cached: u64,
    pub output: u64,
}

impl Usage {
    pub fn tokens(self) -> Tokens {
        Tokens { cache_read: self.cached, ..Tokens::plain(self.prompt.saturating_sub(self.cached), self.output) }
    }

    fn read(usage: &Value) -> Option<Self> {
        Some(Self {
            prompt: usage["prompt_tokens"].as_u64()?,
            cached: usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
            output: usage["completion_tokens"].as_u64().unwrap_or(0),
        })
    }
}

/// One line, read as far as both servers' lines are alike.
pub(super) struct Line {
    pub custom_id: String,
    pub read: Read,
    pub value: Value,
}

pub(super) enum Read {
    Completion { text: String, stop: Stop, usage: Option<Usage> },
    Other(Outcome),
}

impl Line {
    /// Where the server counted nothing, nothing is counted.
    pub fn plain(self) -> ResultLine {
        let outcome = match self.read {
            Read::Completion { text, stop, usage } => {
                Outcome::Answered { text, stop, tokens: usage.map(Usage::tokens).unwrap_or_default() }
            }
            Read::Other(outcome) => outcome,
        };
        ResultLine { custom_id: self.custom_id, outcome }
    }
}

/// `{custom_id, response: {status_code, body}, error}`.
pub(super) fn line(bytes: &[u8]) -> Result<Line, String> {
    let value = wire::line(bytes)?;
    let custom_id = wire::text(&value, "custom_id")?;
    let read = match value["error"]["code"].as_str() {
        Some("batch_expired") => Read::Other(Outcome::Expired),
        Some("batch_cancelled") => Read::Other(Outcome::Canceled),
        _ if !value["error"].is_null() => Read::Other(errored(&value, status(&value))),
        _ => response(&value),
    };
    Ok(Line { custom_id, read, value })
}

fn status(value: &Value) -> Option<u16> {
    value["response"]["status_code"].as_u64().and_then(|s| u16::try_from(s).ok())
}

fn response(value: &Value) -> Read {
    let (body, status) = (&value["response"]["body"], status(value));
    // A failure can stand in the body with no error beside it.
    if status.is_some_and(|s| s >= 400) || !body["error"].is_null() || body["object"] == "error" {
        return Read::Other(errored(body, status.filter(|s| *s >= 400)));
    }
    completion(body)
}

fn errored(value: &Value, status: Option<u16>) -> Outcome {
    let complaint = Complaint::of(value);
    Outcome::Errored { why: complaint.text(), kind: complaint.kind(status) }
}

fn completion(body: &Value) -> Read {
    let Some(choice) = body["choices"].get(0) else {
        let why = "the server answered without any choice".to_owned();
        return Read::Other(Outcome::Errored { why, kind: ErrorKind::Server });
    };
    let message = &choice["message"];
    let refusal = wire::present(&message["refusal"]);
    let stop = match choice["finish_reason"].as_str() {
        _ if refusal.is_some() => Stop::Refusal,
        Some("content_filter") => Stop::Refusal,
        Some("length") => Stop::TokenLimit,
        _ => Stop::End,
    };
    let text = refusal.or_else(|| wire::present(&message["content"])).unwrap_or_default();
    Read::Completion { text, stop, usage: Usage::read(&body["usage"]) }
}
