//! What a provider's reply means for money and for the next step.
//!
//! Owns the reading of statuses and error bodies: whether a create was refused, or nobody knows, and whether a read may
//! be tried again. Sends nothing; `http` does.

use std::time::Duration;

use serde_json::Value;

use super::{ErrorKind, Refusal, SubmitError, TeacherError, Trouble};
use crate::domain::{Clock as _, SystemClock, one_line};

/// Longest wait that a reply can ask for; a wrong header must not park a run for a day.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Characters of a provider's words that are shown.
const SHOWN: usize = 300;

/// A reply whose head came, read to its end where that was possible.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    /// Where a redirect points.
    pub location: Option<String>,
    pub retry_after: Option<Duration>,
    pub upload_url: Option<String>,
    pub body: Result<Vec<u8>, String>,
}

/// Where a call went, for its errors: never a query, never a key.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Provider and what was asked, as in "anthropic, POST /v1/messages".
    pub what: String,
    /// The key's place, as in "the key in `ANTHROPIC_API_KEY`".
    pub key: String,
    pub refuses_by_503: bool,
}

impl Reply {
    fn complaint(&self) -> Complaint {
        self.body.as_ref().map_or_else(|_| Complaint::default(), |bytes| Complaint::read(bytes))
    }

    /// How long the provider asks to wait, by header or by body.
    fn wait(&self, complaint: &Complaint) -> Option<Duration> {
        self.retry_after.or(complaint.retry_delay).map(|d| d.min(LONGEST_WAIT))
    }

    /// The body of a create's reply, or why nothing is known to have been made.
    pub fn created(self, call: &Call) -> Result<Vec<u8>, SubmitError> {
        let complaint = self.complaint();
        let says = self.says(call, &complaint);
        match self.status {
            200..300 => self.body.map_err(|why| {
                SubmitError::Unclear(format!("{}: the reply was {} but could not be read: {why}", call.what, self.status))
            }),
            413 => refused(says, Refusal::TooLarge),
            429 if complaint.is_spent() => refused(says, Refusal::Final),
            429 => refused(says, Refusal::Busy { after: self.wait(&complaint) }),
            503 if call.refuses_by_503 => refused(says, Refusal::Busy { after: self.wait(&complaint) }),
            // Gateways say these of requests that they passed on and saw no end of.
            408 | 499 => Err(SubmitError::Unclear(says)),
            300..500 if complaint.is_too_large() => refused(says, Refusal::TooLarge),
            400 | 422 if !complaint.is_spent() => refused(says, Refusal::Request),
            300..500 => refused(says, Refusal::Final),
            _ => Err(SubmitError::Unclear(says)),
        }
    }

    /// The body of a read's reply.
    pub fn read(self, call: &Call) -> Result<Vec<u8>, TeacherError> {
        let complaint = self.complaint();
        let why = self.says(call, &complaint);
        let after = self.wait(&complaint);
        match self.status {
            200..300 => self.body.map_err(|why| TeacherError::passing(format!("{}: the reply was cut: {why}", call.what))),
            404 | 410 => Err(TeacherError::missing(why)),
            429 if complaint.is_spent() => Err(TeacherError::fatal(why)),
            408 | 425 | 429 | 499 | 500.. => Err(TeacherError { why, trouble: Trouble::Passing { after } }),
            _ => Err(TeacherError::fatal(why)),
        }
    }

    /// What happened, where, and what to do.
    fn says(&self, call: &Call, complaint: &Complaint) -> String {
        let Call { what, key, .. } = call;
        if (300..400).contains(&self.status) {
            let to = one_line(self.location.as_deref().unwrap_or("nowhere"), 120);
            return format!(
                "{what}: redirected ({}) to {to}; not followed, the key stays here. Set base_url to where the API really is",
                self.status
            );
        }
        let words = complaint.words();
        let happened = format!("{what}: {}{words}", self.status);
        if complaint.is_spent() {
            return format!("{happened}. The account's credit or spend limit is used up; mend it at the provider, then go on");
        }
        match self.status {
            401 => format!("{what}: {key} was refused: {}{words}. Set a valid key, then go on", self.status),
            402 => format!("{happened}. The provider wants a payment; mend the account, then go on"),
            403 => format!("{what}: {key} may not do this: {}{words}. Check the key's permissions at the provider", self.status),
            _ => happened,
        }
    }
}

fn refused<T>(why: String, kind: Refusal) -> Result<T, SubmitError> {
    Err(SubmitError::Refused { why, kind })
}

/// An error body, whatever its provider's form.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    /// Type, code and status, as far as they are given.
    kinds: Vec<String>,
    message: String,
    retry_delay: Option<Duration>,
    html: bool,
}

impl Complaint {
    fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
            let start = text.trim_start().to_ascii_lowercase();
            let html = start.starts_with("<!doctype") || start.starts_with("<html");
            return Self { html, message: if html { String::new() } else { text.into_owned() }, ..Self::default() };
        };
        Self::of(&value)
    }

    /// `{"error": {type, code, status, message}}`, the same in a list, `{"error": "text"}`, or `{"message"}` alone.
    pub fn of(value: &Value) -> Self {
        let value = value.get(0).unwrap_or(value);
        let mut error = value.get("error").filter(|e| !e.is_null()).unwrap_or(value);
        // Anthropic's batches wrap the error object twice.
        if let Some(inner) = error.get("error").filter(|e| e.is_object()) {
            error = inner;
        }
        let kinds = ["type", "code", "status"].iter().filter_map(|&key| match &error[key] {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        let message = [error, &error["message"], &value["detail"]].into_iter().find_map(Value::as_str).unwrap_or_default();
        let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let retry_delay = details.iter().find_map(|d| seconds(d["retryDelay"].as_str()?.strip_suffix('s')?));
        let mut kinds: Vec<String> = kinds.collect();
        kinds.dedup();
        // A spend limit can stand in the details of an ordinary rate limit.
        kinds.extend(SPENT.iter().filter(|code| error["details"].to_string().contains(*code)).map(ToString::to_string));
        Self { kinds, message: message.to_owned(), retry_delay, html: false }
    }

    fn has(&self, kind: &str) -> bool {
        self.kinds.iter().any(|k| k == kind)
    }

    /// Money is what is missing: waiting does not help.
    fn is_spent(&self) -> bool {
        // Not "billing" in a message: Gemini's plain rate limit sends people to its billing page.
        SPENT.iter().any(|code| self.has(code) || self.message.contains(code))
            || self.kinds.iter().any(|k| k.contains("billing"))
            || ["credit balance", "api usage limits"].iter().any(|words| self.message.to_ascii_lowercase().contains(words))
    }

    fn is_too_large(&self) -> bool {
        self.has("request_too_large")
    }

    fn words(&self) -> String {
        if self.html {
            return " (an HTML page: something in between answered, not the API)".into();
        }
        let kinds: Vec<&str> = self.kinds.iter().map(String::as_str).filter(|k| k.parse::<u16>().is_err()).collect();
        let parts: Vec<String> = [kinds.join(", "), self.message.clone()].into_iter().filter(|p| !p.is_empty()).collect();
        if parts.is_empty() { String::new() } else { format!(" {}", one_line(&parts.join(": "), SHOWN)) }
    }

    /// The words alone, for one request's error.
    pub fn text(&self) -> String {
        let words = self.words();
        if words.is_empty() { "the provider gives no reason".into() } else { words.trim().to_owned() }
    }

    /// What an error inside a result file tells about asking again; `status` where one stands beside it.
    pub fn kind(&self, status: Option<u16>) -> ErrorKind {
        const ACCOUNT: [&str; 8] = [
            "authentication_error",
            "permission_error",
            "billing_error",
            "PERMISSION_DENIED",
            "UNAUTHENTICATED",
            "invalid_api_key",
            "401",
            "403",
        ];
        const REQUEST: [&str; 9] = [
            "invalid_request_error",
            "not_found_error",
            "request_too_large",
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "FAILED_PRECONDITION",
            "invalid_request",
            "context_length_exceeded",
            "model_not_found",
        ];
        let any = |list: &[&str]| list.iter().any(|kind| self.has(kind));
        if self.is_spent() || any(&ACCOUNT) || matches!(status, Some(401..=403)) {
            return ErrorKind::Account;
        }
        match status {
            Some(408 | 409 | 425 | 429 | 500..) => ErrorKind::Server,
            Some(400..500) => ErrorKind::Request,
            _ if any(&REQUEST) => ErrorKind::Request,
            _ => ErrorKind::Server,
        }
    }
}

const SPENT: [&str; 4] =
    ["enforced_spend_limit_reached", "contract_spend_limit_reached", "insufficient_quota", "billing_hard_limit_reached"];

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// `retry-after`: seconds, or a date.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    if let Some(wait) = seconds(text) {
        return Some(wait);
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    let millis = date.timestamp().as_millisecond() - SystemClock.now().0;
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, location: None, retry_after: None, upload_url: None, body: Ok(body.as_bytes().to_vec()) }
    }

    fn call() -> Call {
        Call { what: "p, POST /x".into(), key: "the key in P_KEY".into(), refuses_by_503: false }
    }

    const HTML: &str = "<!DOCTYPE html><html><body>Request Entity Too Large</body></html>";

    #[test]
    fn a_create_is_refused_by_clear_statuses_and_unclear_by_all_others() {
        let busy = |s| Some(Refusal::Busy { after: Some(Duration::from_secs(s)) });
        let spent = r#"{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#;
        let delay = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"check your plan and billing details","details":[{"retryDelay":"34s"}]}}"#;
        let table = [
            (413, HTML, Some(Refusal::TooLarge)),
            (400, r#"{"error":{"type":"request_too_large","message":"m"}}"#, Some(Refusal::TooLarge)),
            (429, r#"{"error":{"type":"rate_limit_error","message":"slow"}}"#, Some(Refusal::Busy { after: None })),
            (429, delay, busy(34)),
            (429, spent, Some(Refusal::Final)),
            (429, r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#, Some(Refusal::Final)),
            (400, r#"{"error":{"type":"billing_error","message":"m"}}"#, Some(Refusal::Final)),
            (401, "{}", Some(Refusal::Final)),
            (301, "", Some(Refusal::Final)),
            (408, "", None),
            (500, "{}", None),
            (502, HTML, None),
            (529, r#"{"error":{"type":"overloaded_error"}}"#, None),
        ];
        for (status, body, wanted) in table {
            let got = match reply(status, body).created(&call()).expect_err("an error") {
                SubmitError::Refused { kind, .. } => Some(kind),
                SubmitError::Unclear(_) => None,
            };
            assert_eq!(got, wanted, "{status} {body}");
        }
        let cut = Reply { body: Err("reset".into()), ..reply(200, "") };
        assert!(matches!(cut.created(&call()), Err(SubmitError::Unclear(_))));
    }

    #[test]
    fn a_read_passes_over_trouble_and_stops_at_the_account() {
        let passing = |after| Trouble::Passing { after };
        let table = [
            (404, "", Trouble::Missing),
            (410, "", Trouble::Missing),
            (429, "", passing(None)),
            (503, HTML, passing(None)),
            (529, "", passing(None)),
            (429, r#"{"error":{"message":"contract_spend_limit_reached"}}"#, Trouble::Final),
            (400, r#"{"error":{"message":"Your credit balance is too low"}}"#, Trouble::Final),
            (429, r#"{"error":{"message":"You have reached your specified API usage limits."}}"#, Trouble::Final),
            (401, "", Trouble::Final),
            (403, "", Trouble::Final),
            (302, "", Trouble::Final),
        ];
        for (status, body, wanted) in table {
            assert_eq!(reply(status, body).read(&call()).expect_err("an error").trouble, wanted, "{status} {body}");
        }
    }

    #[test]
    fn what_is_said_names_the_place_the_key_and_the_providers_words_on_one_line() {
        let error = reply(401, r#"{"error":{"type":"authentication_error","message":"invalid\n\u001b[31m key"}}"#).read(&call());
        assert_eq!(
            error.expect_err("refused").why,
            "p, POST /x: the key in P_KEY was refused: 401 authentication_error: invalid [31m key. Set a valid key, then go on"
        );
        assert!(reply(500, &"x".repeat(5000)).read(&call()).expect_err("error").why.len() < 400);
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_never_a_day() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
        let long = Reply { retry_after: Some(Duration::from_secs(90_000)), ..reply(429, "") };
        let Err(SubmitError::Refused { kind, .. }) = long.created(&call()) else { panic!("refused") };
        assert_eq!(kind, Refusal::Busy { after: Some(LONGEST_WAIT) });
    }
}
