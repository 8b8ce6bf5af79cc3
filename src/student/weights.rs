//! The seedling's numbers by their Hugging Face names: which there must be, and how fresh ones are drawn.

use std::collections::BTreeMap;

use super::StudentConfig;
use super::parameters::Parameters;
use super::random::Stream;

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
pub fn fresh(config: &StudentConfig, seed: u64) -> Parameters {
    let residual = 1.0 / (2.0 * config.num_hidden_layers as f32).sqrt();
    let shapes = shapes(config);
    let mut weights = Parameters::zeros(shapes.clone());
    for (name, shape) in shapes {
        let numbers = weights.get_mut(&name);
        let [_, inner] = shape[..] else {
            numbers.fill(1.0);
            continue;
        };
        let mut sigma = 1.0 / (inner as f32).sqrt();
        if name == EMBED {
            sigma *= 0.5;
        } else if name.contains("o_proj") || name.contains("down_proj") {
            sigma *= residual;
        }
        let drawn = Stream::new(seed, &["weights", &name]).normal(numbers.len());
        numbers.iter_mut().zip(drawn).for_each(|(n, v)| *n = v * sigma);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::toy;
    use super::*;

    #[test]
    fn weights_survive_their_file_and_the_same_seed_draws_the_same() {
        let config = toy(50);
        let bytes = fresh(&config, 3).to_safetensors().unwrap();
        assert_eq!(bytes, fresh(&config, 3).to_safetensors().unwrap());
        assert_eq!(Parameters::from_safetensors(shapes(&config), &bytes).unwrap(), fresh(&config, 3));
    }

    #[test]
    fn a_file_of_another_shape_is_refused_by_name() {
        let bytes = fresh(&toy(50), 3).to_safetensors().unwrap();
        let error = Parameters::from_safetensors(shapes(&toy(51)), &bytes).unwrap_err().to_string();
        assert!(error.contains(EMBED), "{error}");
        assert!(Parameters::from_safetensors(shapes(&toy(50)), b"{").is_err());
    }
}
