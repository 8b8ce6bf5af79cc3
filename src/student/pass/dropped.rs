//! Products with matrices whose adapters read dropped inputs, as PEFT has it: y = W·x + (W′ − W)·x̃, where W′ is the
//! adapted matrix and x̃ is x with a share of its numbers set to nought and the rest scaled up. Without dropout that is W′·x.
//!
//! Twice the work of a plain product: what the base reads and what its adapter reads are no longer the same.

use super::super::base::Projection;
use super::super::ops::clock::{Part, timed};
use super::super::ops::matmul::times;
use super::super::ops::{Dropout, Packed};
use super::{Gradients, Place, Trainable, Weights, copy, room};

/// Memory for one product.
pub(super) struct Desk<'a> {
    pub spare: &'a mut [Vec<f32>; 2],
    pub packed: &'a mut Packed,
}

/// What one matrix read and how much.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub rows: usize,
    pub x: &'a [f32],
    pub dy: &'a [f32],
    /// What it wrote, without a bias, where its gradient needs that.
    pub y: Option<&'a [f32]>,
}

impl Place<'_> {
    /// What the adapter of a matrix does not read.
    fn adapter(&self, p: Projection) -> Dropout {
        self.drops.adapter.at(self.layer * Projection::ALL.len() + p.index())
    }

    /// `out = x · wᵀ`
    pub(super) fn product(&self, weights: &dyn Weights, p: Projection, x: &[f32], rows: usize, out: &mut [f32], desk: &mut Desk) {
        let drop = self.adapter(p);
        if drop.share > 0.0 {
            let [kept, rest] = desk.spare;
            let (kept, rest) = (copy(kept, x), copy(rest, x));
            if let Some(frozen) = timed(Part::Merge, || weights.frozen(self.layer, p, desk.packed)) {
                drop.apply(kept);
                rest.iter_mut().zip(&*kept).for_each(|(x, kept)| *x -= kept);
                timed(Part::Products, || times(rest, rows, frozen, out, false));
                let right = timed(Part::Merge, || weights.forward(self.layer, p, desk.packed));
                return timed(Part::Products, || times(kept, rows, right, out, true));
            }
        }
        let right = timed(Part::Merge, || weights.forward(self.layer, p, desk.packed));
        timed(Part::Products, || times(x, rows, right, out, false));
    }

    /// The gradients of a matrix, and of what it read: `dx (+)= dy · w`.
    pub(super) fn pull(
        &self,
        weights: &dyn Trainable,
        gradients: &mut dyn Gradients,
        p: Projection,
        seen: Seen,
        dx: Option<(&mut [f32], bool)>,
        desk: &mut Desk,
    ) {
        let drop = self.adapter(p);
        if drop.share > 0.0 && gradients.learns(p) {
            return self.pull_dropped(weights, gradients, p, seen, dx, desk);
        }
        let Seen { rows, x, dy, y } = seen;
        if gradients.learns(p) {
            timed(Part::Adapter, || gradients.projection(self.layer, p, rows, x, dy, y));
        }
        if let Some((dx, add)) = dx {
            let right = timed(Part::Merge, || weights.backward(self.layer, p, desk.packed));
            timed(Part::Products, || times(dy, rows, right, dx, add));
        }
    }

    fn pull_dropped(
        &self,
        weights: &dyn Trainable,
        gradients: &mut dyn Gradients,
        p: Projection,
        Seen { rows, x, dy, .. }: Seen,
        dx: Option<(&mut [f32], bool)>,
        desk: &mut Desk,
    ) {
        let drop = self.adapter(p);
        let [first, second] = &mut *desk.spare;
        let kept = copy(first, x);
        drop.apply(kept);
        let written = gradients.needs_output(p).then(|| {
            let y = room(second, dy.len());
            let right = timed(Part::Merge, || weights.forward(self.layer, p, desk.packed));
            timed(Part::Products, || times(kept, rows, right, y, false));
            &*y
        });
        timed(Part::Adapter, || gradients.projection(self.layer, p, rows, kept, dy, written));
        let Some((dx, add)) = dx else { return };
        // Through the adapter, (dy·W′ − dy·W) masked; beside it, dy·W.
        let (both, base) = (room(first, x.len()), room(second, x.len()));
        let right = timed(Part::Merge, || weights.backward(self.layer, p, desk.packed));
        timed(Part::Products, || times(dy, rows, right, both, false));
        let Some(frozen) = timed(Part::Merge, || weights.frozen_backward(self.layer, p, desk.packed)) else { return };
        timed(Part::Products, || times(dy, rows, frozen, base, false));
        both.iter_mut().zip(&*base).for_each(|(both, base)| *both -= base);
        drop.apply(both);
        for ((dx, through), base) in dx.iter_mut().zip(&*both).zip(&*base) {
            *dx = if add { *dx } else { 0.0 } + through + base;
        }
    }
}
