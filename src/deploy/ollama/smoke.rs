//! The smoke question: a raw prompt through the real server, whose reading of it is counted.

use serde_json::json;

use super::error::OllamaError;
use super::replies::Generated;
use super::wire::Wire;
use crate::domain::recipe::Sampling;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Smoke<'a> {
    /// The whole rendered conversation.
    pub prompt: &'a str,
    /// Its tokens, as the student counts them.
    pub tokens: usize,
    pub sampling: &'a Sampling,
    pub seed: u32,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smoked {
    pub text: String,
    /// Tokens that were written.
    pub written: usize,
    /// It ended because it was long enough, not because it was done.
    pub full: bool,
}

pub(super) async fn ask(wire: &Wire, model: &str, smoke: &Smoke<'_>) -> Result<Smoked, OllamaError> {
    let rules = smoke.sampling;
    // The model's own num_ctx and stops hold: they are a part of what is tried.
    let options = json!({
        "num_predict": rules.max_new_tokens, "temperature": rules.temperature, "top_k": rules.top_k, "top_p": rules.top_p,
        "repeat_penalty": rules.repeat_penalty, "seed": smoke.seed,
    });
    let body = json!({"model": model, "prompt": smoke.prompt, "raw": true, "stream": false, "options": options});
    let answer: Generated = wire.post("/api/generate", &body).await?;
    let unreadable = |why: &str| OllamaError::Reply { server: wire.server(), what: "/api/generate", why: why.into() };
    if !answer.done {
        return Err(unreadable("the answer is not whole"));
    }
    let read = answer.prompt_eval_count;
    let read = read.ok_or_else(|| unreadable("it does not say how much it read (prompt_eval_count); update Ollama"))?;
    // Give or take the token that begins a text.
    if read + 1 < smoke.tokens {
        let needed = (smoke.tokens + rules.max_new_tokens).next_multiple_of(256);
        return Err(OllamaError::Cut { server: wire.server(), read, sent: smoke.tokens, needed });
    }
    if read > smoke.tokens + 1 {
        return Err(OllamaError::Tokens { server: wire.server(), read, sent: smoke.tokens });
    }
    Ok(Smoked { text: answer.response, written: answer.eval_count, full: answer.done_reason == "length" })
}
