//! The student: a small decoder that reads a prompt and writes a judgement.
//!
//! Owns shape, tokenizer, chat template, weights, the forward pass and generation. Does not own training (`train`), prompts
//! (`domain::render`) or what an answer means (`domain::answer`).

pub mod backprop;
pub mod base;
pub mod cache;
pub mod codec;
pub mod config;
pub mod decoder;
mod error;
pub mod generate;
pub mod hub;
pub mod matrix;
pub mod ops;
pub mod parameters;
pub mod random;
pub mod sampler;
pub mod template;
pub mod tokenizer;
pub mod weights;

pub use config::StudentConfig;
pub use decoder::{Decoder, PackedTexts};
pub use error::StudentError;
pub use template::ChatTemplate;
pub use tokenizer::StudentTokenizer;

use std::path::Path;

use crate::domain::{Digest, Digester};
pub use codec::{Codec, Encoded, MaskedPiece};
pub use generate::{Generated, Prompt, Stop, generate};
use weights::Weights;

/// A student that can answer: shape, text side and prepared weights.
#[derive(Debug, Clone)]
pub struct Student {
    pub config: StudentConfig,
    pub codec: Codec,
    pub decoder: Decoder,
    digest: Digest,
}

const CONFIG_FILE: &str = "config.json";
const TOKENIZER_FILE: &str = "tokenizer.json";
const TEMPLATE_FILE: &str = "tokenizer_config.json";
const WEIGHTS_FILE: &str = "model.safetensors";

/// The files of a student's folder, in the order in which they are digested.
pub fn files(config: &StudentConfig, codec: &Codec, weights: &Weights) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
    Ok(vec![
        (CONFIG_FILE, config.to_json().into_bytes()),
        (TOKENIZER_FILE, codec.tokenizer.to_json()?.into_bytes()),
        (TEMPLATE_FILE, codec.template.to_json().into_bytes()),
        (WEIGHTS_FILE, weights::to_safetensors(weights)?),
    ])
}

impl Student {
    pub fn new(config: StudentConfig, codec: Codec, weights: &Weights) -> Result<Self, StudentError> {
        let digest = digest_of(files(&config, &codec, weights)?.iter().map(|(_, bytes)| bytes));
        let decoder = Decoder::new(&config, weights)?.prepared()?;
        Ok(Self { config, codec, decoder, digest })
    }

    /// Reads a folder in the Hugging Face layout.
    pub fn load(folder: &Path) -> Result<Self, StudentError> {
        let config = StudentConfig::load(&folder.join(CONFIG_FILE))?;
        let tokenizer = StudentTokenizer::load(&folder.join(TOKENIZER_FILE))?;
        if tokenizer.vocab_size() > config.vocab_size {
            let (has, rows) = (tokenizer.vocab_size(), config.vocab_size);
            return Err(StudentError::Config(format!(
                "the tokenizer has {has} tokens, the model {rows}; they do not belong together"
            )));
        }
        let template = ChatTemplate::load(&folder.join(TEMPLATE_FILE))?;
        let weights = weights::load(&folder.join(WEIGHTS_FILE), &config)?;
        Self::new(config, Codec { tokenizer, template }, &weights)
    }

    /// Digest of the folder's files: the identity that travels with every answer.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

fn digest_of<'a>(files: impl Iterator<Item = &'a Vec<u8>>) -> Digest {
    files.fold(Digester::new(), Digester::field).finish()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An untrained toy that can write.
    pub fn toy(seed: u64) -> Student {
        let codec = codec::tests::toy();
        let config = config::tests::toy(codec.tokenizer.vocab_size()).with_ends(&[codec.tokenizer.end()], None);
        let weights = weights::fresh(&config, seed).expect("weights");
        Student::new(config, codec, &weights).expect("student")
    }

    #[test]
    fn a_student_survives_its_folder() {
        let student = toy(3);
        let weights = weights::fresh(&student.config, 3).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files(&student.config, &student.codec, &weights).unwrap() {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        assert_eq!(Student::load(folder.path()).unwrap().digest(), student.digest());
    }

    #[test]
    fn a_folder_without_a_file_says_which() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Student::load(folder.path()).unwrap_err().to_string().contains("config.json"));
    }
}
