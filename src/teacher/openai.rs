//! OpenAI: files and batches, and one chat completion at a time for the pilot.
//!
//! Owns the form of its batches and their files. The chat form is `chat`'s.

use std::io::Write;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::chat::{self, Dialect};
use super::http::{Auth, Http, MODEL_ANSWER, Site};
use super::settings::Settings;
use super::wire::{self, LastByte, Spliced};
use super::{
    Ask, BatchState, Batches, Limits, NewBatch, Outgoing, Pending, Refusal, RemoteBatch, ResultLine, SubmitError, Teacher,
    TeacherError,
};
use crate::domain::{UnixMillis, one_line};

const ADDRESS: &str = "https://api.openai.com";
const CHAT: &str = "/v1/chat/completions";
const DIALECT: Dialect = Dialect { limit: "max_completion_tokens", no_stream: false };
const MOST_PAGES: usize = 1000;

pub(super) struct OpenAi {
    settings: Settings,
    http: Http,
}

impl OpenAi {
    pub fn new(settings: Settings) -> Self {
        let site = Site {
            provider: settings.provider.clone(),
            base_url: settings.address(ADDRESS, "/v1"),
            auth: Auth::Bearer,
            key_env: settings.key_env.clone(),
            key: settings.key.clone(),
            needs_key: true,
            refuses_by_503: false,
            headers: Vec::new(),
        };
        Self { settings, http: Http::new(site) }
    }

    /// Puts the requests where a batch can find them; free, and safe to do again.
    async fn upload(&self, new: &NewBatch<'_>) -> Result<String, SubmitError> {
        let lines = jsonl(new.requests);
        let size = lines.len();
        let file = Part::bytes(lines).file_name("stratos.jsonl").mime_str("application/jsonl");
        let file = file.map_err(|e| SubmitError::Refused { why: e.to_string(), kind: Refusal::Final })?;
        let form = Form::new().text("purpose", "batch").part("file", file);
        let reply = self.http.post_form("/v1/files", form, size).await?;
        wire::present(&reply["id"]).ok_or_else(|| SubmitError::Refused {
            why: "openai: the upload's reply names no file; nothing was made".into(),
            kind: Refusal::Busy { after: None },
        })
    }

    async fn make(&self, new: &NewBatch<'_>) -> Result<RemoteBatch, SubmitError> {
        let file = self.upload(new).await?;
        let body = json!({
            "input_file_id": file,
            "endpoint": CHAT,
            "completion_window": "24h",
            "metadata": {"stratos": new.label},
        });
        let raw = self.http.post_once("/v1/batches", wire::bytes(&body), wire::CREATE).await?;
        wire::made(&raw, "openai", batch)
    }

    async fn list_since(&self, since: UnixMillis) -> Result<Vec<RemoteBatch>, TeacherError> {
        let mut found = Vec::new();
        let mut page = String::new();
        for _ in 0..MOST_PAGES {
            let reply = self.http.get(&format!("/v1/batches?limit=100{page}")).await?;
            let rows = reply["data"].as_array().ok_or_else(|| TeacherError::fatal("openai: the list of batches has no data"))?;
            let batches: Vec<RemoteBatch> = rows.iter().map(batch).collect::<Result<_, _>>().map_err(TeacherError::fatal)?;
            // The newest come first.
            let past = batches.iter().any(|b| b.created.is_some_and(|at| at < since));
            let last = batches.last().map(|b| b.id.clone());
            found.extend(batches.into_iter().filter(|b| b.created.is_none_or(|at| at >= since)));
            let Some(last) = last.filter(|_| !past && reply["has_more"] == true) else { return Ok(found) };
            page = format!("&after={}", wire::id(&last)?);
        }
        Ok(found)
    }

    /// The answers' file, then the errors' file, each if there is one.
    async fn save(&self, batch: &RemoteBatch, into: &mut (dyn Write + Send)) -> Result<(), TeacherError> {
        let mut into = LastByte::new(into);
        for file in &batch.results {
            into.end_line().map_err(|e| TeacherError::fatal(format!("the download could not be written: {e}")))?;
            self.http.download(&format!("/v1/files/{}/content", wire::id(file)?), &mut into).await?;
        }
        Ok(())
    }
}

/// The file of requests.
fn jsonl(requests: &[Outgoing]) -> Vec<u8> {
    let mut lines = Vec::new();
    for request in requests {
        let line = json!({"custom_id": request.custom_id, "method": "POST", "url": CHAT, "body": request.body});
        lines.extend(wire::bytes(&line));
        lines.push(b'\n');
    }
    lines
}

impl Teacher for OpenAi {
    fn provider(&self) -> &str {
        &self.settings.provider
    }

    fn model(&self) -> &str {
        &self.settings.model
    }

    fn limits(&self) -> Limits {
        self.settings.batch_limits(50_000, 24)
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

    fn encode(&self, ask: &Ask<'_>) -> Value {
        chat::body(&self.settings, DIALECT, ask)
    }

    fn check(&self) -> Pending<'_, Result<(), TeacherError>> {
        Box::pin(async move {
            let model = wire::id(&self.settings.model)?;
            self.http.get(&format!("/v1/models/{model}")).await.map(|_| ()).map_err(|e| wire::unknown_model(e, model))
        })
    }

    fn ask<'a>(&'a self, request: &'a Outgoing) -> Pending<'a, Result<Vec<u8>, SubmitError>> {
        Box::pin(async move {
            let raw = self.http.post_once(CHAT, wire::bytes(&request.body), MODEL_ANSWER).await?;
            let (before, after) = (r#","response":{"status_code":200,"body":"#, r#"},"error":null}"#);
            wire::splice(&Spliced { provider: "openai", id_key: "custom_id", id: &request.custom_id, before, after }, &raw)
        })
    }

    fn read_line(&self, line: &[u8]) -> Result<ResultLine, String> {
        chat::line(line).map(chat::Line::plain)
    }
}

impl Batches for OpenAi {
    fn submit<'a>(&'a self, new: &'a NewBatch<'a>) -> Pending<'a, Result<RemoteBatch, SubmitError>> {
        Box::pin(self.make(new))
    }

    fn watch<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<RemoteBatch, TeacherError>> {
        Box::pin(async move {
            let reply = self.http.get(&format!("/v1/batches/{}", wire::id(remote)?)).await?;
            batch(&reply).map_err(TeacherError::fatal)
        })
    }

    fn cancel<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<(), TeacherError>> {
        Box::pin(async move {
            let path = format!("/v1/batches/{}/cancel", wire::id(remote)?);
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

fn batch(value: &Value) -> Result<RemoteBatch, String> {
    let id = wire::present(&value["id"]).ok_or("openai: a batch without an id")?;
    let state = match value["status"].as_str() {
        Some("completed" | "expired" | "cancelled") => BatchState::Ended,
        Some("cancelling") => BatchState::Canceling,
        Some("failed") => BatchState::Failed,
        _ => BatchState::InProgress,
    };
    let count = |key: &str| value["request_counts"][key].as_u64().map(|n| n as usize);
    // Zero while the file is still being validated.
    let total = count("total").filter(|&n| n > 0);
    let time = |key: &str| value[key].as_i64().map(|s| UnixMillis(s.saturating_mul(1000)));
    // An id can be "" instead of null, and there may be only errors.
    let files = ["output_file_id", "error_file_id"].iter().filter_map(|&key| wire::present(&value[key]));
    Ok(RemoteBatch {
        id,
        state,
        total,
        answered: total.map(|_| count("completed").unwrap_or(0) + count("failed").unwrap_or(0)),
        label: wire::present(&value["metadata"]["stratos"]),
        created: time("created_at"),
        expires: time("expires_at"),
        why: why(value),
        short: matches!(value["status"].as_str(), Some("expired" | "cancelled")),
        results: files.collect(),
    })
}

/// What is said of a batch that failed, such as the limit of queued tokens, which shows only after creation.
fn why(value: &Value) -> Option<String> {
    let errors = value["errors"]["data"].as_array()?;
    let one = |e: &Value| {
        let parts: Vec<&str> = ["code", "message"].iter().filter_map(|&key| e[key].as_str()).collect();
        parts.join(": ")
    };
    let all: Vec<String> = errors.iter().take(3).map(one).filter(|text| !text.is_empty()).collect();
    (!all.is_empty()).then(|| one_line(&all.join("; "), 300))
}

#[cfg(test)]
mod tests;
