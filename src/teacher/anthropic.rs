//! Anthropic: Message Batches, and one message at a time for the pilot.
//!
//! Owns the form of its requests, batches and result lines. Statuses are `replies`', the wire is `http`'s.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::http::{Auth, Http, MODEL_ANSWER, Site};
use super::replies::Complaint;
use super::settings::Settings;
use super::wire::{self, Spliced};
use super::{
    Ask, BatchState, Batches, ErrorKind, Limits, NewBatch, Outcome, Outgoing, Pending, RemoteBatch, ResultLine, Stop,
    SubmitError, Teacher, TeacherError,
};
use crate::domain::{Tokens, UnixMillis, one_line};

const ADDRESS: &str = "https://api.anthropic.com";
const BATCHES: &str = "/v1/messages/batches";
/// The newest version refuses a temperature; the first one takes it.
const VERSION: &str = "2026-10-21";
const VERSION_WITH_TEMPERATURE: &str = "2023-06-01";
/// More pages than a year of batches.
const MOST_PAGES: usize = 1000;

pub(super) struct Anthropic {
    settings: Settings,
    http: Http,
}

impl Anthropic {
    pub fn new(settings: Settings) -> Self {
        let version = if settings.temperature.is_some() { VERSION_WITH_TEMPERATURE } else { VERSION };
        let site = Site {
            provider: settings.provider.clone(),
            base_url: settings.address(ADDRESS, "/v1"),
            auth: Auth::Header("x-api-key"),
            key_env: settings.key_env.clone(),
            key: settings.key.clone(),
            needs_key: true,
            refuses_by_503: false,
            headers: vec![("anthropic-version", version.to_owned())],
        };
        Self { settings, http: Http::new(site) }
    }

    async fn list_since(&self, since: UnixMillis) -> Result<Vec<RemoteBatch>, TeacherError> {
        let mut found = Vec::new();
        let mut page = String::new();
        for _ in 0..MOST_PAGES {
            let reply = self.http.get(&format!("{BATCHES}?limit=100{page}")).await?;
            let rows =
                reply["data"].as_array().ok_or_else(|| TeacherError::fatal("anthropic: the list of batches has no data"))?;
            let batches: Vec<RemoteBatch> = rows.iter().map(batch).collect::<Result<_, _>>().map_err(TeacherError::fatal)?;
            // The newest come first.
            let past = batches.iter().any(|b| b.created.is_some_and(|at| at < since));
            found.extend(batches.into_iter().filter(|b| b.created.is_none_or(|at| at >= since)));
            let Some(last) = reply["last_id"].as_str().filter(|_| !past && reply["has_more"] == true) else { return Ok(found) };
            page = format!("&after_id={}", wire::id(last)?);
        }
        Ok(found)
    }

    async fn save(&self, batch: &RemoteBatch, into: &mut (dyn Write + Send)) -> Result<(), TeacherError> {
        match batch.results.first() {
            Some(url) => self.http.download(url, into).await,
            None if batch.state == BatchState::Archived => Err(TeacherError::missing(format!(
                "anthropic: the results of {} are archived; they are kept for 29 days",
                one_line(&batch.id, 80)
            ))),
            None => Err(TeacherError::passing(format!("anthropic: {} has no results_url yet", one_line(&batch.id, 80)))),
        }
    }
}

impl Teacher for Anthropic {
    fn provider(&self) -> &str {
        &self.settings.provider
    }

    fn model(&self) -> &str {
        &self.settings.model
    }

    fn limits(&self) -> Limits {
        self.settings.batch_limits(100_000, 24)
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

    fn writes_cache(&self) -> bool {
        self.settings.cache
    }

    fn encode(&self, ask: &Ask<'_>) -> Value {
        let mut reader = json!({"type": "text", "text": ask.prompt.reader});
        if self.settings.cache {
            reader["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
        }
        let mut body = json!({
            "model": self.settings.model,
            "max_tokens": ask.max_output_tokens,
            "system": [{"type": "text", "text": ask.prompt.rubric}, reader],
            "messages": [{"role": "user", "content": ask.prompt.user}],
        });
        let mut config = Map::new();
        if let Some(schema) = ask.schema {
            config.insert("format".into(), json!({"type": "json_schema", "schema": schema.schema}));
        }
        if let Some(effort) = &self.settings.effort {
            config.insert("effort".into(), json!(effort));
        }
        if !config.is_empty() {
            body["output_config"] = Value::Object(config);
        }
        if let Some(temperature) = self.settings.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    fn check(&self) -> Pending<'_, Result<(), TeacherError>> {
        Box::pin(async move {
            let model = wire::id(&self.settings.model)?;
            self.http.get(&format!("/v1/models/{model}")).await.map(|_| ()).map_err(|e| wire::unknown_model(e, model))
        })
    }

    fn count<'a>(&'a self, body: &'a Value) -> Option<Pending<'a, Result<u64, TeacherError>>> {
        Some(Box::pin(async move {
            let wanted = ["model", "system", "messages", "output_config"];
            let asked: Map<String, Value> =
                wanted.iter().filter_map(|&key| Some((key.to_owned(), body.get(key)?.clone()))).collect();
            let reply = self.http.post_free("/v1/messages/count_tokens", &Value::Object(asked)).await?;
            reply["input_tokens"].as_u64().ok_or_else(|| TeacherError::fatal("anthropic: the token count has no input_tokens"))
        }))
    }

    fn ask<'a>(&'a self, request: &'a Outgoing) -> Pending<'a, Result<Vec<u8>, SubmitError>> {
        Box::pin(async move {
            let raw = self.http.post_once("/v1/messages", wire::bytes(&request.body), MODEL_ANSWER).await?;
            let (before, after) = (r#","result":{"type":"succeeded","message":"#, "}}");
            wire::splice(&Spliced { provider: "anthropic", id_key: "custom_id", id: &request.custom_id, before, after }, &raw)
        })
    }

    fn read_line(&self, line: &[u8]) -> Result<ResultLine, String> {
        let value = wire::line(line)?;
        let custom_id = wire::text(&value, "custom_id")?;
        let result = &value["result"];
        let outcome = match result["type"].as_str() {
            Some("succeeded") => answered(&result["message"])?,
            Some("errored") => errored(&result["error"]),
            Some("expired") => Outcome::Expired,
            Some("canceled") => Outcome::Canceled,
            other => {
                let kind = one_line(other.unwrap_or("none"), 40);
                Outcome::Errored { why: format!("a result of unknown type '{kind}'"), kind: ErrorKind::Server }
            }
        };
        Ok(ResultLine { custom_id, outcome })
    }
}

impl Batches for Anthropic {
    fn submit<'a>(&'a self, new: &'a NewBatch<'a>) -> Pending<'a, Result<RemoteBatch, SubmitError>> {
        Box::pin(async move {
            let mut body = br#"{"requests":["#.to_vec();
            for (index, request) in new.requests.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend(wire::bytes(&json!({"custom_id": request.custom_id, "params": request.body})));
            }
            body.extend(b"]}");
            let raw = self.http.post_once(BATCHES, body, wire::CREATE).await?;
            wire::made(&raw, "anthropic", batch)
        })
    }

    fn watch<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<RemoteBatch, TeacherError>> {
        Box::pin(async move {
            let reply = self.http.get(&format!("{BATCHES}/{}", wire::id(remote)?)).await?;
            batch(&reply).map_err(TeacherError::fatal)
        })
    }

    fn cancel<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<(), TeacherError>> {
        Box::pin(async move {
            let path = format!("{BATCHES}/{}/cancel", wire::id(remote)?);
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

/// A batch object. Its counts stay zero until the end, so before it there is a total and no progress.
fn batch(value: &Value) -> Result<RemoteBatch, String> {
    let id = value["id"].as_str().filter(|id| !id.is_empty()).ok_or("anthropic: a batch without an id")?;
    let ended = value["processing_status"] == "ended";
    let archived = value["archived_at"].is_string();
    let state = match value["processing_status"].as_str() {
        _ if archived => BatchState::Archived,
        Some("ended") => BatchState::Ended,
        Some("canceling") => BatchState::Canceling,
        _ => BatchState::InProgress,
    };
    let count = |key: &str| value["request_counts"][key].as_u64().unwrap_or(0) as usize;
    let over = count("succeeded") + count("errored") + count("canceled") + count("expired");
    let total = over + count("processing");
    Ok(RemoteBatch {
        id: id.to_owned(),
        state,
        total: (total > 0).then_some(total),
        answered: ended.then_some(over),
        label: None,
        created: wire::rfc3339(&value["created_at"]),
        expires: wire::rfc3339(&value["expires_at"]),
        why: None,
        short: false,
        results: wire::present(&value["results_url"]).into_iter().filter(|_| !archived).collect(),
    })
}

fn answered(message: &Value) -> Result<Outcome, String> {
    if !message.is_object() {
        return Err("the line says succeeded, but holds no message".into());
    }
    // A refusal's content may be empty, or missing.
    let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = blocks.iter().filter(|b| b["type"] == "text").filter_map(|b| b["text"].as_str()).collect();
    let stop = match message["stop_reason"].as_str() {
        Some("max_tokens" | "model_context_window_exceeded") => Stop::TokenLimit,
        Some("refusal") => Stop::Refusal,
        _ => Stop::End,
    };
    Ok(Outcome::Answered { text, stop, tokens: tokens(&message["usage"]) })
}

fn tokens(usage: &Value) -> Tokens {
    let count = |key: &str| usage[key].as_u64().unwrap_or(0);
    let written = count("cache_creation_input_tokens");
    let split = |key: &str| usage["cache_creation"][key].as_u64().unwrap_or(0);
    let five_minutes = split("ephemeral_5m_input_tokens");
    // What no split explains is charged at the dearer price.
    let hour = split("ephemeral_1h_input_tokens").max(written.saturating_sub(five_minutes));
    Tokens {
        input: count("input_tokens"),
        cache_write_5m: five_minutes,
        cache_write_1h: hour,
        cache_read: count("cache_read_input_tokens"),
        output: count("output_tokens"),
    }
}

fn errored(error: &Value) -> Outcome {
    let complaint = Complaint::of(error);
    Outcome::Errored { why: complaint.text(), kind: complaint.kind(None) }
}

#[cfg(test)]
mod tests;
