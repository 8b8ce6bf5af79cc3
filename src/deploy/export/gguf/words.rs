//! The tokenizer in GGUF's words: the other way of the readers `student::gguf::{words, pieces}`. What cannot be said so that
//! llama.cpp gives the same ids is refused.

use std::collections::HashMap;

use serde::Deserialize;
use tokenizers::{AddedToken, Tokenizer};

use super::super::ExportError;
use super::{Entry, Value};
use crate::deploy::Form;
use crate::domain::one_line;
use crate::student::effective::{Effective, Text};
use crate::student::gguf::{agreed_merges, pre_tokenizer};

/// Kinds of tokens as GGUF counts them.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;
/// What converters give tokens that no merge makes.
const LEAST_SCORE: f32 = -1000.0;
const SPACE: char = '▁';
const REMEDY: &str = "use merged, which carries its tokenizer.json";

/// A BPE model, as far as it is asked here.
#[derive(Debug, Deserialize)]
struct Bpe {
    #[serde(rename = "type")]
    kind: Option<String>,
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair([String; 2]),
    Text(String),
}

impl Merge {
    fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair([left, right]) => Some((left, right)),
            Self::Text(text) => text.split_once(' '),
        }
    }
}

/// Everything of the metadata that is text.
pub(in super::super) fn words(student: &Effective, form: Form) -> Result<Vec<Entry>, ExportError> {
    let rows = student.config.vocab_size;
    let refuse = |why: String| ExportError::cannot(form, format!("its tokenizer {why}; {REMEDY}"));
    let tokenizer = student.text.tokenizer();
    let mut entries = vocabulary(tokenizer, rows).map_err(refuse)?;
    let id = |purpose: &str| student.text.token(purpose).filter(|id| (*id as usize) < rows);
    let end = student.text.end();
    let eos = id("eos_token").or(end);
    let ids = [
        ("bos_token_id", id("bos_token")),
        ("eos_token_id", eos),
        ("eot_token_id", end.filter(|end| Some(*end) != eos)),
        ("unknown_token_id", id("unk_token")),
        ("padding_token_id", id("pad_token").or(eos)),
    ];
    entries.extend(ids.into_iter().filter_map(|(key, id)| Some((key_of(key), Value::U32(id?)))));
    entries.push((key_of("add_bos_token"), Value::Bool(begins(student))));
    entries.push((key_of("add_eos_token"), Value::Bool(false)));
    entries.push((key_of("add_space_prefix"), Value::Bool(false)));
    entries.extend(student.text.template().map(|template| ("tokenizer.chat_template".to_owned(), Value::Text(template))));
    Ok(entries)
}

fn key_of(part: &str) -> String {
    format!("tokenizer.ggml.{part}")
}

/// Whether a reader is to begin every text with a token. Where there is a template it writes all that there is, in training as
/// in serving; without one the tokenizer's own habit counts.
fn begins(student: &Effective) -> bool {
    let Text::Words { tokenizer, .. } = &student.text else { return false };
    let bos = student.text.token("bos_token");
    bos.is_some() && tokenizer.encode("a", true).is_ok_and(|encoded| encoded.get_ids().first() == bos.as_ref())
}

/// The vocabulary in a model's rows, and how text is cut; `Err` says what of it has no words here.
fn vocabulary(tokenizer: &Tokenizer, rows: usize) -> Result<Vec<Entry>, String> {
    let model = serde_json::to_string(tokenizer.get_model()).map_err(|e| e.to_string())?;
    let model: Bpe = serde_json::from_str(&model).map_err(|_| "is no byte pair encoding".to_owned())?;
    if model.kind.as_deref().is_some_and(|kind| kind != "BPE") {
        return Err("is no byte pair encoding".into());
    }
    let affixes = [&model.continuing_subword_prefix, &model.end_of_word_suffix];
    if affixes.into_iter().flatten().any(|affix| !affix.is_empty()) {
        return Err("marks parts of words".into());
    }
    let added: HashMap<u32, AddedToken> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    if let Some(token) = added.values().find(|t| t.lstrip || t.rstrip || t.single_word) {
        let shown = one_line(&token.content, 40);
        return Err(format!("strips what stands beside '{shown}' or takes it only as a whole word"));
    }
    if model.byte_fallback { pieces(tokenizer, &model, &added, rows) } else { byte_level(tokenizer, &model, &added, rows) }
}

/// Texts and kinds of all rows.
fn tokens(
    tokenizer: &Tokenizer,
    added: &HashMap<u32, AddedToken>,
    rows: usize,
    kind: impl Fn(&str) -> i32,
) -> (Vec<String>, Vec<i32>) {
    let token = |id: usize| {
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        match (added.get(&id), tokenizer.id_to_token(id)) {
            (Some(token), _) => (token.content.clone(), if token.special { CONTROL } else { USER_DEFINED }),
            (None, Some(text)) => {
                let kind = kind(&text);
                (text, kind)
            }
            // Rows that a model has beyond its tokenizer.
            (None, None) => (format!("[PAD{id}]"), UNUSED),
        }
    };
    (0..rows).map(token).unzip()
}

/// Byte-level words: Qwen, Llama 3, `SmolLM`, GPT-2, and the seedling.
fn byte_level(tokenizer: &Tokenizer, model: &Bpe, added: &HashMap<u32, AddedToken>, rows: usize) -> Result<Vec<Entry>, String> {
    let normalizer = serde_json::to_value(tokenizer.get_normalizer()).map_err(|e| e.to_string())?;
    // llama.cpp composes nothing; texts that come composed, as nearly all do, are the same.
    if !normalizer.is_null() && normalizer["type"] != "NFC" {
        return Err(format!("changes text first ({}), which llama.cpp does not", one_line(&normalizer.to_string(), 80)));
    }
    let pre = pre_tokenizer(tokenizer, model.ignore_merges)?;
    let (tokens, kinds) = tokens(tokenizer, added, rows, |_| NORMAL);
    let merges: Option<Vec<String>> = model.merges.iter().map(|m| m.parts().map(|(a, b)| format!("{a} {b}"))).collect();
    Ok(vec![
        (key_of("model"), Value::Text("gpt2".into())),
        (key_of("pre"), Value::Text(pre.into())),
        (key_of("tokens"), Value::Texts(tokens)),
        (key_of("token_type"), Value::I32s(kinds)),
        (key_of("merges"), Value::Texts(merges.ok_or("has merges that are no pairs")?)),
    ])
}

/// `SentencePiece` as Gemma has it: scores instead of merges.
fn pieces(tokenizer: &Tokenizer, model: &Bpe, added: &HashMap<u32, AddedToken>, rows: usize) -> Result<Vec<Entry>, String> {
    let normalizer = serde_json::to_value(tokenizer.get_normalizer()).map_err(|e| e.to_string())?;
    let spaces = serde_json::json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    if normalizer != spaces {
        let shown = one_line(&normalizer.to_string(), 80);
        return Err(format!("changes text first ({shown}), where only spaces becoming '{SPACE}' can be said"));
    }
    let byte = |text: &str| text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
    let unknown = model.unk_token.as_deref();
    let kind = |text: &str| match text {
        text if byte(text) => BYTE,
        text if Some(text) == unknown => UNKNOWN,
        _ => NORMAL,
    };
    let (tokens, kinds) = tokens(tokenizer, added, rows, kind);
    let merges: Option<Vec<(&str, &str)>> = model.merges.iter().map(Merge::parts).collect();
    let merges = merges.ok_or("has merges that are no pairs")?;
    let scores = scores(&tokens, &kinds, &merges);
    if !agreed_merges(&tokens, &scores, &kinds, &merges) {
        return Err("has merges that no scores of its tokens can say".into());
    }
    // Runs of spaces are written as spaces where they are found before words are cut.
    let as_written = |(text, kind): (String, &i32)| if *kind == USER_DEFINED { text.replace(SPACE, " ") } else { text };
    let tokens = tokens.into_iter().zip(&kinds).map(as_written).collect();
    Ok(vec![
        (key_of("model"), Value::Text("llama".into())),
        (key_of("pre"), Value::Text("default".into())),
        (key_of("tokens"), Value::Texts(tokens)),
        (key_of("scores"), Value::F32s(scores)),
        (key_of("token_type"), Value::I32s(kinds)),
    ])
}

/// Tokens by when merges first make them, the others after those.
fn scores(tokens: &[String], kinds: &[i32], merges: &[(&str, &str)]) -> Vec<f32> {
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let mut scores: Vec<f32> = kinds.iter().map(|kind| if *kind == BYTE { 0.0 } else { LEAST_SCORE }).collect();
    let mut set = vec![false; tokens.len()];
    let mut next = 0_u32;
    let mut give = |id: usize| {
        if kinds[id] == NORMAL && !std::mem::replace(&mut set[id], true) {
            scores[id] = 0.0 - next as f32;
            next += 1;
        }
    };
    let mut whole = String::new();
    for (left, right) in merges {
        whole.clear();
        whole.push_str(left);
        whole.push_str(right);
        ids.get(whole.as_str()).copied().into_iter().for_each(&mut give);
    }
    (0..tokens.len()).for_each(give);
    scores
}
