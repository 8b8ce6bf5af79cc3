//! The student's tokenizer: a model's own, or byte-level BPE trained on the workspace's text, with the chat and think tokens
//! looked up by name. Owns text ↔ ids; of a template it asks only what ends a turn.

use std::collections::BTreeSet;
use std::path::Path;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, Model, NormalizedString, Normalizer as _, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use super::{ChatTemplate, StudentError};
use crate::domain::{Digest, Role, one_line};

pub const PAD: &str = "<|endoftext|>";
pub const TURN_START: &str = "<|im_start|>";
pub const TURN_END: &str = "<|im_end|>";
pub const THINK_OPEN: &str = "<think>";
pub const THINK_CLOSE: &str = "</think>";
pub(super) const FILE: &str = "tokenizer.json";
const LEAST_USES: u64 = 6;
const SPECIAL: [&str; 5] = [PAD, TURN_START, TURN_END, THINK_OPEN, THINK_CLOSE];

/// Qwen's way of cutting text into words: contractions, words with their leading space, single digits (so that a
/// score is spelt figure by figure), punctuation, line ends.
const WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A tokenizer with the tokens that matter to a student found by name.
#[derive(Debug, Clone)]
pub struct StudentTokenizer {
    inner: Tokenizer,
    pad: u32,
    end: u32,
    bos: Option<u32>,
    /// What is no text to readers of answers, in order.
    marks: Vec<u32>,
    /// Tokens the model has numbers for.
    rows: usize,
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
        Self::chatml(inner)
    }

    /// Our own students' chat tokens.
    fn chatml(inner: Tokenizer) -> Result<Self, StudentError> {
        let id = |name: &str| inner.token_to_id(name).ok_or_else(|| failed(format!("it has no token {name}")));
        let (pad, end) = (id(PAD)?, id(TURN_END)?);
        id(TURN_START)?;
        Ok(Self::new(inner, end, pad, None))
    }

    fn new(inner: Tokenizer, end: u32, pad: u32, bos: Option<u32>) -> Self {
        let think = |content: &str| [THINK_OPEN, THINK_CLOSE].contains(&content);
        let added = inner.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, t)| t.special && !think(&t.content)).map(|(id, _)| *id);
        let marks: BTreeSet<u32> = special.chain([end, pad]).chain(bos).collect();
        Self { inner, pad, end, bos, marks: marks.into_iter().collect(), rows: usize::MAX }
    }

    /// Any model's tokenizer: what ends a turn is the token its template writes after an assistant's words, the rest has the
    /// names that the template's configuration gives.
    pub fn of_model(mut inner: Tokenizer, template: &ChatTemplate) -> Result<Self, StudentError> {
        inner.with_padding(None).with_truncation(None).map_err(failed)?;
        let named = |purpose: &str| match template.token(purpose) {
            Some(name) => {
                let id = inner.token_to_id(name);
                let shown = one_line(name, 40);
                id.map(Some)
                    .ok_or_else(|| failed(format!("it has no token {shown}, which tokenizer_config.json calls {purpose}")))
            }
            None => Ok(None),
        };
        let added = inner.get_added_tokens_decoder();
        let after = template.after_answer()?;
        let matching = added.iter().filter(|(_, t)| !t.content.is_empty() && after.trim_start().starts_with(&t.content));
        let Some((end, _)) = matching.max_by_key(|(_, t)| t.content.len()) else {
            let shown = one_line(&after, 40);
            return Err(StudentError::Template(format!(
                "after an assistant's words it writes '{shown}', which does not begin with one of the tokenizer's special tokens: \
                 nothing would end an answer; take tokenizer and template from the same model"
            )));
        };
        let (bos, pad) = (named("bos_token")?, named("pad_token")?.or(named("eos_token")?).unwrap_or(*end));
        Ok(Self::new(inner, *end, pad, bos))
    }

    /// Our own students' tokenizer.
    pub fn load(path: &Path) -> Result<Self, StudentError> {
        Self::chatml(read(path)?).map_err(|e| StudentError::file(path, e.to_string()))
    }

    /// For a model with so many rows: every token of the tokenizer's own vocabulary and all that are needed must have one.
    pub fn for_rows(mut self, rows: usize) -> Result<Self, StudentError> {
        let has = self.inner.get_vocab_size(false);
        let needed = [Some(self.end), Some(self.pad), self.bos].into_iter().flatten().max().map_or(0, |id| id as usize + 1);
        if has.max(needed) > rows {
            let has = has.max(needed);
            return Err(StudentError::Config(format!(
                "the tokenizer has {has} tokens, the model {rows} (vocab_size); they do not belong together: take both from the \
                 same model"
            )));
        }
        self.rows = rows;
        Ok(self)
    }

    pub fn to_json(&self) -> Result<String, StudentError> {
        self.inner.to_string(false).map_err(failed)
    }

    pub(crate) fn inner(&self) -> &Tokenizer {
        &self.inner
    }

    pub fn digest(&self) -> Result<Digest, StudentError> {
        self.to_json().map(Digest::of)
    }

    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true).max(self.inner.get_model().get_vocab_size())
    }

    /// Ids of already rendered text; nothing is added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, StudentError> {
        let ids = self.inner.encode(text, false).map_err(failed)?.get_ids().to_vec();
        match ids.iter().find(|id| **id as usize >= self.rows) {
            Some(id) => Err(failed(format!(
                "the text holds '{}' (token {id}), for which the model with {} tokens has no numbers; take it out of the text",
                one_line(&self.piece(*id), 40),
                self.rows
            ))),
            None => Ok(ids),
        }
    }

    /// The text as this tokenizer's Unicode normalisation leaves it, where that composes characters (NFC) and does nothing else:
    /// whoever reads the result without normalising reads the same ids.
    pub fn composed(&self, text: String) -> String {
        let composes = |n: &NormalizerWrapper| matches!(n, NormalizerWrapper::NFC(_));
        let nfc = match self.inner.get_normalizer() {
            Some(NormalizerWrapper::Sequence(all)) => all.as_ref().iter().find(|n| composes(n)),
            one => one.filter(|n| composes(n)),
        };
        let mut normalized = NormalizedString::from(text.as_str());
        match nfc.map(|nfc| nfc.normalize(&mut normalized)) {
            Some(Ok(())) => normalized.get().to_owned(),
            _ => text,
        }
    }

    /// Text of ids. Think tags are text to every reader of answers, so they are kept; turn marks and the like are not.
    pub fn decode(&self, ids: &[u32]) -> Result<String, StudentError> {
        let kept: Vec<u32> = ids.iter().copied().filter(|id| self.marks.binary_search(id).is_err()).collect();
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

    /// The name of what ends a turn.
    pub fn end_name(&self) -> String {
        self.inner.id_to_token(self.end).unwrap_or_default()
    }

    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// What begins a text, where a model has such a token. Its template writes it; nothing is added here.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Tokens that no ordinary text becomes, and think tags, by their ids.
    pub fn special_tokens(&self) -> Vec<(String, u32)> {
        let added = self.inner.get_added_tokens_decoder();
        let think = |content: &str| [THINK_OPEN, THINK_CLOSE].contains(&content);
        let special = added.iter().filter(|(_, t)| t.special || think(&t.content));
        let mut all: Vec<_> = special.map(|(id, t)| (t.content.clone(), *id)).collect();
        all.sort_by_key(|(_, id)| *id);
        all
    }
}

/// A model's `tokenizer.json`.
pub(super) fn of_folder(folder: &Path) -> Result<Tokenizer, StudentError> {
    let path = folder.join(FILE);
    if path.is_file() {
        return read(&path);
    }
    let why = format!("it has no {FILE}; take it from where the model came from and put it there");
    Err(StudentError::file(folder, why))
}

/// `tokenizer.json`.
pub(super) fn read(path: &Path) -> Result<Tokenizer, StudentError> {
    let bytes = std::fs::read(path).map_err(StudentError::io(path))?;
    let why = |e: tokenizers::Error| {
        StudentError::file(path, format!("not a readable tokenizer: {}; fetch it again", one_line(&e.to_string(), 200)))
    };
    Tokenizer::from_bytes(bytes).map_err(why)
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
    fn who_composes_characters_hands_them_on_composed_and_nobody_else_does() {
        use tokenizers::normalizers::{Lowercase, NFC, Sequence};
        let (apart, together) = ("Cafe\u{301} A", "Caf\u{e9} A");
        let with = |normalizer: Option<NormalizerWrapper>| {
            let mut tokenizer = toy();
            tokenizer.inner.with_normalizer(normalizer).expect("sets");
            tokenizer.composed(apart.to_owned())
        };
        let sequence = Sequence::new(vec![Lowercase.into(), NFC.into()]);
        assert_eq!(with(Some(NFC.into())), together);
        assert_eq!(with(Some(sequence.into())), together, "lower case is left to whoever reads");
        assert_eq!(with(Some(Lowercase.into())), apart);
        assert_eq!(with(None), apart);
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
