//! The student's tokenizer: byte-level BPE, trained on the workspace's own text, with the chat and think tokens looked
//! up by name. Owns text ↔ ids; knows no template.

use std::collections::BTreeSet;
use std::path::Path;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, Model, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use super::StudentError;
use crate::domain::{Digest, Role};

pub const PAD: &str = "<|endoftext|>";
pub const TURN_START: &str = "<|im_start|>";
pub const TURN_END: &str = "<|im_end|>";
pub const THINK_OPEN: &str = "<think>";
pub const THINK_CLOSE: &str = "</think>";
const LEAST_USES: u64 = 6;
const SPECIAL: [&str; 5] = [PAD, TURN_START, TURN_END, THINK_OPEN, THINK_CLOSE];

/// Qwen's way of cutting text into words: contractions, words with their leading space, single digits (so that a
/// score is spelt figure by figure), punctuation, line ends.
const WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

#[derive(Debug, Clone)]
pub struct StudentTokenizer {
    inner: Tokenizer,
    pad: u32,
    end: u32,
}

fn failed(e: impl std::fmt::Display) -> StudentError {
    StudentError::Tokenizer(e.to_string())
}

impl StudentTokenizer {
    /// Learns at most `vocab_size` tokens from `texts`; the same texts give the same tokenizer, byte for byte. A text counts
    /// once however often it comes, and a token must occur [`LEAST_USES`] times: otherwise every rare word of a small
    /// collection becomes a token of its own, by which its article is learnt by heart and which no other article has.
    pub fn train<'a>(texts: impl IntoIterator<Item = &'a str>, vocab_size: usize) -> Result<Self, StudentError> {
        let least = SPECIAL.len() + 256;
        if vocab_size < least {
            return Err(failed(format!("vocab_size {vocab_size} is too small; bytes and chat tokens alone are {least}")));
        }
        let split = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
        let pre: Vec<PreTokenizerWrapper> = vec![split.into(), ByteLevel::new(false, false, false).into()];
        let mut inner = Tokenizer::new(BPE::default());
        inner.with_pre_tokenizer(Some(Sequence::new(pre))).with_decoder(Some(ByteLevel::default()));
        let mut trainer: TrainerWrapper = BpeTrainerBuilder::new()
            .vocab_size(vocab_size)
            .min_frequency(LEAST_USES)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(SPECIAL.iter().map(|s| AddedToken::from(*s, true)).collect())
            .build()
            .into();
        // Added tokens are not text to learn from: cut them out.
        let once: BTreeSet<&str> = texts.into_iter().collect();
        let pieces: Vec<String> = once.into_iter().flat_map(cut_special).collect();
        inner.train(&mut trainer, pieces.into_iter()).map_err(failed)?;
        inner.add_special_tokens(SPECIAL.iter().map(|s| AddedToken::from(*s, true))).map_err(failed)?;
        Self::wrap(inner)
    }

    fn wrap(inner: Tokenizer) -> Result<Self, StudentError> {
        let id = |name: &str| inner.token_to_id(name).ok_or_else(|| failed(format!("it has no token {name}")));
        let (pad, end) = (id(PAD)?, id(TURN_END)?);
        id(TURN_START)?;
        Ok(Self { inner, pad, end })
    }

    pub fn load(path: &Path) -> Result<Self, StudentError> {
        let bytes = std::fs::read(path).map_err(StudentError::io(path))?;
        let inner = Tokenizer::from_bytes(bytes).map_err(|e| StudentError::file(path, e.to_string()))?;
        Self::wrap(inner).map_err(|e| StudentError::file(path, e.to_string()))
    }

    pub fn to_json(&self) -> Result<String, StudentError> {
        self.inner.to_string(false).map_err(failed)
    }

    pub fn digest(&self) -> Result<Digest, StudentError> {
        self.to_json().map(Digest::of)
    }

    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true).max(self.inner.get_model().get_vocab_size())
    }

    /// Ids of already rendered text; nothing is added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, StudentError> {
        Ok(self.inner.encode(text, false).map_err(failed)?.get_ids().to_vec())
    }

    /// Text of ids. Think tags are text to every reader of answers, so they are kept; turn marks are not.
    pub fn decode(&self, ids: &[u32]) -> Result<String, StudentError> {
        let turn_marks = [self.pad, self.end];
        let kept: Vec<u32> = ids.iter().copied().filter(|id| !turn_marks.contains(id)).collect();
        self.inner.decode(&kept, false).map_err(failed)
    }

    /// One token as text, for people who look at a loss mask. Parts of a character show as `�`.
    pub fn piece(&self, id: u32) -> String {
        self.inner.decode(&[id], false).unwrap_or_default()
    }

    /// Ends a turn, and with it an answer.
    pub fn end(&self) -> u32 {
        self.end
    }

    pub fn pad(&self) -> u32 {
        self.pad
    }
}

/// The stretches of a text between special tokens.
fn cut_special(text: &str) -> Vec<String> {
    let mut pieces = vec![text.to_owned()];
    for mark in SPECIAL {
        pieces = pieces.iter().flat_map(|p| p.split(mark)).map(str::to_owned).collect();
    }
    pieces.retain(|p| !p.is_empty());
    pieces
}

/// How templates spell a role.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn toy() -> StudentTokenizer {
        let texts =
            ["the reader wants the news of the day", "<think>\nthe match is weak\n</think>\nSCORE: 1.5 | REASON: no."].repeat(8);
        StudentTokenizer::train(texts, 320).expect("trained")
    }

    #[test]
    fn training_twice_gives_the_same_tokenizer() {
        assert_eq!(toy().to_json().unwrap(), toy().to_json().unwrap());
    }

    #[test]
    fn any_text_comes_back_and_chat_tokens_are_one_id() {
        let tokenizer = toy();
        let text = "<think>\nthe match — ünïcödé 🚀\n</think>\nSCORE: 9.5 | REASON: yes.";
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        assert_eq!(ids[0], tokenizer.encode(THINK_OPEN).unwrap()[0]);
        for mark in SPECIAL {
            assert_eq!(tokenizer.encode(mark).unwrap().len(), 1, "{mark}");
        }
        assert_eq!(tokenizer.encode("95").unwrap().len(), 2, "digits stand alone");
    }

    #[test]
    fn the_end_of_a_turn_is_dropped_from_decoded_text() {
        let tokenizer = toy();
        let ids = tokenizer.encode("news<|im_end|>").unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), "news");
    }

    #[test]
    fn a_vocabulary_too_small_for_bytes_is_refused() {
        assert!(StudentTokenizer::train(["text"], 100).is_err());
    }
}
