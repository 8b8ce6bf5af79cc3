//! Weights that stand still, packed once for many small products: what generation reads. Owns f32 copies of every matrix;
//! where those do not fit, [`super::adapter::Adapted`] widens them one at a time instead.

use rayon::prelude::*;

use super::adapter::Adapted;
use super::base::{BaseWeights, Projection};
use super::matrix::Matrix;
use super::ops::Packed;
use super::pass::{Vectors, Weights};

#[derive(Debug)]
pub struct Ready {
    embed: Matrix,
    layers: Vec<ReadyLayer>,
    norm: Vec<f32>,
    head: Packed,
}

#[derive(Debug)]
struct ReadyLayer {
    attention_norm: Vec<f32>,
    mlp_norm: Vec<f32>,
    attention_out_norm: Option<Vec<f32>>,
    mlp_out_norm: Option<Vec<f32>>,
    qk_norms: Option<[Vec<f32>; 2]>,
    biases: Option<[Vec<f32>; 3]>,
    projections: [Packed; 7],
}

impl Ready {
    /// What the copies of a base's matrices take.
    pub fn bytes(base: &BaseWeights) -> usize {
        let matrices = base.layers.iter().flat_map(|l| &l.projections).chain([base.head()]);
        matrices.map(|m| Packed::bytes(m.out(), m.inner())).sum()
    }

    /// Of a base with what was merged into it. `vocab` rows of the output layer.
    pub fn merged(base: &BaseWeights, adapted: &Adapted) -> Self {
        Self::pack(base.embed.clone(), base.layers.len(), base.head().out(), base.embed.inner(), adapted)
    }

    fn pack(embed: Matrix, layers: usize, vocab: usize, width: usize, weights: &dyn Weights) -> Self {
        let layer = |n: usize| {
            let v = weights.vectors(n);
            ReadyLayer {
                attention_norm: v.attention_norm.to_vec(),
                mlp_norm: v.mlp_norm.to_vec(),
                attention_out_norm: v.attention_out_norm.map(<[f32]>::to_vec),
                mlp_out_norm: v.mlp_out_norm.map(<[f32]>::to_vec),
                qk_norms: v.qk_norms.map(|norms| norms.map(<[f32]>::to_vec)),
                biases: v.biases.map(|b| b.map(<[f32]>::to_vec)),
                projections: Projection::ALL.map(|p| weights.forward(n, p, &mut Packed::default()).clone()),
            }
        };
        let mut head = Packed::default();
        head.fill_forward(vocab, width, &|from, rows| weights.head(from, rows));
        Self { embed, layers: (0..layers).into_par_iter().map(layer).collect(), norm: weights.norm().to_vec(), head }
    }
}

impl Weights for Ready {
    fn embed(&self, id: u32, row: &mut [f32]) {
        self.embed.widen(id as usize..id as usize + 1, row);
    }

    fn vectors(&self, layer: usize) -> Vectors<'_> {
        let l = &self.layers[layer];
        Vectors {
            attention_norm: &l.attention_norm,
            mlp_norm: &l.mlp_norm,
            attention_out_norm: l.attention_out_norm.as_deref(),
            mlp_out_norm: l.mlp_out_norm.as_deref(),
            qk_norms: l.qk_norms.as_ref().map(|n| n.each_ref().map(Vec::as_slice)),
            biases: l.biases.as_ref().map(|b| b.each_ref().map(Vec::as_slice)),
        }
    }

    fn norm(&self) -> &[f32] {
        &self.norm
    }

    fn forward<'a>(&'a self, layer: usize, p: Projection, _: &'a mut Packed) -> &'a Packed {
        &self.layers[layer].projections[p.index()]
    }

    fn backward<'a>(&'a self, _: usize, _: Projection, scratch: &'a mut Packed) -> &'a Packed {
        unreachable!("generation has no way back; {} columns were asked for", scratch.cols())
    }

    fn head(&self, _: usize, _: &mut [f32]) {
        unreachable!("the output layer is kept ready")
    }

    fn head_ready(&self) -> Option<&Packed> {
        Some(&self.head)
    }
}
