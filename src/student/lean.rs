//! Weights of a student whose f32 copies would not fit in memory: kept as the base keeps them, widened and merged one matrix
//! at a time for every pass. Slower by that work, smaller by a factor of four to eight.

use std::sync::Arc;

use super::adapter::{Adapted, Gains};
use super::base::{BaseWeights, Projection};
use super::ops::Packed;
use super::pass::{Vectors, Weights};
use super::peft::Adapter;

#[derive(Debug)]
pub struct Lean {
    base: BaseWeights,
    adapter: Option<Adapter>,
    gains: Arc<Gains>,
}

impl Lean {
    /// The base's storage is shared, not copied.
    pub fn new(base: &BaseWeights, adapter: Option<&Adapter>) -> Self {
        let gains = Adapted::new(base, adapter.map(|a| (&a.rules, &a.numbers))).gains();
        Self { base: base.clone(), adapter: adapter.cloned(), gains }
    }

    fn adapted(&self) -> Adapted<'_> {
        Adapted::with_gains(&self.base, self.adapter.as_ref().map(|a| (&a.rules, &a.numbers)), Arc::clone(&self.gains))
    }
}

impl Weights for Lean {
    fn embed(&self, id: u32, row: &mut [f32]) {
        self.base.embed.widen(id as usize..id as usize + 1, row);
    }

    fn vectors(&self, layer: usize) -> Vectors<'_> {
        self.base.layers[layer].vectors.lent()
    }

    fn norm(&self) -> &[f32] {
        &self.base.norm
    }

    fn forward<'a>(&'a self, layer: usize, p: Projection, scratch: &'a mut Packed) -> &'a Packed {
        self.adapted().fill_forward(layer, p, scratch);
        scratch
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32> {
        self.adapted().logits(hidden, rows)
    }
}
