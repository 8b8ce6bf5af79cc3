//! A trained student as it leaves: its text side, and its weights with the adapter merged in, one tensor at a time by
//! Hugging Face name. Memory holds the adapter and one tensor, never the model. Owns which tensors there are and their
//! order; files and formats that they go to are the release's.

use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::adapter::Merged;
use super::base::Projection;
use super::load::{Files, Opened, projection_shapes};
use super::matrix::Keep;
use super::peft::{self, Adapter};
use super::weights::{EMBED, HEAD, NORM};
use super::{ChatTemplate, Codec, StudentConfig, StudentError, gguf, template, tokenizer};
use crate::domain::Digest;

/// What a tensor is in the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Embed,
    Head,
    Norm,
    Bias,
    /// Of a layer.
    Projection(usize, Projection),
}

/// One tensor: its Hugging Face name and its shape, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    pub shape: Vec<usize>,
    pub part: Part,
}

impl Place {
    pub fn count(&self) -> u64 {
        self.shape.iter().map(|n| *n as u64).product()
    }

    /// Rows × numbers of a row, of a matrix.
    fn matrix(&self) -> [usize; 2] {
        if let [out, inner] = self.shape[..] { [out, inner] } else { [1, self.shape.iter().product()] }
    }
}

/// Tokenizer and template; a base that was not taught to answer has no template.
#[derive(Debug, Clone)]
pub enum Text {
    Chat(Box<Codec>),
    Words {
        tokenizer: Box<Tokenizer>,
        /// `tokenizer_config.json`
        config: Value,
    },
}

impl Text {
    pub fn tokenizer(&self) -> &Tokenizer {
        match self {
            Self::Chat(codec) => codec.tokenizer.inner(),
            Self::Words { tokenizer, .. } => tokenizer,
        }
    }

    /// The chat template as it was trained with, for readers that cannot be told whether to think.
    pub fn template(&self) -> Option<String> {
        if let Self::Chat(codec) = self { Some(codec.template.settled()) } else { None }
    }

    /// `tokenizer_config.json`
    pub fn config(&self) -> String {
        match self {
            Self::Chat(codec) => codec.template.to_json(),
            Self::Words { config, .. } => format!("{config:#}"),
        }
    }

    /// The token with a purpose (`bos_token` …), where it has one.
    pub fn token(&self, purpose: &str) -> Option<u32> {
        let name = match self {
            Self::Chat(codec) => codec.template.token(purpose).map(str::to_owned),
            Self::Words { config, .. } => {
                let value = config.get(purpose);
                value.and_then(|v| v.as_str().or(v.get("content").and_then(Value::as_str))).map(str::to_owned)
            }
        };
        self.tokenizer().token_to_id(&name?)
    }

    /// What ends an answer.
    pub fn end(&self) -> Option<u32> {
        if let Self::Chat(codec) = self { Some(codec.tokenizer.end()) } else { None }
    }
}

/// A student on disk: a base with its adapter, or alone.
pub struct Effective {
    pub config: StudentConfig,
    pub text: Text,
    /// The adapter's folder and what is in it.
    adapter: Option<(PathBuf, Adapter)>,
    /// Where the base lies: a folder or a file.
    base: PathBuf,
    files: Files,
    keep: Keep,
}

impl std::fmt::Debug for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effective").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Effective {
    /// Opens a trained student's folder, an adapter's folder with the base that it names, or a GGUF file. Reads the adapter,
    /// of the base nothing but its headers.
    pub fn open(path: &Path) -> Result<Self, StudentError> {
        if !path.join(peft::CONFIG_FILE).exists() {
            return Self::alone(path);
        }
        let record = Adapter::record(path)?;
        let Opened { config, mut codec, files } = Opened::open(&record.path)?;
        codec.template = codec.template.with_thinking(record.thinking);
        let adapter = Adapter::load_for(path, &config)?;
        Ok(Self {
            config,
            text: Text::Chat(Box::new(codec)),
            adapter: Some((path.to_owned(), adapter)),
            base: record.path,
            files,
            keep: Keep::of_name(&record.precision),
        })
    }

    fn alone(path: &Path) -> Result<Self, StudentError> {
        let base = path.to_owned();
        let folder = if path.is_dir() { path } else { gguf::folder_of(path) };
        let (config, files) = Files::open(path)?;
        let fallback = if let Files::Gguf(gguf) = &files { gguf.text_config() } else { json!({}) };
        if ChatTemplate::given(folder, &fallback) {
            let Opened { config, codec, files } = Opened::open(path)?;
            return Ok(Self { config, text: Text::Chat(Box::new(codec)), adapter: None, base, files, keep: Keep::AsStored });
        }
        let tokenizer = match &files {
            Files::Gguf(gguf) => gguf.words()?,
            Files::Folder(_) => tokenizer::of_folder(folder)?,
        };
        let text = Text::Words { tokenizer: Box::new(tokenizer), config: template::config_beside(folder, fallback)? };
        Ok(Self { config, text, adapter: None, base, files, keep: Keep::AsStored })
    }

    pub fn adapter(&self) -> Option<(&Path, &Adapter)> {
        self.adapter.as_ref().map(|(path, adapter)| (path.as_path(), adapter))
    }

    /// The base's folder, or its file.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The digest of the base's files, which are read for it; another base than the adapter's is refused (guard T17).
    pub fn checked_base(&mut self) -> Result<Digest, StudentError> {
        let digest = self.files.digest(&self.config)?;
        if let Some((_, adapter)) = &self.adapter {
            adapter.check_digest(&digest)?;
        }
        Ok(digest)
    }

    /// How most of its numbers are stored.
    pub fn kind(&self) -> GgmlDType {
        self.files.kind(&self.config, EMBED).unwrap_or(GgmlDType::F32)
    }

    /// Bytes of the largest thing that is in memory at once beside the text side.
    pub fn memory(&self) -> u64 {
        let width = |place: &Place| match (self.keep, self.files.kind(&self.config, &place.name)) {
            (Keep::F32, _) | (_, None) => 4.0,
            (Keep::Bf16, _) => 2.0,
            (Keep::AsStored, Some(kind)) => kind.type_size() as f64 / kind.block_size() as f64,
        };
        let largest = self.places().iter().map(|p| (p.count() as f64 * width(p)) as u64).max().unwrap_or(0);
        let adapter = self.adapter.as_ref().map_or(0, |(_, adapter)| 4 * adapter.numbers.count() as u64);
        largest + adapter
    }

    /// Every tensor, in the order of the decoder.
    pub fn places(&self) -> Vec<Place> {
        places(&self.config)
    }

    /// A norm or a bias. `offset` is what the reader wants norm weights stored less.
    pub fn vector(&mut self, place: &Place, offset: f32) -> Result<Vec<f32>, StudentError> {
        let mut numbers = self.files.vector(&self.config, &place.name, place.matrix()[1])?;
        let change = self.files.norm_offset(&self.config) - offset;
        if place.part == Part::Norm && change != 0.0 {
            for number in &mut numbers {
                *number += change;
            }
        }
        Ok(numbers)
    }

    /// A matrix as it was trained.
    pub fn matrix(&mut self, place: &Place) -> Result<Merged<'_>, StudentError> {
        let matrix = self.files.matrix(&self.config, &place.name, place.matrix(), self.keep)?;
        Ok(match (&self.adapter, place.part) {
            (Some((_, adapter)), Part::Projection(n, p)) => Merged::new(matrix, (&adapter.rules, &adapter.numbers), n, p),
            _ => Merged::plain(matrix),
        })
    }
}

/// Every tensor that a decoder of a shape has.
pub fn places(config: &StudentConfig) -> Vec<Place> {
    let hidden = config.hidden_size;
    let place = |name: String, shape: Vec<usize>, part: Part| Place { name, shape, part };
    let mut all = vec![place(EMBED.into(), vec![config.vocab_size, hidden], Part::Embed)];
    let shapes = projection_shapes(config);
    for n in 0..config.num_hidden_layers {
        let name = |module: &str, kind: &str| format!("model.layers.{n}.{module}.{kind}");
        let mut norms = vec![("input_layernorm", hidden), ("post_attention_layernorm", hidden)];
        if config.sandwich_norms() {
            norms.extend([("pre_feedforward_layernorm", hidden), ("post_feedforward_layernorm", hidden)]);
        }
        if config.qk_norm() {
            norms.extend([("self_attn.q_norm", config.head_dim), ("self_attn.k_norm", config.head_dim)]);
        }
        for (p, shape) in Projection::ALL.into_iter().zip(shapes) {
            all.push(place(name(p.module(), "weight"), shape.to_vec(), Part::Projection(n, p)));
            if config.qkv_bias() && p <= Projection::Value {
                all.push(place(name(p.module(), "bias"), vec![shape[0]], Part::Bias));
            }
        }
        all.extend(norms.into_iter().map(|(module, len)| place(name(module, "weight"), vec![len], Part::Norm)));
    }
    all.push(place(NORM.into(), vec![hidden], Part::Norm));
    if !config.tie_word_embeddings {
        all.push(place(HEAD.into(), vec![config.vocab_size, hidden], Part::Head));
    }
    all
}
