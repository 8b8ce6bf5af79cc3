//! Ollama. It takes no token ids: the rendered text goes raw, and how many tokens it read must be what the student reads.

mod defects;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Runtime as Tokio;

use super::crowd::ask_all;
use super::error::ScorerError;
use super::http::Wire;
use super::reading::{Sent, TextSide, Written};
use super::{OnRow, Scorer};
use crate::domain::recipe::Sampling;
use crate::domain::{Digest, Digester, one_line};
use crate::evaluate::Runtime;
use crate::student::{Generated, Prompt, Stop};
use crate::workspace::ScoringChoice;

/// Requests at once where nothing is said; what Ollama does not do at once, it keeps waiting.
const PARALLEL: usize = 4;
const SMALLEST_CONTEXT: usize = 2048;
const REPEAT_WINDOW: usize = 64;
/// What the begin-of-text token and the end of an answer may take beside what we count.
const SPARE: usize = 16;

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tag {
    name: String,
    digest: String,
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    quantization_level: String,
}

#[derive(Deserialize)]
struct Answer {
    response: String,
    done: bool,
    #[serde(default)]
    done_reason: String,
    prompt_eval_count: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Ollama {
    wire: Wire,
    tokio: Tokio,
    text: TextSide,
    model: String,
    version: String,
    parallel: usize,
    runtime: Runtime,
    digest: Digest,
    /// Never made smaller: another context makes Ollama load the model again.
    context: AtomicUsize,
    /// Whether it writes the begin-of-text token itself.
    writes_bos: OnceLock<bool>,
}

impl Ollama {
    pub fn new(wire: Wire, tokio: Tokio, version: &str, choice: &ScoringChoice, text: TextSide) -> Result<Self, ScorerError> {
        if let Some(why) = defects::defect(version, text.config.family) {
            return Err(ScorerError::Defect { server: wire.server(), version: one_line(version, 40), why });
        }
        let tag = tokio.block_on(find(&wire, choice.model.as_deref().unwrap_or_default()))?;
        let precision = one_line(&tag.details.quantization_level, 20);
        Ok(Self {
            parallel: choice.parallel.unwrap_or(PARALLEL),
            runtime: Runtime {
                engine: format!("ollama {}", one_line(version, 40)),
                precision: if precision.is_empty() { "unknown precision".into() } else { precision },
                device: format!("server {}", wire.host()),
            },
            digest: digest(&tag, version, &text),
            version: version.to_owned(),
            model: tag.name,
            wire,
            tokio,
            text,
            context: AtomicUsize::new(SMALLEST_CONTEXT),
            writes_bos: OnceLock::new(),
        })
    }

    /// Enough for the longest prompt and its answer.
    fn grow_context(&self, sent: &[Sent], rules: &Sampling) {
        let longest = sent.iter().map(|s| s.ids.len()).max().unwrap_or(0);
        let needed = (longest + rules.max_new_tokens + SPARE).next_power_of_two();
        self.context.fetch_max(needed, Ordering::Relaxed);
    }

    /// Asks for one token of one prompt: does it begin texts by itself?
    async fn check_tokens(&self, sent: &Sent, rules: &Sampling) -> Result<(), ScorerError> {
        if self.writes_bos.get().is_some() {
            return Ok(());
        }
        let answer = self.generate(self.without_bos(sent), sent.seed, 1, rules).await?;
        let read = self.count(&answer)?;
        self.check_count(sent, read)?;
        let ours = sent.ids.len() - usize::from(self.begins(sent));
        self.writes_bos.get_or_init(|| read > ours);
        Ok(())
    }

    /// Whether the template has written a begin-of-text token.
    fn begins(&self, sent: &Sent) -> bool {
        self.text.codec.tokenizer.bos().is_some_and(|bos| sent.ids.first() == Some(&bos) && self.without_bos(sent) != sent.text)
    }

    fn without_bos<'a>(&self, sent: &'a Sent) -> &'a str {
        let bos = self.text.codec.tokenizer.bos().filter(|bos| sent.ids.first() == Some(bos));
        let name = bos.map(|bos| self.text.codec.tokenizer.piece(bos)).filter(|name| !name.is_empty());
        name.and_then(|name| sent.text.strip_prefix(&name)).unwrap_or(&sent.text)
    }

    async fn ask(&self, sent: &Sent, rules: &Sampling) -> Result<Generated, ScorerError> {
        let writes_bos = self.writes_bos.get().copied().unwrap_or(false);
        let text = if writes_bos { self.without_bos(sent) } else { &sent.text };
        let answer = self.generate(text, sent.seed, rules.max_new_tokens, rules).await?;
        let stop = match answer.done_reason.as_str() {
            _ if !answer.done => Stop::Loop,
            "length" => Stop::Length,
            _ => Stop::End,
        };
        // Of an answer that ran in circles it does not say what it read.
        if stop != Stop::Loop {
            self.check_count(sent, self.count(&answer)?)?;
        }
        let ids = self.text.codec.tokenizer.encode(&answer.response)?;
        self.text.read(sent, rules, Written { ids, text: Some(answer.response), chances: Vec::new(), stop })
    }

    async fn generate(&self, text: &str, seed: u32, tokens: usize, rules: &Sampling) -> Result<Answer, ScorerError> {
        let mut stop = rules.stop.clone();
        stop.push(self.text.codec.tokenizer.end_name());
        let body = json!({
            "model": self.model,
            "prompt": text,
            "raw": true,
            "stream": false,
            "options": {
                "num_ctx": self.context.load(Ordering::Relaxed),
                "num_predict": tokens,
                "temperature": rules.temperature,
                "top_k": rules.top_k,
                "top_p": rules.top_p,
                "min_p": 0.0,
                "repeat_penalty": rules.repeat_penalty,
                "repeat_last_n": REPEAT_WINDOW,
                "seed": seed,
                "stop": stop,
            },
        });
        let answer: Answer = self.wire.post("/api/generate", &body).await?;
        // After some thirty times the same token Ollama ends the answer, and says neither that it is done nor why.
        let known: &[&str] = if answer.done { &["", "stop", "length"] } else { &[""] };
        if known.contains(&answer.done_reason.as_str()) {
            return Ok(answer);
        }
        Err(self.wire.unreadable("/api/generate", format!("the answer is not whole ({})", one_line(&answer.done_reason, 40))))
    }

    fn count(&self, answer: &Answer) -> Result<usize, ScorerError> {
        let missing =
            || self.wire.unreadable("/api/generate", "it does not say how much it read (prompt_eval_count); update Ollama");
        answer.prompt_eval_count.ok_or_else(missing)
    }

    /// The tokens it read are ours, give or take the one that begins a text.
    fn check_count(&self, sent: &Sent, read: usize) -> Result<(), ScorerError> {
        let ours = sent.ids.len();
        let why = format!("it read {read} tokens where the student has {ours}");
        let (server, row) = (self.wire.server(), sent.row.clone());
        if read + 1 < ours {
            let next = "Make the model again with a larger num_ctx, or shorten the article; if Ollama is old, update it";
            return Err(ScorerError::Cut { server, row, why, next: next.into() });
        }
        if read > ours + 1 { Err(ScorerError::Tokens { server, row, why }) } else { Ok(()) }
    }
}

/// The model of a name, as `/api/tags` lists it.
async fn find(wire: &Wire, wanted: &str) -> Result<Tag, ScorerError> {
    let tags: Tags = wire.get("/api/tags").await?;
    let names: Vec<String> = tags.models.iter().take(8).map(|t| one_line(&t.name, 60)).collect();
    let fits = |tag: &Tag| tag.name == wanted || tag.name.strip_suffix(":latest") == Some(wanted);
    tags.models.into_iter().find(fits).ok_or_else(|| {
        let served = if names.is_empty() { "no model".into() } else { names.join(", ") };
        ScorerError::OtherModel { server: wire.server(), served, wanted: wanted.to_owned() }
    })
}

/// Not the name: a release and what is served of it are one.
fn digest(tag: &Tag, version: &str, text: &TextSide) -> Digest {
    let parts = [text.student.as_str(), tag.digest.as_str(), version];
    parts.iter().fold(Digester::new().field("ollama"), Digester::field).finish()
}

impl Scorer for Ollama {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn digest(&self) -> Digest {
        self.digest.clone()
    }

    fn check(&self) -> Result<(), ScorerError> {
        let tag = self.tokio.block_on(find(&self.wire, &self.model))?;
        let found = digest(&tag, &self.version, &self.text);
        self.wire.unchanged(&self.digest, &found)
    }

    fn answer(&self, prompts: &[Prompt], rules: &Sampling, seed: u64, on_row: OnRow<'_>) -> Result<Vec<Generated>, ScorerError> {
        let sent = self.text.prepare(prompts, seed)?;
        let Some(first) = sent.first() else { return Ok(Vec::new()) };
        self.grow_context(&sent, rules);
        self.tokio.block_on(async {
            self.check_tokens(first, rules).await?;
            ask_all(prompts, self.parallel, |i| self.ask(&sent[i], rules), on_row).await
        })
    }
}
