//! The student's numbers by their Hugging Face names: which there must be, how fresh ones are drawn, and the
//! safetensors file. Knows no arithmetic.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;

use super::random::Stream;
use super::{StudentConfig, StudentError};

/// Tensors in the order of their names.
pub type Weights = BTreeMap<String, Tensor>;

pub const EMBED: &str = "model.embed_tokens.weight";
pub const NORM: &str = "model.norm.weight";
pub const HEAD: &str = "lm_head.weight";

/// Every tensor a decoder of this shape has.
pub fn shapes(config: &StudentConfig) -> BTreeMap<String, Vec<usize>> {
    let c = config;
    let (hidden, inner) = (c.hidden_size, c.intermediate_size);
    let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
    let mut shapes = BTreeMap::from([(EMBED.to_owned(), vec![c.vocab_size, hidden]), (NORM.to_owned(), vec![hidden])]);
    if !c.tie_word_embeddings {
        shapes.insert(HEAD.to_owned(), vec![c.vocab_size, hidden]);
    }
    for layer in 0..c.num_hidden_layers {
        for (name, shape) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_norm", vec![c.head_dim]),
            ("self_attn.k_norm", vec![c.head_dim]),
            ("self_attn.q_proj", vec![q, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, q]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ] {
            shapes.insert(format!("model.layers.{layer}.{name}.weight"), shape);
        }
    }
    shapes
}

/// Untrained weights: norms 1, the rest normal. Matrices keep the size of what passes through them (σ = 1/√inputs); the
/// two that write into the residual stream of each layer are smaller by √(2 · layers).
pub fn fresh(config: &StudentConfig, seed: u64) -> Result<Weights, StudentError> {
    let residual = 1.0 / (2.0 * config.num_hidden_layers as f32).sqrt();
    let draw = |(name, shape): (String, Vec<usize>)| {
        let tensor = if shape.len() == 1 {
            Tensor::ones(shape, DType::F32, &Device::Cpu)?
        } else {
            let mut sigma = 1.0 / (shape[1] as f32).sqrt();
            if name == EMBED {
                sigma *= 0.5;
            } else if name.contains("o_proj") || name.contains("down_proj") {
                sigma *= residual;
            }
            let numbers = Stream::new(seed, &["weights", &name]).normal(shape.iter().product());
            Tensor::from_vec(numbers.into_iter().map(|v| v * sigma).collect::<Vec<_>>(), shape, &Device::Cpu)?
        };
        Ok((name, tensor))
    };
    shapes(config).into_iter().map(draw).collect()
}

/// Reads a safetensors file and proves that it holds exactly this shape's finite numbers.
pub fn load(path: &Path, config: &StudentConfig) -> Result<Weights, StudentError> {
    let bytes = std::fs::read(path).map_err(StudentError::io(path))?;
    let found = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|e| StudentError::file(path, format!("not a readable safetensors file: {e}")))?;
    let mut weights = Weights::new();
    for (name, shape) in shapes(config) {
        let wrong = |why: String| StudentError::Weight { name: name.clone(), why };
        let tensor = found.get(&name).ok_or_else(|| wrong("missing".into()))?;
        if tensor.dims() != shape {
            return Err(wrong(format!("{:?} instead of {shape:?}", tensor.dims())));
        }
        weights.insert(name, tensor.to_dtype(DType::F32)?);
    }
    Ok(weights)
}

/// The bytes of a safetensors file; the same weights give the same bytes.
pub fn to_safetensors(weights: &Weights) -> Result<Vec<u8>, StudentError> {
    let mut raw = Vec::with_capacity(weights.len());
    for (name, tensor) in weights {
        let numbers: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        raw.push((name, tensor.dims().to_vec(), bytes));
    }
    let failed = |e: safetensors::SafeTensorError| StudentError::Tensor(candle_core::Error::Msg(e.to_string()));
    let views: Result<Vec<_>, _> = raw
        .iter()
        .map(|(name, shape, bytes)| TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).map(|v| (*name, v)))
        .collect();
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views.map_err(failed)?, Some(metadata)).map_err(failed)
}

pub fn count(weights: &Weights) -> usize {
    weights.values().map(Tensor::elem_count).sum()
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::toy;
    use super::*;

    #[test]
    fn weights_survive_their_file_and_the_same_seed_draws_the_same() {
        let config = toy(50);
        let weights = fresh(&config, 3).unwrap();
        let bytes = to_safetensors(&weights).unwrap();
        assert_eq!(bytes, to_safetensors(&fresh(&config, 3).unwrap()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(to_safetensors(&load(&path, &config).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn a_file_of_another_shape_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, to_safetensors(&fresh(&toy(50), 3).unwrap()).unwrap()).unwrap();
        let error = load(&path, &toy(51)).unwrap_err().to_string();
        assert!(error.contains(EMBED), "{error}");
        std::fs::write(&path, b"{").unwrap();
        assert!(load(&path, &toy(50)).unwrap_err().to_string().contains("model.safetensors"));
    }
}
