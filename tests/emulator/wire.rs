//! A call as the dialects see it, a reply as they give it, and what all dialects do alike: which op a call is, error bodies, spoilt
//! downloads. Nothing here waits or does input and output.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::Provider;
use super::faults::{Body, Fault, Op, Script, Truncation};
use super::state::World;

pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// A whole number in the query, within bounds; absent or odd: the default.
    pub fn number(&self, name: &str, default: usize, max: usize) -> usize {
        self.param(name).and_then(|v| v.parse().ok()).unwrap_or(default).clamp(1, max)
    }

    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|e| e.to_string())
    }

    /// Method and path segments, to match on.
    pub fn route(&self) -> (&str, Vec<&str>) {
        (self.method.as_str(), self.path.split('/').filter(|s| !s.is_empty()).collect())
    }

    /// The key it came with, without `Bearer`.
    pub fn key(&self) -> Option<&str> {
        let bearer = self.header("authorization").and_then(|v| v.strip_prefix("Bearer "));
        self.header("x-api-key").or(self.header("x-goog-api-key")).or(bearer).or(self.param("key"))
    }

    /// Gemini's API is the same under `v1`, which the newer SDKs call, as under `v1beta`; only its key tells it from `OpenAI`'s there.
    pub fn settle_version(&mut self) {
        if self.header("x-goog-api-key").or(self.param("key")).is_some() {
            for place in ["/v1/", "/upload/v1/", "/download/v1/"] {
                if let Some(rest) = self.path.strip_prefix(place) {
                    self.path = format!("{}beta/{rest}", place.trim_end_matches('/'));
                }
            }
        }
    }

    /// Everything in it that carries a credential.
    pub fn keys(&self) -> Vec<(String, String)> {
        let named = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "proxy-authorization", "cookie"];
        let headers = named.iter().filter_map(|n| self.header(n).map(|v| ((*n).to_owned(), v.to_owned())));
        headers.chain(self.query.iter().filter(|(k, _)| k == "key").cloned()).collect()
    }

    pub fn provider(&self) -> Option<Provider> {
        let (_, segments) = self.route();
        match segments.as_slice() {
            ["v1", "messages", ..] => Some(Provider::Anthropic),
            ["v1", "models", ..] if self.header("anthropic-version").or(self.header("x-api-key")).is_some() => {
                Some(Provider::Anthropic)
            }
            ["v1beta", ..] | ["upload" | "download", "v1beta", ..] => Some(Provider::Gemini),
            ["v1", ..] => Some(Provider::OpenAi),
            _ => None,
        }
    }

    pub fn op(&self) -> Op {
        let (method, segments) = self.route();
        match (method, segments.as_slice()) {
            ("POST", ["v1", "messages", "batches"] | ["v1", "batches"]) => Op::Create,
            ("POST", ["v1beta", "models", verb]) if verb.ends_with(":batchGenerateContent") => Op::Create,
            ("GET", ["v1", "messages", "batches"] | ["v1" | "v1beta", "batches"]) => Op::List,
            ("GET", ["v1", "messages", "batches", _] | ["v1" | "v1beta", "batches", _]) => Op::Look,
            ("GET", ["v1", "messages", "batches", _, "results"] | ["v1", "files", _, "content"]) => Op::Results,
            ("GET", ["v1beta", "files", verb] | ["download", "v1beta", "files", verb]) if verb.ends_with(":download") => {
                Op::Results
            }
            ("POST", ["v1", "files"] | ["upload", ..]) => Op::Upload,
            ("POST", ["v1", "messages"] | ["v1", "chat", "completions"]) => Op::Sync,
            ("POST", ["v1beta", "models", verb]) if verb.ends_with(":generateContent") => Op::Sync,
            _ => Op::Other,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// A content-length that is not the body's.
    pub claimed: Option<usize>,
    /// No reply at all: the connection closes.
    pub cut: bool,
}

impl Reply {
    pub fn json(status: u16, value: &Value) -> Self {
        Self::bytes(status, "application/json", value.to_string().into_bytes())
    }

    pub fn ok(value: &Value) -> Self {
        Self::json(200, value)
    }

    pub fn bytes(status: u16, mime: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type".into(), mime.into())], body, ..Self::default() }
    }

    pub fn html(status: u16) -> Self {
        let page = format!(
            "<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center><hr><center>cloudflare</center></body>\r\n</html>\r\n"
        );
        Self::bytes(status, "text/html", page.into_bytes())
    }

    pub fn cut() -> Self {
        Self { cut: true, ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An error in the provider's own words.
pub fn problem(provider: Provider, status: u16, message: &str) -> Reply {
    let value = match provider {
        Provider::Anthropic => {
            json!({"type": "error", "error": {"type": anthropic_kind(status), "message": message}, "request_id": null})
        }
        Provider::OpenAi => {
            let (kind, code) = openai_kind(status);
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        }
        Provider::Gemini => json!({"error": {"code": status, "message": message, "status": gemini_kind(status)}}),
    };
    Reply::json(status, &value)
}

pub fn anthropic_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

fn openai_kind(status: u16) -> (&'static str, Value) {
    match status {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        403 => ("insufficient_permissions", Value::Null),
        404 => ("invalid_request_error", json!("not_found")),
        429 => ("requests", json!("rate_limit_exceeded")),
        400..=499 => ("invalid_request_error", Value::Null),
        _ => ("server_error", Value::Null),
    }
}

fn gemini_kind(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        400..=498 => "INVALID_ARGUMENT",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

/// The reply of a scripted status.
pub fn scripted(provider: Provider, code: u16, body: &Body, retry_after: Option<u64>) -> Reply {
    let code = if code == 529 && provider != Provider::Anthropic { 503 } else { code };
    let reply = match body {
        Body::Provider => problem(provider, code, words(code)),
        Body::Html => Reply::html(code),
        Body::Text(text) => Reply::bytes(code, "text/plain", text.clone().into_bytes()),
        Body::SpendLimit => Reply::json(code, &spend_limit(provider, code)),
    };
    match retry_after {
        Some(seconds) => reply.with("retry-after", seconds.to_string()),
        None => reply,
    }
}

fn spend_limit(provider: Provider, code: u16) -> Value {
    match provider {
        Provider::Anthropic => json!({"type": "error", "request_id": null, "error": {
            "type": "rate_limit_error",
            "message": "You have reached your specified API usage limits (enforced_spend_limit_reached).",
            "details": {"error_code": "enforced_spend_limit_reached"}}}),
        Provider::OpenAi => json!({"error": {
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}),
        Provider::Gemini => json!({"error": {"code": code, "status": "RESOURCE_EXHAUSTED",
            "message": "You exceeded your current quota, please check your plan and billing details."}}),
    }
}

fn words(code: u16) -> &'static str {
    match code {
        401 => "invalid x-api-key",
        402 => "Your credit balance is too low.",
        403 => "Your key may not do this.",
        404 => "Not found",
        413 => "Request exceeds the maximum size",
        429 => "This request would exceed your rate limit. Please try again later.",
        503 | 529 => "Overloaded",
        504 => "Timed out",
        400..=499 => "Invalid request",
        _ => "Internal server error",
    }
}

/// A download of lines, spoilt as the script says. `id` names the field that holds a line's id.
pub fn download(mut lines: Vec<String>, id: &str, mime: &str, script: &mut Script) -> Reply {
    if script.strikes(Op::Results, &Fault::DuplicateLine)
        && let Some(first) = lines.first().cloned()
    {
        lines.push(first);
    }
    if script.strikes(Op::Results, &Fault::UnknownIdLine)
        && let Some(mut stranger) = lines.first().and_then(|l| serde_json::from_str::<Value>(l).ok())
    {
        stranger[id] = json!("nobody-asked-for-this");
        lines.push(stranger.to_string());
    }
    let whole: Vec<u8> = lines.iter().flat_map(|l| l.bytes().chain([b'\n'])).collect();
    let cut = script.take(Op::Results, |f| matches!(f, Fault::TruncateResults { .. }));
    let Some(Fault::TruncateResults { how }) = cut else { return Reply::bytes(200, mime, whole) };
    spoil(whole, mime, how)
}

/// Half of a body, cut as told.
pub fn spoil(whole: Vec<u8>, mime: &str, how: Truncation) -> Reply {
    let length = whole.len();
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    let boundary = if ends.len() < 2 { 0 } else { ends[ends.len() / 2 - 1] };
    let at = match how {
        Truncation::AtLineBoundary => boundary,
        // Behind the boundary, in the middle of the line that begins there.
        Truncation::InsideLine => {
            let next = ends.iter().find(|e| **e > boundary).copied().unwrap_or(length);
            boundary + (next - boundary) / 2
        }
        Truncation::WrongLength => length / 2,
    };
    let mut reply = Reply::bytes(200, mime, whole.into_iter().take(at).collect());
    reply.claimed = (how == Truncation::WrongLength).then_some(length);
    reply
}

/// RFC 3339, from seconds.
pub fn stamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default()
}

/// One page of a list that is newest first: the items behind `after`, or before `before`, and whether more follow.
pub fn page<'a, T>(
    items: &'a [T],
    id: impl Fn(&T) -> &str,
    after: Option<&str>,
    before: Option<&str>,
    limit: usize,
) -> (&'a [T], bool) {
    let place = |wanted: &str| items.iter().position(|i| id(i) == wanted);
    if let Some(end) = before.and_then(place) {
        let start = end.saturating_sub(limit);
        return (&items[start..end], start > 0);
    }
    let start = after.and_then(place).map_or(0, |i| i + 1);
    let end = (start + limit).min(items.len());
    (&items[start..end], end < items.len())
}

/// What every dialect offers.
pub type Answerer = fn(&Call, &mut World, &mut Script) -> Reply;
