//! What a model on disk is, without reading its numbers: shape, size, precision and text side. Owns the summary; the command
//! line and the console show it.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use tokenizers::Tokenizer;

use super::blocks::Blocks;
use super::disk::Stored;
use super::folder::Shards;
use super::gguf::Gguf;
use super::{Codec, StudentConfig, StudentError, load, tokenizer};

#[derive(Debug)]
pub struct Outline {
    pub config: StudentConfig,
    /// Tokenizer and template, or what is wrong with them.
    pub codec: Result<Codec, StudentError>,
    /// Numbers of all tensors.
    pub parameters: u64,
    /// Bytes of all tensors in the file.
    pub bytes: u64,
    /// Parameters by the precision in which they are stored.
    pub precisions: BTreeMap<String, u64>,
}

impl Outline {
    /// Of a folder in the Hugging Face layout, or of a GGUF file.
    pub fn of(path: &Path) -> Result<Self, StudentError> {
        if path.is_dir() {
            let config = load::folder_config(path)?;
            let shards = Shards::open(path)?;
            let codec = Codec::load(path).and_then(|codec| load::fitting(&config, codec));
            Ok(Self::new(config, codec, shards.stored()))
        } else {
            let gguf = Gguf::open(path)?;
            let config = gguf.config()?;
            let codec = gguf.codec().and_then(|codec| load::fitting(&config, codec));
            Ok(Self::new(config, codec, gguf.stored()))
        }
    }

    fn new<'a>(config: StudentConfig, codec: Result<Codec, StudentError>, all: impl Iterator<Item = &'a Stored>) -> Self {
        let mut outline = Self { config, codec, parameters: 0, bytes: 0, precisions: BTreeMap::new() };
        for stored in all {
            let count = stored.shape.iter().fold(1_u64, |all, n| all.saturating_mul(*n as u64));
            outline.parameters = outline.parameters.saturating_add(count);
            outline.bytes = outline.bytes.saturating_add(stored.bytes.end - stored.bytes.start);
            let sum = outline.precisions.entry(precision(stored)).or_default();
            *sum = sum.saturating_add(count);
        }
        outline
    }

    /// The precision in which most of it is stored.
    pub fn precision(&self) -> &str {
        self.precisions.iter().max_by_key(|(_, count)| **count).map_or("none", |(name, _)| name)
    }
}

fn precision(stored: &Stored) -> String {
    let name = match stored.kind {
        Some(GgmlDType::F32) => "f32",
        Some(GgmlDType::F16) => "f16",
        Some(GgmlDType::BF16) => "bf16",
        Some(kind) => Blocks::of(kind).map_or("unknown", |b| b.name),
        None => return crate::domain::one_line(&stored.kind_name, 40).to_lowercase(),
    };
    name.to_owned()
}

/// A model's tokenizer alone; it needs no template.
#[derive(Debug)]
pub struct Words(Tokenizer);

impl Words {
    pub fn load(path: &Path) -> Result<Self, StudentError> {
        if path.is_dir() { tokenizer::of_folder(path).map(Self) } else { Gguf::open(path)?.words().map(Self) }
    }

    /// Ids of a text; nothing is added to it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, StudentError> {
        let encoding = self.0.encode(text, false).map_err(|e| StudentError::Tokenizer(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }
}
