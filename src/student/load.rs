//! From files to a [`Base`]: which tensors a decoder of a shape must have, and the text side beside them. Owns the order and
//! the names; the formats are `folder`'s and `gguf`'s.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use serde_json::Value;

use super::base::{Base, BaseLayer, BaseVectors, BaseWeights, Projection};
use super::config::{Family, StudentConfig};
use super::folder::Shards;
use super::gguf::Gguf;
pub use super::matrix::Keep;
use super::matrix::Matrix;
use super::weights::{EMBED, HEAD, NORM};
use super::{Codec, StudentError};
use crate::domain::{Digest, Digester};

const CONFIG_FILE: &str = "config.json";
const GENERATION_FILE: &str = "generation_config.json";

/// Tensors by their Hugging Face names, whatever the file calls them.
pub(super) trait TensorSource {
    /// `shape` is rows × numbers of a row.
    fn matrix(&mut self, name: &str, shape: [usize; 2], keep: Keep) -> Result<Matrix, StudentError>;
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, StudentError>;
}

/// The files that hold a base's tensors.
#[derive(Debug)]
pub(super) enum Files {
    Folder(Shards),
    Gguf(Gguf),
}

impl Files {
    /// With the shape that they say they have.
    pub fn open(path: &Path) -> Result<(StudentConfig, Self), StudentError> {
        if path.is_dir() {
            let config = folder_config(path)?;
            return Ok((config, Self::Folder(Shards::open(path)?)));
        }
        let gguf = Gguf::open(path)?;
        Ok((gguf.config()?, Self::Gguf(gguf)))
    }

    /// How a tensor is stored; `None` where there is none of this name, or of a kind that is not read.
    pub fn kind(&self, config: &StudentConfig, name: &str) -> Option<GgmlDType> {
        match self {
            Self::Folder(shards) => shards.kind(name),
            Self::Gguf(gguf) => gguf.kind_of_tensor(&gguf_name(config.family, name)?),
        }
    }

    /// What norm weights are stored less; converters to GGUF add what a family's are.
    pub fn norm_offset(&self, config: &StudentConfig) -> f32 {
        if matches!(self, Self::Folder(_)) { config.norm_offset() } else { 0.0 }
    }

    /// The digest that adapters are bound to.
    pub fn digest(&mut self, config: &StudentConfig) -> Result<Digest, StudentError> {
        let digests = match self {
            Self::Folder(shards) => shards.digests()?,
            Self::Gguf(gguf) => vec![gguf.digest()?],
        };
        Ok(digests.iter().fold(Digester::new(), Digester::field).field(config.to_json()).finish())
    }

    pub fn matrix(&mut self, c: &StudentConfig, name: &str, shape: [usize; 2], keep: Keep) -> Result<Matrix, StudentError> {
        match self {
            Self::Folder(shards) => shards.matrix(name, shape, keep),
            Self::Gguf(gguf) => gguf.tensors(c).matrix(name, shape, keep),
        }
    }

    pub fn vector(&mut self, c: &StudentConfig, name: &str, len: usize) -> Result<Vec<f32>, StudentError> {
        match self {
            Self::Folder(shards) => shards.vector(name, len),
            Self::Gguf(gguf) => gguf.tensors(c).vector(name, len),
        }
    }

    fn assemble(&mut self, config: &StudentConfig, keep: Keep) -> Result<BaseWeights, StudentError> {
        let offset = self.norm_offset(config);
        match self {
            Self::Folder(shards) => assemble(config, shards, keep, offset),
            Self::Gguf(gguf) => assemble(config, &mut gguf.tensors(config), keep, offset),
        }
    }
}

/// A base of which no number was read yet.
#[derive(Debug)]
pub(super) struct Opened {
    pub config: StudentConfig,
    pub codec: Codec,
    pub files: Files,
}

impl Opened {
    pub fn open(path: &Path) -> Result<Self, StudentError> {
        let (config, codec, files) = if path.is_dir() {
            let (config, codec) = (folder_config(path)?, Codec::load(path)?);
            (config, codec, Files::Folder(Shards::open(path)?))
        } else {
            let gguf = Gguf::open(path)?;
            (gguf.config()?, gguf.codec()?, Files::Gguf(gguf))
        };
        let codec = fitting(&config, codec)?;
        Ok(Self { config: ended(config, &codec), codec, files })
    }
}

impl Base {
    /// Reads a folder in the Hugging Face layout, or a GGUF file. Memory while loading is what is kept and one tensor more.
    pub fn load(path: &Path, keep: Keep) -> Result<Self, StudentError> {
        let Opened { config, codec, mut files } = Opened::open(path)?;
        let weights = files.assemble(&config, keep)?;
        let digest = files.digest(&config)?;
        Ok(Self { config, codec, weights, digest })
    }

    /// Shape and numbers alone, without a text side.
    pub fn bare(path: &Path, keep: Keep) -> Result<(StudentConfig, BaseWeights), StudentError> {
        let (config, mut files) = Files::open(path)?;
        let weights = files.assemble(&config, keep)?;
        Ok((config, weights))
    }
}

/// `config.json` with every token that `generation_config.json` ends a text with.
pub(super) fn folder_config(folder: &Path) -> Result<StudentConfig, StudentError> {
    let path = folder.join(CONFIG_FILE);
    if !path.is_file() {
        let why = format!("it has no {CONFIG_FILE}; give a model's folder in the Hugging Face layout, or a .gguf file");
        return Err(StudentError::file(folder, why));
    }
    let config = StudentConfig::load(&path)?;
    let mut ends = config.eos_token_ids.clone();
    ends.extend(generation_ends(folder)?.into_iter().filter(|id| !config.eos_token_ids.contains(id)));
    Ok(config.with_ends(&ends, None))
}

/// The codec, proved to belong to a model of this shape.
pub(super) fn fitting(config: &StudentConfig, mut codec: Codec) -> Result<Codec, StudentError> {
    codec.tokenizer = codec.tokenizer.for_rows(config.vocab_size)?;
    Ok(codec)
}

/// The shape naming everything that ends a text, the end of a turn first, and what pads one.
fn ended(config: StudentConfig, codec: &Codec) -> StudentConfig {
    let end = codec.tokenizer.end();
    let others = config.eos_token_ids.iter().copied().filter(|id| *id != end && (*id as usize) < config.vocab_size);
    let ends: Vec<u32> = std::iter::once(end).chain(others).collect();
    config.with_ends(&ends, Some(codec.tokenizer.pad()))
}

/// What `generation_config.json`, where there is one, ends a text with.
fn generation_ends(folder: &Path) -> Result<Vec<u32>, StudentError> {
    let path = folder.join(GENERATION_FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).map_err(StudentError::io(&path))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| StudentError::file(&path, e.to_string()))?;
    let id = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    Ok(match value.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => Vec::new(),
    })
}

/// Every number of a decoder of this shape. `offset` is what norm weights are stored less.
fn assemble(
    config: &StudentConfig,
    source: &mut impl TensorSource,
    keep: Keep,
    offset: f32,
) -> Result<BaseWeights, StudentError> {
    let table = [config.vocab_size, config.hidden_size];
    let embed = source.matrix(EMBED, table, keep)?;
    let head = if config.tie_word_embeddings { None } else { Some(source.matrix(HEAD, table, keep)?) };
    let norm = norm(source, NORM, config.hidden_size, offset)?;
    let layers = (0..config.num_hidden_layers).map(|n| layer(config, source, n, keep, offset)).collect::<Result<_, _>>()?;
    Ok(BaseWeights { embed, layers, norm, head })
}

fn norm(source: &mut impl TensorSource, name: &str, len: usize, offset: f32) -> Result<Vec<f32>, StudentError> {
    let mut weights = source.vector(name, len)?;
    if offset != 0.0 {
        for weight in &mut weights {
            *weight += offset;
        }
    }
    Ok(weights)
}

fn layer(
    config: &StudentConfig,
    source: &mut impl TensorSource,
    n: usize,
    keep: Keep,
    offset: f32,
) -> Result<BaseLayer, StudentError> {
    let name = |part: &str| format!("model.layers.{n}.{part}");
    let hidden = config.hidden_size;
    let mut optional = |wanted: bool, part: &str, len: usize| wanted.then(|| norm(source, &name(part), len, offset)).transpose();
    let sandwich = config.sandwich_norms();
    let (attention_out, before_gate) = ("post_attention_layernorm.weight", "pre_feedforward_layernorm.weight");
    let attention_norm = optional(true, "input_layernorm.weight", hidden)?.unwrap_or_default();
    let mlp_norm = optional(true, if sandwich { before_gate } else { attention_out }, hidden)?.unwrap_or_default();
    let attention_out_norm = optional(sandwich, attention_out, hidden)?;
    let mlp_out_norm = optional(sandwich, "post_feedforward_layernorm.weight", hidden)?;
    let q_norm = optional(config.qk_norm(), "self_attn.q_norm.weight", config.head_dim)?;
    let k_norm = optional(config.qk_norm(), "self_attn.k_norm.weight", config.head_dim)?;
    let shapes = projection_shapes(config);
    let biases = if config.qkv_bias() {
        let mut bias = |p: Projection| source.vector(&name(&format!("{}.bias", p.module())), shapes[p.index()][0]);
        Some([bias(Projection::Query)?, bias(Projection::Key)?, bias(Projection::Value)?])
    } else {
        None
    };
    let mut matrix = |p: Projection| source.matrix(&name(&format!("{}.weight", p.module())), shapes[p.index()], keep);
    let [q, k, v, o, gate, up, down] = Projection::ALL;
    let projections = [matrix(q)?, matrix(k)?, matrix(v)?, matrix(o)?, matrix(gate)?, matrix(up)?, matrix(down)?];
    let vectors = BaseVectors { attention_norm, mlp_norm, attention_out_norm, mlp_out_norm, q_norm, k_norm, biases };
    Ok(BaseLayer { vectors, projections })
}

/// Rows × numbers of a row of the seven matrices of a layer, by [`Projection::index`].
pub fn projection_shapes(config: &StudentConfig) -> [[usize; 2]; 7] {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    [[q, hidden], [kv, hidden], [kv, hidden], [hidden, q], [inner, hidden], [inner, hidden], [hidden, inner]]
}

/// Of a family's tensors, the name that GGUF files use; `None` where there is none.
pub(crate) fn gguf_name(family: Family, name: &str) -> Option<String> {
    let fixed = match name {
        EMBED => Some("token_embd.weight"),
        NORM => Some("output_norm.weight"),
        HEAD => Some("output.weight"),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Some(fixed.to_owned());
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, kind) = part.rsplit_once('.')?;
    let gemma = family == Family::Gemma3;
    let short = match module {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if gemma => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{short}.{kind}"))
}
