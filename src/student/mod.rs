//! The student: a small decoder that reads a prompt and writes a judgement.
//!
//! Owns shape, tokenizer, chat template, weights, the forward pass and generation. Does not own training (`train`), prompts
//! (`domain::render`) or what an answer means (`domain::answer`).

pub mod adapter;
pub mod base;
mod blocks;
pub mod cache;
pub mod codec;
pub mod config;
mod disk;
pub mod effective;
mod error;
#[cfg(test)]
pub(crate) mod files_tests;
pub mod folder;
pub mod full;
pub mod generate;
pub mod gguf;
pub mod hub;
mod lean;
pub mod load;
pub mod matrix;
pub mod ops;
pub mod outline;
pub mod parameters;
pub mod pass;
pub mod peft;
pub mod portable;
pub mod random;
mod ready;
pub mod sampler;
pub mod score_reader;
pub mod template;
pub mod tokenizer;
pub mod weights;

pub use config::{Family, StudentConfig};
pub use error::StudentError;
pub use pass::PackedTexts;
pub use template::ChatTemplate;
pub use tokenizer::StudentTokenizer;

use std::path::Path;
use std::sync::Arc;

use crate::domain::{Digest, Digester};
use adapter::Adapted;
use base::{Base, BaseWeights};
use cache::RowCache;
pub use codec::{Codec, Encoded, MaskedPiece};
pub use generate::{Generated, Prompt, Stop, generate};
use lean::Lean;
use matrix::Keep;
use parameters::Parameters;
use pass::{Pass, Weights};
use peft::Adapter;
use ready::Ready;

/// A student that can answer: shape, text side and prepared weights.
#[derive(Clone)]
pub struct Student {
    pub config: StudentConfig,
    pub codec: Codec,
    pass: Arc<Pass>,
    weights: Arc<dyn Weights + Send + Sync>,
    merged: bool,
    digest: Digest,
}

const CONFIG_FILE: &str = "config.json";
const TOKENIZER_FILE: &str = "tokenizer.json";
const TEMPLATE_FILE: &str = "tokenizer_config.json";
const WEIGHTS_FILE: &str = "model.safetensors";

/// The files of a fully trained student's folder, in the order in which they are digested.
pub fn files(config: &StudentConfig, codec: &Codec, weights: &Parameters) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    Ok(vec![
        (CONFIG_FILE, config.to_json().into_bytes()),
        (TOKENIZER_FILE, codec.tokenizer.to_json()?.into_bytes()),
        (TEMPLATE_FILE, codec.template.to_json().into_bytes()),
        (WEIGHTS_FILE, weights.to_safetensors()?),
    ])
}

impl std::fmt::Debug for Student {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Student").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Share of the memory that is free now which f32 copies of all matrices may take; the rest is for what is read and written.
const COPIES_SHARE: f64 = 0.6;

/// Merged copies of all matrices where they fit, else the base as it is kept; and which of the two it is.
fn weights_of(base: &BaseWeights, adapter: Option<&Adapter>) -> (Arc<dyn Weights + Send + Sync>, bool) {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    if Ready::bytes(base) as f64 > COPIES_SHARE * system.available_memory() as f64 {
        return (Arc::new(Lean::new(base, adapter)), adapter.is_none());
    }
    (Arc::new(Ready::merged(base, &Adapted::new(base, adapter.map(|a| (&a.rules, &a.numbers))))), true)
}

impl Student {
    /// A base, with an adapter or alone.
    pub fn adapted(base: &Base, adapter: Option<&Adapter>) -> Result<Self, StudentError> {
        let codec = &base.codec;
        let text = [codec.tokenizer.to_json()?, codec.template.source().to_owned(), format!("{:?}", codec.template.thinking())];
        let mut digest = text.iter().fold(Digester::new().field(base.digest.as_str()), Digester::field);
        if let Some(adapter) = adapter {
            adapter.check_base(base)?;
            for (_, bytes) in adapter.files()?.iter().filter(|(name, _)| *name != peft::BASE_FILE) {
                digest = digest.field(bytes);
            }
        }
        let (weights, merged) = weights_of(&base.weights, adapter);
        Ok(Self {
            pass: Arc::new(Pass::new(&base.config)),
            weights,
            merged,
            config: base.config.clone(),
            codec: base.codec.clone(),
            digest: digest.finish(),
        })
    }

    /// Reads a folder in the Hugging Face layout, an adapter's folder (with the base that it names), or a GGUF file.
    pub fn load(path: &Path) -> Result<Self, StudentError> {
        if !path.join(peft::CONFIG_FILE).exists() {
            return Self::adapted(&Base::load(path, Keep::AsStored)?, None);
        }
        let record = Adapter::record(path)?;
        let mut base = Base::load(&record.path, Keep::of_name(&record.precision))?;
        base.codec.template = base.codec.template.with_thinking(record.thinking);
        let adapter = Adapter::load(path, &base.weights)?;
        Self::adapted(&base, Some(&adapter))
    }

    /// Identity of the weights and the text side, which travels with every answer.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// No adapter is merged anew for every pass: answers come at full speed (guard S11).
    pub fn is_merged(&self) -> bool {
        self.merged
    }

    /// Logits after the last of some tokens.
    pub fn logits(&self, ids: &[u32]) -> Vec<f32> {
        self.pass.logits(&*self.weights, &PackedTexts::new([(ids, 0)]), &[ids.len().saturating_sub(1) as u32])
    }

    /// After each token of a text from `from` − 1 on but the last: the likeliest next one, and its probability.
    pub fn next_tokens(&self, ids: &[u32], from: usize) -> Vec<(u32, f32)> {
        let places: Vec<u32> = (from.max(1)..ids.len()).map(|at| at as u32 - 1).collect();
        if places.is_empty() {
            return Vec::new();
        }
        let logits = self.pass.logits(&*self.weights, &PackedTexts::new([(ids, 0)]), &places);
        logits.chunks_exact(self.config.vocab_size).map(likeliest).collect()
    }

    /// Any of these tokens ends an answer.
    pub fn ends(&self) -> Vec<u32> {
        let mut ends = self.config.eos_token_ids.clone();
        ends.push(self.codec.tokenizer.end());
        ends
    }

    fn next(&self, batch: &PackedTexts, caches: &mut [RowCache]) -> Vec<f32> {
        self.pass.next(&*self.weights, batch, caches)
    }

    fn fill(&self, batch: &PackedTexts, caches: &mut [RowCache]) {
        self.pass.fill(&*self.weights, batch, caches);
    }
}

/// The largest of some logits by its place, and its share of all probability.
fn likeliest(logits: &[f32]) -> (u32, f32) {
    let (id, most) =
        logits.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (id, l)| if *l > best.1 { (id, *l) } else { best });
    let all: f64 = logits.iter().map(|l| f64::from(l - most).exp()).sum();
    (id as u32, (1.0 / all) as f32)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An untrained toy that can write.
    pub fn toy(seed: u64) -> Student {
        let folder = tempfile::tempdir().expect("folder");
        write_toy(seed, folder.path());
        Student::load(folder.path()).expect("student")
    }

    fn write_toy(seed: u64, folder: &Path) {
        let codec = codec::tests::toy();
        let config = config::tests::toy(codec.tokenizer.vocab_size()).with_ends(&[codec.tokenizer.end()], None);
        for (name, bytes) in files(&config, &codec, &weights::fresh(&config, seed)).expect("files") {
            std::fs::write(folder.join(name), bytes).expect("written");
        }
    }

    #[test]
    fn the_same_files_are_the_same_student_and_others_are_not() {
        assert_eq!(toy(3).digest(), toy(3).digest());
        assert_ne!(toy(3).digest(), toy(4).digest());
    }

    #[test]
    fn the_likeliest_next_tokens_of_a_text_are_those_of_its_beginnings() {
        let student = toy(5);
        let ids = student.codec.tokenizer.encode("the news of the day and of the match").unwrap();
        let all = student.next_tokens(&ids, 3);
        assert_eq!(all.len(), ids.len() - 3);
        for (next, at) in all.into_iter().zip(3..) {
            let (id, share) = likeliest(&student.logits(&ids[..at]));
            assert!(next.0 == id && (next.1 - share).abs() < 1e-4, "{at}");
        }
        assert!(student.next_tokens(&ids[..1], 1).is_empty());
    }

    #[test]
    fn a_folder_without_a_file_says_which() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Student::load(folder.path()).unwrap_err().to_string().contains("config.json"));
    }
}
