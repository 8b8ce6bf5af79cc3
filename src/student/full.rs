//! A student of which everything learns: its weights as one stretch of numbers, packed once for all micro-batches of an
//! optimizer step, and its gradients as another. The seedling's way; a real base learns through `adapter`.

use super::StudentConfig;
use super::base::Projection;
use super::ops::Packed;
use super::ops::loss::{self, Head};
use super::ops::matmul::add_transposed;
use super::parameters::Parameters;
use super::pass::{Gradients, Norm, Trainable, Vectors, Weights};
use super::weights::{EMBED, HEAD, NORM};

/// Weights prepared for products.
#[derive(Debug)]
pub struct Full<'a> {
    config: &'a StudentConfig,
    weights: &'a Parameters,
    forward: Vec<[Packed; 7]>,
    /// Empty where nothing is to be learnt.
    backward: Vec<[Packed; 7]>,
}

/// A layer's tensor by its module.
fn name(layer: usize, module: &str) -> String {
    format!("model.layers.{layer}.{module}.weight")
}

impl<'a> Full<'a> {
    /// Of the Qwen3 family, which has neither biases nor norms after its halves.
    pub fn new(config: &'a StudentConfig, weights: &'a Parameters, learn: bool) -> Self {
        let pack = |layer: usize, p: Projection, forward: bool| {
            let name = name(layer, p.module());
            let (shape, numbers) = (weights.shape(&name), weights.get(&name));
            if forward {
                Packed::transposed(numbers, shape[0], shape[1], shape[1])
            } else {
                Packed::rows(numbers, shape[0], shape[1], shape[1])
            }
        };
        let all = |forward: bool| (0..config.num_hidden_layers).map(|n| Projection::ALL.map(|p| pack(n, p, forward))).collect();
        Self { config, weights, forward: all(true), backward: if learn { all(false) } else { Vec::new() } }
    }
}

fn head(config: &StudentConfig) -> &'static str {
    if config.tie_word_embeddings { EMBED } else { HEAD }
}

impl Weights for Full<'_> {
    fn embed(&self, id: u32, row: &mut [f32]) {
        row.copy_from_slice(&self.weights.get(EMBED)[id as usize * row.len()..][..row.len()]);
    }

    fn vectors(&self, layer: usize) -> Vectors<'_> {
        let get = |module: &str| self.weights.get(&name(layer, module));
        Vectors {
            attention_norm: get("input_layernorm"),
            mlp_norm: get("post_attention_layernorm"),
            attention_out_norm: None,
            mlp_out_norm: None,
            qk_norms: Some([get("self_attn.q_norm"), get("self_attn.k_norm")]),
            biases: None,
        }
    }

    fn norm(&self) -> &[f32] {
        self.weights.get(NORM)
    }

    fn forward<'a>(&'a self, layer: usize, projection: Projection, _: &'a mut Packed) -> &'a Packed {
        &self.forward[layer][projection.index()]
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32> {
        let (vocab, width) = (self.config.vocab_size, self.config.hidden_size);
        loss::all_logits(hidden, rows, Head { vocab, width, source: &|from, rows| self.head(from, rows) })
    }
}

impl Trainable for Full<'_> {
    fn backward<'a>(&'a self, layer: usize, projection: Projection, _: &'a mut Packed) -> &'a Packed {
        &self.backward[layer][projection.index()]
    }

    fn head(&self, from: usize, rows: &mut [f32]) {
        let width = self.config.hidden_size;
        rows.copy_from_slice(&self.weights.get(head(self.config))[from * width..][..rows.len()]);
    }
}

/// Gradients of everything.
#[derive(Debug)]
pub struct FullGradients<'a> {
    pub config: &'a StudentConfig,
    /// Added to.
    pub into: &'a mut Parameters,
}

impl Gradients for FullGradients<'_> {
    fn learns(&self, _: Projection) -> bool {
        true
    }

    fn needs_output(&self, _: Projection) -> bool {
        false
    }

    fn projection(&mut self, layer: usize, p: Projection, rows: usize, x: &[f32], dy: &[f32], _: Option<&[f32]>) {
        add_transposed(dy, x, rows, self.into.get_mut(&name(layer, p.module())));
    }

    fn norm(&mut self, norm: Norm) -> Option<&mut [f32]> {
        let name = match norm {
            Norm::Attention(n) => name(n, "input_layernorm"),
            Norm::Mlp(n) => name(n, "post_attention_layernorm"),
            Norm::Query(n) => name(n, "self_attn.q_norm"),
            Norm::Key(n) => name(n, "self_attn.k_norm"),
            Norm::Last => NORM.to_owned(),
        };
        Some(self.into.get_mut(&name))
    }

    fn head(&mut self) -> Option<&mut [f32]> {
        Some(self.into.get_mut(head(self.config)))
    }

    fn embed(&mut self, ids: &[u32], dx: &[f32]) {
        let (width, embed) = (self.config.hidden_size, self.into.get_mut(EMBED));
        for (row, id) in dx.chunks_exact(width).zip(ids) {
            embed[*id as usize * width..][..width].iter_mut().zip(row).for_each(|(a, b)| *a += b);
        }
    }

    fn embed_learns(&self) -> bool {
        true
    }
}
