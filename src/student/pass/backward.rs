//! The way back: gradients of hidden states layer by layer, of weights wherever they learn.

use rayon::prelude::*;

use super::super::base::Projection;
use super::super::ops::clock::{Part, timed};
use super::super::ops::matmul::times;
use super::super::ops::{Dropout, Packed, attention, gate, rms_norm};
use super::forward::Temporary;
use super::{Attend, Gradients, Kept, Norm, PackedTexts, Pass, Space, Trainable, copy, room};

impl Pass {
    /// From the gradient of hidden states in `space.dh`.
    pub(super) fn backward(
        &self,
        weights: &dyn Trainable,
        batch: &PackedTexts,
        dropout: Dropout,
        recompute: bool,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        let size = batch.tokens() * self.config.hidden_size;
        let dx = room(&mut space.dx, size);
        timed(Part::Rest, || {
            rms_norm::backward(
                &space.x[..size],
                weights.norm(),
                self.eps(),
                &space.dh[..size],
                dx,
                gradients.norm(Norm::Last),
                false,
            );
        });
        let mut shared = Kept::default();
        if recompute {
            // The first layer's buffers are everybody's; its input stays its own.
            shared = std::mem::take(&mut space.layers[0]);
            space.layers[0].x = std::mem::take(&mut shared.x);
        }
        for n in (0..self.config.num_hidden_layers).rev() {
            let mut kept = std::mem::take(&mut space.layers[n]);
            if recompute {
                // Its own input, everything else in buffers that all layers share.
                std::mem::swap(&mut shared.x, &mut kept.x);
                let Space { x, h, middle, wide: [inner, ..], packed, .. } = space;
                let x = copy(x, &shared.x[..size]);
                let mut temporary = Temporary { h, middle, inner, packed };
                self.layer(weights, n, batch, dropout, &mut Attend::Whole, &mut shared, &mut temporary, x);
                self.layer_backward(weights, n, batch, dropout, &shared, space, gradients);
                std::mem::swap(&mut shared.x, &mut kept.x);
            } else {
                self.layer_backward(weights, n, batch, dropout, &kept, space, gradients);
            }
            space.layers[n] = kept;
        }
        if gradients.embed_learns() {
            gradients.embed(batch.ids(), &space.dx[..size]);
        }
        if recompute {
            shared.x = std::mem::take(&mut space.layers[0].x);
            space.layers[0] = shared;
        }
    }

    /// `space.dx`, the gradient of what a layer wrote, becomes the gradient of what it read.
    #[expect(clippy::too_many_arguments, reason = "a layer is a function of all of these")]
    fn layer_backward(
        &self,
        weights: &dyn Trainable,
        n: usize,
        batch: &PackedTexts,
        dropout: Dropout,
        kept: &Kept,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        self.gate_backward(weights, n, batch.tokens(), dropout, kept, space, gradients);
        self.attention_backward(weights, n, batch, dropout, kept, space, gradients);
    }

    #[expect(clippy::too_many_arguments, reason = "half a layer is a function of all of these")]
    fn gate_backward(
        &self,
        weights: &dyn Trainable,
        n: usize,
        t: usize,
        dropout: Dropout,
        kept: &Kept,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        let (eps, vectors) = (self.eps(), weights.vectors(n));
        let (size, wide) = (t * self.config.hidden_size, t * self.config.intermediate_size);
        let Space { dx, h, dh, middle, wide: [inner, d_gate, d_up], y: d_written, packed, .. } = space;
        let dx = &mut dx[..size];
        let written = &kept.mlp[..size];
        let d_written = before_norm(written, vectors.mlp_out_norm, eps, dx, d_written);
        let (gate_in, up) = (&kept.gate[..wide], &kept.up[..wide]);
        if gradients.learns(Projection::Down) {
            let inner = room(inner, wide);
            timed(Part::Gate, || gate::forward(self.config.activation, gate_in, up, inner));
            dropout.at(2 * n + 1).apply(inner);
            timed(Part::Adapter, || gradients.projection(n, Projection::Down, t, inner, d_written, Some(written)));
        }
        let (d_gate, d_up) = (room(d_gate, wide), room(d_up, wide));
        back(weights, n, Projection::Down, t, packed, d_written, d_gate, false);
        dropout.at(2 * n + 1).apply(d_gate);
        timed(Part::Gate, || gate::backward(self.config.activation, gate_in, up, d_gate, d_up));
        let middle = self.middle(kept, &vectors, size, middle);
        let h = room(h, size);
        timed(Part::Rest, || rms_norm::forward(middle, vectors.mlp_norm, eps, h));
        let dh = room(dh, size);
        for (p, d, y, more) in [(Projection::Gate, &*d_gate, gate_in, false), (Projection::Up, &*d_up, up, true)] {
            if gradients.learns(p) {
                timed(Part::Adapter, || gradients.projection(n, p, t, h, d, Some(y)));
            }
            back(weights, n, p, t, packed, d, dh, more);
        }
        timed(Part::Rest, || rms_norm::backward(middle, vectors.mlp_norm, eps, dh, dx, gradients.norm(Norm::Mlp(n)), true));
    }

    #[expect(clippy::too_many_arguments, reason = "half a layer is a function of all of these")]
    fn attention_backward(
        &self,
        weights: &dyn Trainable,
        n: usize,
        batch: &PackedTexts,
        dropout: Dropout,
        kept: &Kept,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        let (t, eps, vectors, heads) = (batch.tokens(), self.eps(), weights.vectors(n), self.config.heads());
        let (size, qs, ks) = (t * self.config.hidden_size, t * heads.query * heads.width, t * heads.key * heads.width);
        let Space { dx, h, dh, d_mixed, dq, dk, dv, dq_raw, dk_raw, y, packed, .. } = space;
        let dx = &mut dx[..size];
        let (written, mixed) = (&kept.attention[..size], &kept.mixed[..qs]);
        let d_written = before_norm(written, vectors.attention_out_norm, eps, dx, y);
        if gradients.learns(Projection::Output) {
            timed(Part::Adapter, || gradients.projection(n, Projection::Output, t, mixed, d_written, Some(written)));
        }
        let d_mixed = room(d_mixed, qs);
        back(weights, n, Projection::Output, t, packed, d_written, d_mixed, false);
        dropout.at(2 * n).apply(d_mixed);
        let (dq, dk, dv) = (room(dq, qs), room(dk, ks), room(dv, ks));
        let (q, k, v) = (&kept.q[..qs], &kept.k[..ks], &kept.v[..ks]);
        timed(Part::Attention, || {
            attention::backward([q, k, v], d_mixed, self.rules(n), batch.texts(), [&mut *dq, &mut *dk, &mut *dv]);
        });
        // What is frozen below the first layer needs no gradient.
        let on = n > 0 || gradients.embed_learns();
        let x = &kept.x[..size];
        let h = room(h, size);
        timed(Part::Rest, || rms_norm::forward(x, vectors.attention_norm, eps, h));
        let dh = room(dh, size);
        let bias = |i: usize| vectors.biases.map(|b| b[i]);
        let value = output(v, None, bias(2), gradients.needs_output(Projection::Value), y);
        gradients.projection_if_learning(n, Projection::Value, t, h, dv, value);
        if on {
            back(weights, n, Projection::Value, t, packed, dv, dh, false);
        }
        for (i, p, d, d_raw, turned, raw) in
            [(0, Projection::Query, dq, dq_raw, q, &kept.q_raw), (1, Projection::Key, dk, dk_raw, k, &kept.k_raw)]
        {
            timed(Part::Rest, || self.rope(n).rotate(d, batch.positions(), -1.0));
            let place = if i == 0 { Norm::Query(n) } else { Norm::Key(n) };
            let (d, product) = if let Some(norms) = vectors.qk_norms {
                let (raw, d_raw) = (&raw[..d.len()], room(d_raw, d.len()));
                timed(Part::Rest, || rms_norm::backward(raw, norms[i], eps, d, d_raw, gradients.norm(place), false));
                (&*d_raw, gradients.needs_output(p).then_some(raw))
            } else {
                let back = |y: &mut [f32]| self.rope(n).rotate(y, batch.positions(), -1.0);
                (&*d, output(turned, Some(&back), bias(i), gradients.needs_output(p), y))
            };
            gradients.projection_if_learning(n, p, t, h, d, product);
            if on {
                back(weights, n, p, t, packed, d, dh, true);
            }
        }
        if on {
            timed(Part::Rest, || {
                rms_norm::backward(x, vectors.attention_norm, eps, dh, dx, gradients.norm(Norm::Attention(n)), true);
            });
        }
    }
}

/// `dx (+)= dy · w`
#[expect(clippy::too_many_arguments, reason = "a product is a function of all of these")]
fn back(weights: &dyn Trainable, n: usize, p: Projection, t: usize, packed: &mut Packed, dy: &[f32], dx: &mut [f32], add: bool) {
    let right = timed(Part::Merge, || weights.backward(n, p, packed));
    timed(Part::Products, || times(dy, t, right, dx, add));
}

/// The gradient of what a half wrote, from that of what joined the residual stream.
fn before_norm<'a>(written: &[f32], norm: Option<&[f32]>, eps: f32, dx: &'a [f32], into: &'a mut Vec<f32>) -> &'a [f32] {
    let Some(norm) = norm else { return dx };
    let into = room(into, dx.len());
    timed(Part::Rest, || rms_norm::backward(written, norm, eps, dx, into, None, false));
    into
}

/// Turns back what was turned.
type Back<'a> = &'a dyn Fn(&mut [f32]);

/// What a matrix wrote before a bias and before it was turned, where it is needed.
fn output<'a>(
    seen: &'a [f32],
    back: Option<Back>,
    bias: Option<&[f32]>,
    needed: bool,
    into: &'a mut Vec<f32>,
) -> Option<&'a [f32]> {
    if !needed {
        return None;
    }
    if back.is_none() && bias.is_none() {
        return Some(seen);
    }
    let y = copy(into, seen);
    if let Some(back) = back {
        back(y);
    }
    if let Some(bias) = bias {
        y.par_chunks_mut(bias.len()).for_each(|row| row.iter_mut().zip(bias).for_each(|(y, b)| *y -= b));
    }
    Some(y)
}

impl dyn Gradients + '_ {
    fn projection_if_learning(&mut self, n: usize, p: Projection, t: usize, x: &[f32], dy: &[f32], y: Option<&[f32]>) {
        if self.learns(p) {
            timed(Part::Adapter, || self.projection(n, p, t, x, dy, y));
        }
    }
}
