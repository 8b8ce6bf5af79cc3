//! From what a server wrote to a row, by the rules that the embedded engine writes by: what ends an answer, what is a loop,
//! and the probability-weighted score.

use std::path::Path;

use super::error::ScorerError;
use crate::domain::recipe::Sampling;
use crate::domain::{Digest, Digester};
use crate::student::outline::Outline;
use crate::student::peft::{self, Adapter};
use crate::student::sampler::loops;
use crate::student::score_reader::{Digits, ScoreReader};
use crate::student::{Codec, Generated, Prompt, Stop, StudentConfig, StudentError};

/// The end of an answer that the score reader looks at, in tokens.
const TAIL: usize = 16;

/// The student without its numbers: how prompts become tokens, and answers text.
#[derive(Debug)]
pub struct TextSide {
    pub config: StudentConfig,
    pub codec: Codec,
    /// Of the whole student.
    pub student: Digest,
    digits: Digits,
    ends: Vec<u32>,
}

/// A prompt as it is sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub row: String,
    /// The rendered conversation, then what the assistant has written already.
    pub text: String,
    pub ids: Vec<u32>,
    /// Bytes of `text` and number of `ids` before what the assistant has written.
    asked: (usize, usize),
    pub seed: u32,
}

impl Sent {
    /// The conversation alone: what any server has to read as the student does.
    pub fn conversation(&self) -> (&str, &[u32]) {
        (&self.text[..self.asked.0], &self.ids[..self.asked.1])
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Written {
    pub ids: Vec<u32>,
    /// The same as text, where the server gave no ids.
    pub text: Option<String>,
    /// At each position the likeliest tokens with the logarithm of their probability.
    pub chances: Vec<Chance>,
    /// Why the server stopped.
    pub stop: Stop,
}

#[derive(Debug)]
pub(super) struct Chance {
    pub drawn: u32,
    pub likeliest: Vec<(u32, f32)>,
}

impl TextSide {
    /// Of a student's folder, an adapter's folder with the base that it names, or a GGUF file.
    pub fn load(path: &Path, student: Digest) -> Result<Self, ScorerError> {
        let wrong = |source| ScorerError::TextSide { folder: path.to_owned(), source };
        let (config, codec) = outline(path).map_err(wrong)?;
        let digits = Digits::new(&codec.tokenizer);
        let mut ends = config.eos_token_ids.clone();
        ends.push(codec.tokenizer.end());
        Ok(Self { config, codec, student, digits, ends })
    }

    /// Renders and encodes; every prompt must leave room for an answer.
    pub(super) fn prepare(&self, prompts: &[Prompt], seed: u64) -> Result<Vec<Sent>, ScorerError> {
        let limit = self.config.max_position_embeddings;
        let mut all = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let (text, begun) = self.codec.asked(&prompt.messages)?;
            // A server's own tokenizer may leave out what the student's does first.
            let mut text = self.codec.tokenizer.composed(text);
            let mut ids = self.codec.tokenizer.encode(&text)?;
            let asked = (text.len(), ids.len());
            if !begun.is_empty() {
                ids.extend(self.codec.tokenizer.encode(begun)?);
                text.push_str(begun);
            }
            all.push(Sent { row: prompt.id.clone(), text, ids, asked, seed: row_seed(seed, &prompt.id) });
        }
        let long: Vec<String> = all.iter().filter(|s| s.ids.len() >= limit).map(|s| s.row.clone()).collect();
        if long.is_empty() { Ok(all) } else { Err(StudentError::too_long(limit, &long).into()) }
    }

    /// Reads what was written up to where the embedded engine would have ended it.
    pub(super) fn read(&self, sent: &Sent, rules: &Sampling, written: Written) -> Result<Generated, ScorerError> {
        let tokenizer = &self.codec.tokenizer;
        let mut reader = ScoreReader::default();
        let (mut kept, mut stop) = (0, written.stop);
        for (at, id) in written.ids.iter().enumerate() {
            let chance = written.chances.get(at).filter(|c| c.drawn == *id);
            if let Some(chance) = chance {
                let tail = tokenizer.decode(&written.ids[at.saturating_sub(TAIL)..at])?;
                if reader.wants(&tail) {
                    reader.see(&self.digits, &chance.logits(self.config.vocab_size), &tail, *id);
                }
            }
            if self.ends.contains(id) {
                stop = Stop::End;
                break;
            }
            kept = at + 1;
            if loops(&written.ids[..kept]) {
                stop = Stop::Loop;
                break;
            }
        }
        let mut text = match written.text.filter(|_| stop != Stop::Loop) {
            Some(text) => text,
            None => tokenizer.decode(&written.ids[..kept])?,
        };
        if let Some(at) = rules.stop.iter().filter_map(|s| text.find(s.as_str())).min() {
            text.truncate(at);
            stop = Stop::End;
        }
        let prompt_tokens = sent.ids.len();
        Ok(Generated { id: sent.row.clone(), text, tokens: kept, prompt_tokens, stop, expected_score: reader.score() })
    }
}

impl Chance {
    /// As the score reader wants them; what is not among the likeliest has no share.
    fn logits(&self, vocab: usize) -> Vec<f32> {
        let mut logits = vec![f32::NEG_INFINITY; vocab];
        for (id, chance) in &self.likeliest {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit = *chance;
            }
        }
        logits
    }
}

fn outline(path: &Path) -> Result<(StudentConfig, Codec), StudentError> {
    let mut base = path.to_owned();
    if path.join(peft::CONFIG_FILE).exists() {
        let nameless = || StudentError::file(path, format!("it does not name its base; put {} beside it", peft::BASE_FILE));
        base = Adapter::base_of(path)?.ok_or_else(nameless)?.path;
    }
    let outline = Outline::of(&base)?;
    Ok((outline.config, outline.codec?))
}

/// The row's own seed, so that its answer does not depend on which rows are asked beside it. Below 2³¹: the largest number
/// means "any" to llama.cpp.
fn row_seed(seed: u64, row: &str) -> u32 {
    let digest = Digester::new().field(seed.to_le_bytes()).field(row).finish();
    u32::from_str_radix(digest.as_str().get(..8).unwrap_or_default(), 16).unwrap_or_default() >> 1
}
