//! Any server with OpenAI's chat API: Ollama, vLLM, llama.cpp, gateways. One request at a time.
//!
//! Owns what such servers get wrong: a model that is still loading, a context that is cut without a word, usage that is
//! not counted. The form is `chat`'s.

use serde_json::{Value, json};

use super::chat::{self, Dialect, Read, Usage};
use super::http::{Auth, Http, MODEL_ANSWER, Site};
use super::settings::{BuildError, Settings};
use super::wire::{self, Spliced};
use super::{
    Ask, Batches, ErrorKind, Limits, Outcome, Outgoing, Pending, ResultLine, SubmitError, Teacher, TeacherError, Trouble,
};
use crate::domain::{Tokens, estimate_tokens, one_line};

const DIALECT: Dialect = Dialect { limit: "max_tokens", no_stream: true };
/// Names of other models that an error lists.
const LISTED: usize = 5;

pub(super) struct Compatible {
    settings: Settings,
    http: Http,
}

impl Compatible {
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let base_url = settings.base_url.clone().ok_or(BuildError::NoBaseUrl)?;
        let site = Site {
            provider: settings.provider.clone(),
            base_url,
            auth: Auth::Bearer,
            refuses_by_503: true,
            needs_key: settings.key_env.is_some(),
            key_env: settings.key_env.clone(),
            key: settings.key.clone(),
            headers: Vec::new(),
        };
        Ok(Self { settings, http: Http::new(site) })
    }

    async fn look(&self) -> Result<(), TeacherError> {
        let list = match self.http.get("/models").await {
            Ok(list) => list,
            // Not every server has the list.
            Err(e) if e.trouble == Trouble::Missing => return Ok(()),
            Err(e) => return Err(e),
        };
        let Some(rows) = list["data"].as_array().filter(|rows| !rows.is_empty()) else { return Ok(()) };
        let names: Vec<&str> = rows.iter().filter_map(|m| m["id"].as_str()).collect();
        let wanted = self.settings.model.as_str();
        // Ollama lists "name:latest" for "name".
        if names.is_empty() || names.iter().any(|&n| n == wanted || n.strip_suffix(":latest") == Some(wanted)) {
            return Ok(());
        }
        let some: Vec<String> = names.iter().take(LISTED).map(|n| one_line(n, 60)).collect();
        let more = if names.len() > LISTED { format!(" and {} more", names.len() - LISTED) } else { String::new() };
        Err(TeacherError::fatal(format!(
            "the server does not serve model {wanted}; it serves {}{more}. Set model in stratos.toml, or load it there",
            some.join(", ")
        )))
    }

    async fn ask_once(&self, request: &Outgoing) -> Result<Vec<u8>, SubmitError> {
        let raw = self.http.post_once("/chat/completions", wire::bytes(&request.body), MODEL_ANSWER).await?;
        // The line is read without its request, so it carries the request's size.
        let sizes = json!({"prompt_tokens": size(&request.body, estimate_tokens), "at_least": size(&request.body, at_least)});
        let before = format!(r#","asked":{sizes},"response":{{"status_code":200,"body":"#);
        let into = Spliced {
            provider: "the server",
            id_key: "custom_id",
            id: &request.custom_id,
            before: &before,
            after: r#"},"error":null}"#,
        };
        wire::splice(&into, &raw)
    }
}

/// Tokens of a body's texts.
fn size(body: &Value, count: fn(&str) -> u64) -> u64 {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().filter_map(|m| m["content"].as_str()).map(count).sum()
}

/// Fewer tokens than any tokenizer makes of a text by much, whatever its script.
fn at_least(text: &str) -> u64 {
    text.chars().count() as u64 / 4
}

/// Whether the server read so little of the prompt that its context must have been cut. It counts what it read.
fn cut(asked: &Value, usage: Usage) -> Option<Outcome> {
    let about = asked["at_least"].as_u64().unwrap_or(0);
    // Some servers report nothing, or zero, for a prompt found in their cache.
    if usage.prompt == 0 || usage.prompt.saturating_mul(2) >= about {
        return None;
    }
    let why = format!(
        "the server read only {} of about {about} prompt tokens: its context is cut; raise num_ctx / --ctx-size",
        usage.prompt
    );
    Some(Outcome::Errored { why, kind: ErrorKind::Request })
}

impl Teacher for Compatible {
    fn provider(&self) -> &str {
        &self.settings.provider
    }

    fn model(&self) -> &str {
        &self.settings.model
    }

    fn limits(&self) -> Limits {
        Limits {
            poll: self.settings.poll.unwrap_or(std::time::Duration::from_secs(1)),
            expires: None,
            ..self.settings.batch_limits(100_000, 24)
        }
    }

    fn batches(&self) -> Option<&dyn Batches> {
        None
    }

    fn options(&self) -> String {
        self.settings.options()
    }

    /// Only where the configuration says so: a server that ignores the schema answers in prose.
    fn answers_by_schema(&self) -> bool {
        self.settings.structured.unwrap_or(false)
    }

    fn encode(&self, ask: &Ask<'_>) -> Value {
        let schema = ask.schema.filter(|_| self.answers_by_schema());
        chat::body(&self.settings, DIALECT, &Ask { schema, ..*ask })
    }

    fn check(&self) -> Pending<'_, Result<(), TeacherError>> {
        Box::pin(self.look())
    }

    fn ask<'a>(&'a self, request: &'a Outgoing) -> Pending<'a, Result<Vec<u8>, SubmitError>> {
        Box::pin(self.ask_once(request))
    }

    fn read_line(&self, line: &[u8]) -> Result<ResultLine, String> {
        let line = chat::line(line)?;
        let Read::Completion { text, stop, usage } = line.read else { return Ok(line.plain()) };
        let asked = &line.value["asked"];
        let estimate = || Tokens::plain(asked["prompt_tokens"].as_u64().unwrap_or(0), estimate_tokens(&text));
        let tokens = usage.map_or_else(estimate, Usage::tokens);
        let cut = usage.and_then(|usage| cut(asked, usage));
        let outcome = cut.unwrap_or(Outcome::Answered { text, stop, tokens });
        Ok(ResultLine { custom_id: line.custom_id, outcome })
    }
}

#[cfg(test)]
mod tests;
