//! Gemini: batches by file, and one answer at a time for the pilot.
//!
//! Owns the form of its requests, operations and result lines. Statuses are `replies`', the wire is `http`'s.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::http::{Auth, Http, MODEL_ANSWER, Site};
use super::replies::Complaint;
use super::settings::Settings;
use super::wire::{self, LastByte, Spliced};
use super::{
    Ask, BatchState, Batches, ErrorKind, Limits, NewBatch, Outcome, Outgoing, Pending, Refusal, RemoteBatch, ResultLine, Stop,
    SubmitError, Teacher, TeacherError,
};
use crate::domain::{Tokens, UnixMillis, one_line};

const ADDRESS: &str = "https://generativelanguage.googleapis.com";
const MOST_PAGES: usize = 1000;

pub(super) struct Gemini {
    settings: Settings,
    http: Http,
}

impl Gemini {
    pub fn new(settings: Settings) -> Self {
        let site = Site {
            provider: settings.provider.clone(),
            base_url: settings.address(ADDRESS, "/v1beta"),
            auth: Auth::Header("x-goog-api-key"),
            key_env: settings.key_env.clone(),
            key: settings.key.clone(),
            needs_key: true,
            refuses_by_503: false,
            headers: Vec::new(),
        };
        Self { settings, http: Http::new(site) }
    }

    /// The model's path, with a method.
    fn model_path(&self, method: &str) -> Result<String, TeacherError> {
        let model = wire::id(self.settings.model.strip_prefix("models/").unwrap_or(&self.settings.model))?;
        Ok(format!("/v1beta/models/{model}{method}"))
    }

    /// Puts the requests where a batch can find them, in two steps; free, and safe to do again.
    async fn upload(&self, new: &NewBatch<'_>) -> Result<String, SubmitError> {
        let lines = jsonl(new.requests);
        let start = [
            ("x-goog-upload-protocol", "resumable".to_owned()),
            ("x-goog-upload-command", "start".to_owned()),
            ("x-goog-upload-header-content-length", lines.len().to_string()),
            ("x-goog-upload-header-content-type", "application/jsonl".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let about = wire::bytes(&json!({"file": {"displayName": new.label, "mimeType": "application/jsonl"}}));
        let (url, _) = self.http.post_step("/upload/v1beta/files", &start, about).await?;
        let url = url.ok_or_else(|| nothing_made("the upload's start names no address"))?;
        let send = [("x-goog-upload-offset", "0".to_owned()), ("x-goog-upload-command", "upload, finalize".to_owned())];
        let (_, reply) = self.http.post_step(&url, &send, lines).await?;
        wire::present(&reply["file"]["name"]).ok_or_else(|| nothing_made("the upload's reply names no file"))
    }

    async fn make(&self, new: &NewBatch<'_>) -> Result<RemoteBatch, SubmitError> {
        let path = self.model_path(":batchGenerateContent");
        let path = path.map_err(|e| SubmitError::Refused { why: e.why, kind: Refusal::Final })?;
        let file = self.upload(new).await?;
        let body = json!({"batch": {"displayName": new.label, "inputConfig": {"fileName": file}}});
        let raw = self.http.post_once(&path, wire::bytes(&body), wire::CREATE).await?;
        wire::made(&raw, "gemini", operation)
    }

    async fn list_since(&self, since: UnixMillis) -> Result<Vec<RemoteBatch>, TeacherError> {
        let mut found = Vec::new();
        let mut page = String::new();
        for _ in 0..MOST_PAGES {
            let reply = self.http.get(&format!("/v1beta/batches?pageSize=100{page}")).await?;
            let rows = reply["operations"].as_array().map(Vec::as_slice).unwrap_or_default();
            let batches: Vec<RemoteBatch> = rows.iter().map(operation).collect::<Result<_, _>>().map_err(TeacherError::fatal)?;
            // Their order is not promised, so every page is read.
            found.extend(batches.into_iter().filter(|b| b.created.is_none_or(|at| at >= since)));
            let Some(next) = wire::present(&reply["nextPageToken"]) else { return Ok(found) };
            page = format!("&pageToken={}", wire::query(&next));
        }
        Ok(found)
    }

    async fn save(&self, batch: &RemoteBatch, into: &mut (dyn Write + Send)) -> Result<(), TeacherError> {
        let mut into = LastByte::new(into);
        for file in &batch.results {
            into.end_line().map_err(|e| TeacherError::fatal(format!("the download could not be written: {e}")))?;
            self.http.download(&format!("/download/v1beta/{}:download?alt=media", wire::id(file)?), &mut into).await?;
        }
        Ok(())
    }
}

fn nothing_made(why: &str) -> SubmitError {
    SubmitError::Refused { why: format!("gemini: {why}; no batch was made"), kind: Refusal::Busy { after: None } }
}

/// The file of requests.
fn jsonl(requests: &[Outgoing]) -> Vec<u8> {
    let mut lines = Vec::new();
    for request in requests {
        lines.extend(wire::bytes(&json!({"key": request.custom_id, "request": request.body})));
        lines.push(b'\n');
    }
    lines
}

impl Teacher for Gemini {
    fn provider(&self) -> &str {
        &self.settings.provider
    }

    fn model(&self) -> &str {
        &self.settings.model
    }

    fn limits(&self) -> Limits {
        self.settings.batch_limits(100_000, 48)
    }

    fn batches(&self) -> Option<&dyn Batches> {
        Some(self)
    }

    fn options(&self) -> String {
        self.settings.options()
    }

    fn answers_by_schema(&self) -> bool {
        self.settings.structured.unwrap_or(true)
    }

    /// The model is not in the body: it is in the path.
    fn encode(&self, ask: &Ask<'_>) -> Value {
        let mut config = Map::new();
        config.insert("maxOutputTokens".into(), json!(ask.max_output_tokens));
        if let Some(schema) = ask.schema {
            config.insert("responseMimeType".into(), json!("application/json"));
            config.insert("responseJsonSchema".into(), schema.schema.clone());
        }
        if let Some(temperature) = self.settings.temperature {
            config.insert("temperature".into(), json!(temperature));
        }
        if let Some(effort) = &self.settings.effort {
            config.insert("thinkingConfig".into(), json!({"thinkingLevel": effort}));
        }
        json!({
            "systemInstruction": {"parts": [{"text": ask.prompt.rubric}, {"text": ask.prompt.reader}]},
            "contents": [{"role": "user", "parts": [{"text": ask.prompt.user}]}],
            "generationConfig": config,
        })
    }

    fn check(&self) -> Pending<'_, Result<(), TeacherError>> {
        Box::pin(async move {
            let path = self.model_path("")?;
            self.http.get(&path).await.map(|_| ()).map_err(|e| wire::unknown_model(e, &self.settings.model))
        })
    }

    fn count<'a>(&'a self, body: &'a Value) -> Option<Pending<'a, Result<u64, TeacherError>>> {
        Some(Box::pin(async move {
            let path = self.model_path(":countTokens")?;
            let mut asked = body.clone();
            let model = self.settings.model.strip_prefix("models/").unwrap_or(&self.settings.model);
            asked["model"] = json!(format!("models/{model}"));
            let reply = self.http.post_free(&path, &json!({"generateContentRequest": asked})).await?;
            reply["totalTokens"].as_u64().ok_or_else(|| TeacherError::fatal("gemini: the token count has no totalTokens"))
        }))
    }

    fn ask<'a>(&'a self, request: &'a Outgoing) -> Pending<'a, Result<Vec<u8>, SubmitError>> {
        Box::pin(async move {
            let path = self.model_path(":generateContent");
            let path = path.map_err(|e| SubmitError::Refused { why: e.why, kind: Refusal::Final })?;
            let raw = self.http.post_once(&path, wire::bytes(&request.body), MODEL_ANSWER).await?;
            let (before, after) = (r#","response":"#, "}");
            wire::splice(&Spliced { provider: "gemini", id_key: "key", id: &request.custom_id, before, after }, &raw)
        })
    }

    fn read_line(&self, line: &[u8]) -> Result<ResultLine, String> {
        let value = wire::line(line)?;
        // The answers of a file carry their key beside them, those of other forms in their metadata.
        let custom_id = wire::text(&value, "key").or_else(|e| wire::text(&value["metadata"], "key").map_err(|_| e))?;
        let outcome = match (&value["error"], &value["response"]) {
            (Value::Null, response) if response.is_object() => answered(response),
            (Value::Null, _) => Outcome::Errored { why: "neither a response nor an error".into(), kind: ErrorKind::Server },
            (error, _) => errored(error),
        };
        Ok(ResultLine { custom_id, outcome })
    }
}

impl Batches for Gemini {
    fn submit<'a>(&'a self, new: &'a NewBatch<'a>) -> Pending<'a, Result<RemoteBatch, SubmitError>> {
        Box::pin(self.make(new))
    }

    fn watch<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<RemoteBatch, TeacherError>> {
        Box::pin(async move {
            let reply = self.http.get(&format!("/v1beta/{}", wire::id(remote)?)).await?;
            operation(&reply).map_err(TeacherError::fatal)
        })
    }

    fn cancel<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<(), TeacherError>> {
        Box::pin(async move {
            let path = format!("/v1beta/{}:cancel", wire::id(remote)?);
            self.http.post_free(&path, &json!({})).await.map(|_| ())
        })
    }

    fn fetch<'a>(&'a self, batch: &'a RemoteBatch, into: &'a mut (dyn Write + Send)) -> Pending<'a, Result<(), TeacherError>> {
        Box::pin(self.save(batch, into))
    }

    fn list(&self, since: UnixMillis) -> Pending<'_, Result<Vec<RemoteBatch>, TeacherError>> {
        Box::pin(self.list_since(since))
    }
}

/// A batch as an operation whose metadata describes it, or as the bare description.
fn operation(value: &Value) -> Result<RemoteBatch, String> {
    let about = if value["metadata"].is_object() { &value["metadata"] } else { value };
    let name = wire::present(&value["name"]).or_else(|| wire::present(&about["name"]));
    let id = name.ok_or("gemini: a batch without a name")?;
    // 64-bit numbers travel as text.
    let stats = &about["batchStats"];
    let number = |v: &Value| v.as_str().and_then(|s| s.parse().ok()).or_else(|| v.as_u64()).map(|n| n as usize);
    let total = number(&stats["requestCount"]).filter(|&n| n > 0);
    let count = |key: &str| number(&stats[key]).unwrap_or(0);
    let file = ["response", "metadata"].iter().find_map(|&at| {
        let part = &value[at];
        wire::present(&part["responsesFile"]).or_else(|| wire::present(&part["output"]["responsesFile"]))
    });
    let error = [&value["error"], &about["error"]].into_iter().find(|e| e.is_object());
    Ok(RemoteBatch {
        id,
        state: state(value, about, error.is_some()),
        total,
        answered: total.map(|_| count("successfulRequestCount") + count("failedRequestCount")),
        label: wire::present(&about["displayName"]),
        created: wire::rfc3339(&about["createTime"]),
        expires: None,
        why: error.map(|e| one_line(&Complaint::of(e).text(), 300)),
        short: ["CANCELLED", "EXPIRED"].iter().any(|end| about["state"].as_str().is_some_and(|s| s.ends_with(end))),
        results: file.or_else(|| wire::present(&value["output"]["responsesFile"])).into_iter().collect(),
    })
}

fn state(value: &Value, about: &Value, failed: bool) -> BatchState {
    let spelt = about["state"].as_str().unwrap_or_default();
    let name = ["BATCH_STATE_", "JOB_STATE_"].iter().find_map(|prefix| spelt.strip_prefix(prefix)).unwrap_or(spelt);
    match name {
        // Expired after 48 hours, with no results: each request of it is for whoever asked to call expired.
        "SUCCEEDED" | "PARTIALLY_SUCCEEDED" | "CANCELLED" | "EXPIRED" => BatchState::Ended,
        "FAILED" => BatchState::Failed,
        "CANCELLING" => BatchState::Canceling,
        "" | "UNSPECIFIED" if value["done"] == true && failed => BatchState::Failed,
        "" | "UNSPECIFIED" if value["done"] == true => BatchState::Ended,
        _ => BatchState::InProgress,
    }
}

fn answered(response: &Value) -> Outcome {
    let tokens = tokens(&response["usageMetadata"]);
    let Some(candidate) = response["candidates"].get(0) else {
        return match wire::present(&response["promptFeedback"]["blockReason"]) {
            Some(_) => Outcome::Answered { text: String::new(), stop: Stop::Refusal, tokens },
            None => Outcome::Errored { why: "a response without candidates".into(), kind: ErrorKind::Server },
        };
    };
    let parts = candidate["content"]["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = parts.iter().filter(|p| p["thought"] != true).filter_map(|p| p["text"].as_str()).collect();
    let stop = match candidate["finishReason"].as_str() {
        Some("MAX_TOKENS") => Stop::TokenLimit,
        Some("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" | "IMAGE_SAFETY") => {
            Stop::Refusal
        }
        _ => Stop::End,
    };
    Outcome::Answered { text, stop, tokens }
}

fn tokens(usage: &Value) -> Tokens {
    let count = |key: &str| usage[key].as_u64().unwrap_or(0);
    let cached = count("cachedContentTokenCount");
    Tokens {
        cache_read: cached,
        ..Tokens::plain(
            count("promptTokenCount").saturating_sub(cached),
            count("candidatesTokenCount") + count("thoughtsTokenCount"),
        )
    }
}

/// The status is a number of HTTP, or of gRPC.
fn errored(error: &Value) -> Outcome {
    let complaint = Complaint::of(error);
    let code = error["code"].as_u64().and_then(|c| u16::try_from(c).ok());
    let status = match code {
        Some(3 | 9 | 11) => Some(400),
        Some(5) => Some(404),
        Some(7 | 16) => Some(403),
        Some(8) => Some(429),
        other => other.filter(|c| *c >= 400),
    };
    Outcome::Errored { why: complaint.text(), kind: complaint.kind(status) }
}

#[cfg(test)]
mod tests;
