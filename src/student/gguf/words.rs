//! A GGUF file's words: its tokenizer as the `tokenizer.json` of the same model, and its chat template. Files beside the
//! GGUF go before what is in it.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, PreTokenizerWrapper, Tokenizer};

use super::super::{ChatTemplate, Codec, StudentError, StudentTokenizer, tokenizer};
use super::{Gguf, Meta};
use crate::domain::one_line;

const BESIDE: &str = "put the model's tokenizer.json beside the GGUF, which then goes before what is in it";

/// Kinds of tokens as GGUF counts them.
const CONTROL: i64 = 3;
pub(super) const USER_DEFINED: i64 = 4;
const UNUSED: i64 = 5;

impl Gguf {
    /// The text side: tokenizer and template.
    pub fn codec(&self) -> Result<Codec, StudentError> {
        let template = ChatTemplate::beside(self.folder(), self.text_config())?;
        let tokenizer = StudentTokenizer::of_model(self.words()?, &template);
        Ok(Codec { tokenizer: tokenizer.map_err(|e| StudentError::file(self.path(), e.to_string()))?, template })
    }

    /// The text side as other programs see it: what is in the file itself, whatever lies beside it.
    pub fn inner_codec(&self) -> Result<Codec, StudentError> {
        let template = ChatTemplate::of_config(self.text_config()).map_err(|e| StudentError::file(self.path(), e.to_string()))?;
        let tokenizer = StudentTokenizer::of_model(self.tokenizer()?, &template);
        Ok(Codec { tokenizer: tokenizer.map_err(|e| StudentError::file(self.path(), e.to_string()))?, template })
    }

    /// The tokenizer alone.
    pub(in super::super) fn words(&self) -> Result<Tokenizer, StudentError> {
        let file = self.folder().join(tokenizer::FILE);
        if file.is_file() { tokenizer::read(&file) } else { self.tokenizer() }
    }

    fn folder(&self) -> &Path {
        folder_of(self.path())
    }

    /// `tokenizer_config.json` as far as the file knows it.
    pub(in super::super) fn text_config(&self) -> Value {
        let name = |purpose: &str| {
            let id = self.int(&format!("tokenizer.ggml.{purpose}_token_id"));
            let id = id.and_then(|id| usize::try_from(id).ok());
            json!(id.and_then(|id| self.texts("tokens")?.get(id)))
        };
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": self.text("tokenizer.chat_template"),
            "bos_token": name("bos"),
            "eos_token": name("eos"),
            "pad_token": name("padding"),
            "clean_up_tokenization_spaces": false,
            "add_bos_token": false,
        })
    }

    fn texts(&self, part: &str) -> Option<&Vec<String>> {
        if let Some(Meta::Texts(texts)) = self.metadata.get(&format!("tokenizer.ggml.{part}")) { Some(texts) } else { None }
    }

    fn tokenizer(&self) -> Result<Tokenizer, StudentError> {
        let refuse = |why: String| StudentError::file(self.path(), format!("{why}; {BESIDE}"));
        let model = self.text("tokenizer.ggml.model").unwrap_or_default();
        let pre = self.text("tokenizer.ggml.pre").unwrap_or_default();
        let missing = |what: &str| refuse(format!("its tokenizer has no {what}"));
        let tokens = self.texts("tokens").ok_or_else(|| missing("tokens"))?;
        let value = match model {
            "gpt2" => {
                let merges = self.texts("merges").ok_or_else(|| missing("merges"))?;
                let words = Words::of(pre)
                    .ok_or_else(|| refuse(format!("how its tokenizer cuts words ('{}') is not known here", one_line(pre, 40))))?;
                words.tokenizer(&self.vocabulary(tokens), merges, &self.added(tokens))
            }
            // Llama 2's kind puts a space before every text; no file of it is exact enough to prove this on.
            "llama" if self.text("general.architecture") == Some("gemma3") => {
                let scores = match self.metadata.get("tokenizer.ggml.scores") {
                    Some(Meta::Floats(scores)) => scores.as_slice(),
                    _ => return Err(missing("scores")),
                };
                let kinds: Vec<i64> = (0..tokens.len()).map(|id| self.kind(id)).collect();
                super::pieces::tokenizer(tokens, scores, &kinds, self.added(tokens)).map_err(|why| refuse(why.into()))?
            }
            other => {
                let why =
                    format!("its tokenizer is of the kind '{}', which cannot be taken from a GGUF exactly", one_line(other, 40));
                return Err(refuse(why));
            }
        };
        let text = serde_json::to_vec(&value).map_err(|e| refuse(e.to_string()))?;
        Tokenizer::from_bytes(text).map_err(|e| refuse(format!("its tokenizer is damaged: {}", one_line(&e.to_string(), 200))))
    }

    fn kind(&self, id: usize) -> i64 {
        match self.metadata.get("tokenizer.ggml.token_type") {
            Some(Meta::Ints(kinds)) => kinds.get(id).copied().unwrap_or(1),
            _ => 1,
        }
    }

    fn vocabulary<'a>(&self, tokens: &'a [String]) -> HashMap<&'a str, usize> {
        let used = tokens.iter().enumerate().filter(|(id, _)| self.kind(*id) != UNUSED);
        used.map(|(id, token)| (token.as_str(), id)).collect()
    }

    /// Tokens that are found in text before words are cut.
    fn added(&self, tokens: &[String]) -> Vec<Value> {
        let kinds = tokens.iter().enumerate().map(|(id, token)| (id, token, self.kind(id)));
        let added = kinds.filter(|(_, token, kind)| [CONTROL, USER_DEFINED].contains(kind) && !token.is_empty());
        let entry = |(id, token, kind): (usize, &String, i64)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": kind == CONTROL})
        };
        added.map(entry).collect()
    }
}

/// Where a file lies.
pub(in super::super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How a family of byte-level tokenizers cuts text into words.
struct Words {
    /// Unicode in its composed form first.
    composed: bool,
    cut: Value,
    /// A whole word that is a token stays one, whatever the merges say.
    unmerged: bool,
}

impl Words {
    /// As files that are written name them.
    const NAMES: [&str; 4] = ["qwen2", "smollm", "llama-bpe", "gpt-2"];

    /// By llama.cpp's name for it.
    fn of(pre: &str) -> Option<Self> {
        let split = |digits: &str| {
            let regex = format!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            json!([
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            ])
        };
        let gpt_2 = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let (composed, cut, unmerged) = match pre {
            "smollm" => (false, json!([{"type": "Digits", "individual_digits": true}, gpt_2]), false),
            "qwen2" => (true, split(""), false),
            "llama-bpe" | "llama3" | "llama-v3" => (false, split("{1,3}"), true),
            "gpt-2" => (false, json!([gpt_2]), false),
            _ => return None,
        };
        Some(Self { composed, cut, unmerged })
    }

    /// The words of a text.
    fn cut(&self, text: &str) -> Option<Vec<String>> {
        let cut: PreTokenizerWrapper = serde_json::from_value(json!({"type": "Sequence", "pretokenizers": self.cut})).ok()?;
        words_of(&cut, text)
    }

    /// `tokenizer.json`.
    fn tokenizer(&self, vocabulary: &HashMap<&str, usize>, merges: &[String], added: &[Value]) -> Value {
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": self.composed.then(|| json!({"type": "NFC"})),
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": self.cut},
            "post_processor": null,
            "decoder": byte_level,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": self.unmerged,
                "vocab": vocabulary, "merges": merges,
            },
        })
    }
}

/// A text on which the known ways of cutting words part: figures, contractions, spaces, line ends, scripts, signs.
const PROBE: &str = "I'M sure it's 7,  12 345 6789 or 1234567890.5km\tthey'LL\r\n\r\n  say   so \n\n x=[1]; a_b//C++ (v2)!!\n   \
    Ünï e\u{301}té 東京は夜 نور ١٢٣ ½ 🚀🚀 don’t $9 #tag@me  ";

/// llama.cpp's name for how a tokenizer cuts words: the one that cuts a telling text alike. `unmerged`: a whole word that is a
/// token stays one.
pub(crate) fn pre_tokenizer(tokenizer: &Tokenizer, unmerged: bool) -> Result<&'static str, String> {
    let unknown = || "cuts words in a way for which llama.cpp has no name that is known here".to_owned();
    let words = tokenizer.get_pre_tokenizer().and_then(|own| words_of(own, PROBE)).ok_or_else(unknown)?;
    let same = |name: &&str| Words::of(name).and_then(|known| known.cut(PROBE)).is_some_and(|cut| cut == words);
    let name = Words::NAMES.into_iter().find(same).ok_or_else(unknown)?;
    if Words::of(name).is_some_and(|known| known.unmerged == unmerged) {
        return Ok(name);
    }
    Err(format!("cuts words like '{name}' but merges whole words otherwise (ignore_merges = {unmerged})"))
}

fn words_of(cut: &PreTokenizerWrapper, text: &str) -> Option<Vec<String>> {
    let mut words = PreTokenizedString::from(text);
    cut.pre_tokenize(&mut words).ok()?;
    let splits = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
    Some(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
}
