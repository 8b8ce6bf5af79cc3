//! A llama.cpp server. Prompts go as token ids, after a check that it would make the same ids of the text.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime as Tokio;

use super::crowd::ask_all;
use super::error::ScorerError;
use super::http::Wire;
use super::reading::{Chance, Sent, TextSide, Written};
use super::{OnRow, Scorer};
use crate::domain::recipe::Sampling;
use crate::domain::{Digest, Digester, one_line};
use crate::evaluate::Runtime;
use crate::student::{Generated, Prompt, Stop};
use crate::workspace::ScoringChoice;

/// Likeliest tokens that are asked for at each position: the digits that matter are among them.
const LIKELIEST: usize = 16;
/// The embedded engine's window of the repeat penalty.
const REPEAT_WINDOW: usize = 64;
const SLOTS: usize = 4;

/// What `/props` says. Older servers leave things out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Props {
    total_slots: Option<usize>,
    default_generation_settings: Option<Settings>,
    model_path: String,
    model_alias: String,
    model_ftype: String,
    build_info: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    /// Tokens of one slot.
    n_ctx: Option<usize>,
}

/// `/v1/models`, as far as it tells two models apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Models {
    data: Vec<Model>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Model {
    id: String,
    meta: Option<Meta>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    n_vocab: Option<u64>,
    n_params: Option<u64>,
    size: Option<u64>,
    ftype: String,
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Completion {
    content: String,
    #[serde(default)]
    tokens: Vec<u32>,
    #[serde(default, rename = "completion_probabilities")]
    positions: Vec<Position>,
    tokens_evaluated: Option<usize>,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    stop_type: String,
    /// Older servers say it so.
    #[serde(default)]
    stopped_limit: bool,
}

#[derive(Deserialize)]
struct Position {
    id: Option<u32>,
    #[serde(default)]
    top_logprobs: Vec<Likely>,
}

#[derive(Deserialize)]
struct Likely {
    id: u32,
    logprob: Option<f32>,
}

#[derive(Debug)]
pub(super) struct LlamaServer {
    wire: Wire,
    tokio: Tokio,
    text: TextSide,
    parallel: usize,
    slots: usize,
    room: Option<usize>,
    model: Option<String>,
    runtime: Runtime,
    digest: Digest,
    checked: OnceLock<()>,
}

impl Props {
    pub fn is_llama(&self) -> bool {
        self.total_slots.is_some() || self.default_generation_settings.is_some()
    }

    fn served(&self) -> &str {
        if self.model_path.is_empty() { &self.model_alias } else { &self.model_path }
    }
}

impl LlamaServer {
    pub fn new(wire: Wire, tokio: Tokio, props: &Props, choice: &ScoringChoice, text: TextSide) -> Result<Self, ScorerError> {
        if let Some(wanted) = &choice.model
            && !props.model_alias.contains(wanted.as_str())
            && !props.model_path.contains(wanted.as_str())
        {
            let served = one_line(props.served(), 120);
            return Err(ScorerError::OtherModel { server: wire.server(), served, wanted: wanted.clone() });
        }
        let Model { id, meta } = tokio.block_on(described(&wire));
        let meta = meta.unwrap_or_default();
        let slots = props.total_slots.unwrap_or(SLOTS).clamp(1, 256);
        Ok(Self {
            parallel: choice.parallel.unwrap_or(slots),
            slots,
            room: props.default_generation_settings.as_ref().and_then(|s| s.n_ctx).filter(|n| *n > 0),
            model: choice.model.clone(),
            runtime: Runtime {
                engine: format!("llama.cpp {}", one_line(&props.build_info, 40)).trim_end().to_owned(),
                precision: precision(props, &meta),
                device: format!("server {}", wire.host()),
            },
            digest: digest(props, &id, &meta, &wire, &text),
            wire,
            tokio,
            text,
            checked: OnceLock::new(),
        })
    }

    /// Every prompt and its answer fit into a slot.
    fn check_room(&self, sent: &[Sent], rules: &Sampling) -> Result<(), ScorerError> {
        let Some((longest, room)) = sent.iter().max_by_key(|s| s.ids.len()).zip(self.room) else { return Ok(()) };
        let needed = longest.ids.len() + rules.max_new_tokens;
        if needed <= room {
            return Ok(());
        }
        let context = needed.next_multiple_of(256) * self.slots;
        Err(ScorerError::Room {
            server: self.wire.server(),
            room,
            row: longest.row.clone(),
            needed,
            prompt: longest.ids.len(),
            answer: rules.max_new_tokens,
            next: format!("Start llama-server with -c {context} (for -np {})", self.slots),
        })
    }

    /// Guard T11, once for each server: it makes the same ids of one rendered prompt.
    async fn check_tokens(&self, sent: &Sent) -> Result<(), ScorerError> {
        if self.checked.get().is_some() {
            return Ok(());
        }
        let (text, ids) = sent.conversation();
        let theirs = self.tokenize(text).await?;
        if theirs.tokens == ids {
            self.checked.get_or_init(|| ());
            return Ok(());
        }
        let at = theirs.tokens.iter().zip(ids).take_while(|(a, b)| a == b).count();
        let piece = |ids: &[u32]| match ids.get(at) {
            Some(id) => format!("'{}' ({id})", one_line(&self.text.codec.tokenizer.piece(*id), 40)),
            None => "nothing".into(),
        };
        let (there, here) = (piece(&theirs.tokens), piece(ids));
        let why = format!(
            "{} tokens there and {} here; at token {at} it has {there} where the student has {here}",
            theirs.tokens.len(),
            ids.len()
        );
        Err(ScorerError::Tokens { server: self.wire.server(), row: sent.row.clone(), why })
    }

    /// As the model's own tokenizer reads a text with its special tokens.
    async fn tokenize(&self, text: &str) -> Result<Tokens, ScorerError> {
        let body = self.named(json!({"content": text, "add_special": false, "parse_special": true}));
        self.wire.post("/tokenize", &body).await
    }

    fn named(&self, mut body: Value) -> Value {
        if let (Some(model), Some(fields)) = (&self.model, body.as_object_mut()) {
            fields.insert("model".into(), model.as_str().into());
        }
        body
    }

    async fn ask(&self, sent: &Sent, rules: &Sampling) -> Result<Generated, ScorerError> {
        let body = self.named(json!({
            "prompt": sent.ids,
            "n_predict": rules.max_new_tokens,
            "temperature": rules.temperature,
            "top_k": rules.top_k,
            "top_p": rules.top_p,
            "min_p": 0.0,
            "repeat_penalty": rules.repeat_penalty,
            "repeat_last_n": REPEAT_WINDOW,
            "samplers": ["penalties", "top_k", "temperature", "top_p"],
            "seed": sent.seed,
            "stop": rules.stop,
            "n_probs": LIKELIEST,
            "return_tokens": true,
            "cache_prompt": true,
            "stream": false,
        }));
        let answer: Completion = self.wire.post("/completion", &body).await?;
        self.check_whole(sent, &answer)?;
        let stop = if answer.stopped_limit || answer.stop_type == "limit" { Stop::Length } else { Stop::End };
        let mut written = Written { ids: Vec::new(), text: None, chances: Vec::new(), stop };
        if answer.tokens.is_empty() && !answer.content.is_empty() {
            written.ids = self.text.codec.tokenizer.encode(&answer.content)?;
            written.text = Some(answer.content);
        } else {
            written.ids = answer.tokens;
            written.chances = answer.positions.into_iter().filter_map(Position::chance).collect();
        }
        self.text.read(sent, rules, written)
    }

    fn check_whole(&self, sent: &Sent, answer: &Completion) -> Result<(), ScorerError> {
        let why = match answer.tokens_evaluated {
            _ if answer.truncated => "it says that its context was full".to_owned(),
            Some(read) if read != sent.ids.len() => format!("it read {read} of {} tokens of the prompt", sent.ids.len()),
            _ => return Ok(()),
        };
        let next = "Start llama-server with a larger -c".to_owned();
        Err(ScorerError::Cut { server: self.wire.server(), row: sent.row.clone(), why, next })
    }
}

impl Position {
    fn chance(self) -> Option<Chance> {
        let likeliest = self.top_logprobs.into_iter().filter_map(|t| t.logprob.map(|p| (t.id, p))).collect();
        self.id.map(|drawn| Chance { drawn, likeliest })
    }
}

impl Scorer for LlamaServer {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn digest(&self) -> Digest {
        self.digest.clone()
    }

    fn check(&self) -> Result<(), ScorerError> {
        let (props, Model { id, meta }) = self.tokio.block_on(async {
            let props: Props = self.wire.get("/props").await?;
            Ok::<_, ScorerError>((props, described(&self.wire).await))
        })?;
        let found = digest(&props, &id, &meta.unwrap_or_default(), &self.wire, &self.text);
        self.wire.unchanged(&self.digest, &found)
    }

    fn prompt_ids(&self, prompts: &[Prompt]) -> Result<Option<Vec<Vec<u32>>>, ScorerError> {
        let mut all = Vec::with_capacity(prompts.len());
        for sent in self.text.prepare(prompts, 0)? {
            all.push(self.tokio.block_on(self.tokenize(sent.conversation().0))?.tokens);
        }
        Ok(Some(all))
    }

    fn answer(&self, prompts: &[Prompt], rules: &Sampling, seed: u64, on_row: OnRow<'_>) -> Result<Vec<Generated>, ScorerError> {
        let sent = self.text.prepare(prompts, seed)?;
        let Some(first) = sent.first() else { return Ok(Vec::new()) };
        self.check_room(&sent, rules)?;
        let on_row: &mut dyn FnMut(&Generated) -> ControlFlow<()> = on_row;
        self.tokio.block_on(async {
            self.check_tokens(first).await?;
            ask_all(prompts, self.parallel, |i| self.ask(&sent[i], rules), on_row).await
        })
    }
}

/// What it says of its model. Only describes; a server without it is asked all the same.
async fn described(wire: &Wire) -> Model {
    let models: Models = wire.get("/v1/models").await.unwrap_or_default();
    models.data.into_iter().next().unwrap_or_default()
}

/// Such as `Q4_1`: as it says itself, else as its file's name ends.
fn precision(props: &Props, meta: &Meta) -> String {
    let said = [&props.model_ftype, &meta.ftype].into_iter().find(|f| !f.is_empty()).map(|f| one_line(f, 20));
    let stem = Path::new(&props.model_path).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let named = || {
        let last = stem.rsplit(['.', '-']).next().unwrap_or_default().to_uppercase();
        let is_type = |word: &str| ["Q", "IQ", "F16", "BF16", "F32", "MXFP4"].iter().any(|t| word.starts_with(t));
        is_type(&last).then(|| one_line(&last, 20))
    };
    said.or_else(named).unwrap_or_else(|| "unknown precision".into())
}

/// The file is looked at too where it is on this machine: a release made anew has its name and size.
fn digest(props: &Props, id: &str, meta: &Meta, wire: &Wire, text: &TextSide) -> Digest {
    let number = |n: Option<u64>| n.map_or_else(String::new, |n| n.to_string());
    let local = ["127.0.0.1", "localhost", "[::1]"].contains(&wire.host().as_str());
    let file = local.then(|| std::fs::metadata(&props.model_path).ok()).flatten();
    let touched = file.and_then(|f| f.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok());
    let mut digest = Digester::new().field("llama.cpp").field(text.student.as_str());
    for part in [&props.build_info, &props.model_path, &props.model_alias, &props.model_ftype, id] {
        digest = digest.field(part);
    }
    for part in [meta.n_vocab, meta.n_params, meta.size, touched.map(|t| t.as_nanos() as u64)] {
        digest = digest.field(number(part));
    }
    digest.finish()
}
