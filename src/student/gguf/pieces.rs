//! Gemma's words (`SentencePiece`) from a GGUF: the merges that its scores stand for, in the order in which the model's own
//! `tokenizer.json` lists them.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::words::USER_DEFINED;

/// Characters of a piece; a longer one is no word, and its splits would take long.
const LONGEST: usize = 256;
const SPACE: char = '▁';

/// `tokenizer.json` of pieces with their scores and kinds, each by its id; `Err` says what is wrong with them.
pub(super) fn tokenizer(tokens: &[String], scores: &[f32], kinds: &[i64], added: Vec<Value>) -> Result<Value, &'static str> {
    if scores.len() != tokens.len() || kinds.len() != tokens.len() {
        return Err("scores or kinds of its tokens are not as many as they");
    }
    if tokens.iter().any(|token| token.chars().count() > LONGEST) {
        return Err("a token is too long to be one");
    }
    // Runs of spaces are user-defined tokens, written as spaces; in words they are what spaces become.
    let spaced = |(token, kind): (&String, &i64)| {
        if *kind == USER_DEFINED { token.replace(' ', SPACE.to_string().as_str()) } else { token.clone() }
    };
    let tokens: Vec<String> = tokens.iter().zip(kinds).map(spaced).collect();
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let added: Vec<Value> = added.into_iter().map(|token| respelt(token, &tokens)).collect();
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        ]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": ids,
            "merges": merges(&tokens, &ids, scores, kinds),
        },
    }))
}

/// Whether scores say these merges, in this order.
pub(crate) fn agreed_merges(tokens: &[String], scores: &[f32], kinds: &[i32], all: &[(&str, &str)]) -> bool {
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let kinds: Vec<i64> = kinds.iter().map(|kind| i64::from(*kind)).collect();
    let said = merges(tokens, &ids, scores, &kinds);
    said.len() == all.len() && said.iter().zip(all).all(|([left, right], pair)| (*left, *right) == *pair)
}

/// An added token under the name that it has in the vocabulary.
fn respelt(mut token: Value, tokens: &[String]) -> Value {
    let id = token["id"].as_u64().and_then(|id| usize::try_from(id).ok());
    if let Some(name) = id.and_then(|id| tokens.get(id)) {
        token["content"] = json!(name);
    }
    token
}

/// Every way to put a word together from two others, best scores first; of one score, longer parts first.
fn merges<'a>(tokens: &'a [String], ids: &HashMap<&str, usize>, scores: &[f32], kinds: &[i64]) -> Vec<[&'a str; 2]> {
    let mut all = Vec::new();
    for ((token, score), kind) in tokens.iter().zip(scores).zip(kinds) {
        // User-defined tokens come before every word.
        let score = match *kind {
            // The first score of all is written as −0.
            1 => *score + 0.0,
            USER_DEFINED => 0.0,
            _ => continue,
        };
        let length = token.chars().count();
        let splits = token.char_indices().enumerate().skip(1).map(|(n, (at, _))| (n, token.split_at(at)));
        let mut of_token: Vec<_> = splits
            .filter_map(|(n, (left, right))| Some(((ids.get(left)?, ids.get(right)?), (score, n, length - n), [left, right])))
            .collect();
        of_token.sort_by_key(|(ids, ..)| *ids);
        all.extend(of_token.into_iter().map(|(_, rank, pair)| (rank, pair)));
    }
    all.sort_by(|((a, a_left, a_right), _), ((b, b_left, b_right), _)| {
        b.total_cmp(a).then(b_left.cmp(a_left)).then(b_right.cmp(a_right))
    });
    all.into_iter().map(|(_, pair)| pair).collect()
}
