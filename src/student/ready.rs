//! Weights that stand still, packed once for many small products: what generation reads. Owns f32 copies of every matrix;
//! where those do not fit, [`super::lean`] widens them one at a time instead.

use rayon::prelude::*;

use super::adapter::Adapted;
use super::base::{BaseVectors, BaseWeights, Projection};
use super::matrix::Matrix;
use super::ops::Packed;
use super::ops::matmul::multiply;
use super::pass::{Trainable as _, Vectors, Weights};

#[derive(Debug)]
pub struct Ready {
    embed: Matrix,
    vectors: Vec<BaseVectors>,
    projections: Vec<[Packed; 7]>,
    norm: Vec<f32>,
    head: Packed,
}

impl Ready {
    /// What the copies of a base's matrices take.
    pub fn bytes(base: &BaseWeights) -> usize {
        let matrices = base.layers.iter().flat_map(|l| &l.projections).chain([base.head()]);
        matrices.map(|m| Packed::bytes(m.out(), m.inner())).sum()
    }

    /// Of a base with what was merged into it.
    pub fn merged(base: &BaseWeights, adapted: &Adapted) -> Self {
        let layer = |n: usize| {
            Projection::ALL.map(|p| {
                let mut packed = Packed::default();
                adapted.fill_forward(n, p, &mut packed);
                packed
            })
        };
        let mut head = Packed::default();
        head.fill_forward(base.head().out(), base.head().inner(), &|from, rows| adapted.head(from, rows));
        Self {
            embed: base.embed.clone(),
            vectors: base.layers.iter().map(|l| l.vectors.clone()).collect(),
            projections: (0..base.layers.len()).into_par_iter().map(layer).collect(),
            norm: base.norm.clone(),
            head,
        }
    }
}

impl Weights for Ready {
    fn embed(&self, id: u32, row: &mut [f32]) {
        self.embed.widen(id as usize..id as usize + 1, row);
    }

    fn vectors(&self, layer: usize) -> Vectors<'_> {
        self.vectors[layer].lent()
    }

    fn norm(&self) -> &[f32] {
        &self.norm
    }

    fn forward<'a>(&'a self, layer: usize, p: Projection, _: &'a mut Packed) -> &'a Packed {
        &self.projections[layer][p.index()]
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32> {
        multiply(hidden, rows, &self.head)
    }
}
