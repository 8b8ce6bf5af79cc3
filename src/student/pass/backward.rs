//! The way back: gradients of hidden states layer by layer, of weights wherever they learn.

use rayon::prelude::*;

use super::super::base::Projection;
use super::super::ops::clock::{Part, timed};
use super::super::ops::{attention, gate, rms_norm};
use super::dropped::{Desk, Seen};
use super::forward::Temporary;
use super::rows::spread;
use super::{Attend, Drops, Gradients, Kept, Norm, PackedTexts, Pass, Place, Space, Trainable, copy, room};

impl Pass {
    /// From the gradient of the hidden states that were read, in `space.dh`.
    pub(super) fn backward(
        &self,
        weights: &dyn Trainable,
        (batch, read): (&PackedTexts, &[u32]),
        drops: Drops,
        recompute: bool,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        let (width, size) = (self.config.hidden_size, batch.tokens() * self.config.hidden_size);
        let (few, dx) = (read.len() * width, room(&mut space.dx, size));
        timed(Part::Rest, || {
            let norm = gradients.norm(Norm::Last);
            rms_norm::backward(&space.x[..few], weights.norm(), self.eps(), &space.dh[..few], &mut dx[..few], norm, false);
        });
        let mut shared = Kept::default();
        if recompute {
            // The first layer's buffers are everybody's; its input stays its own.
            shared = std::mem::take(&mut space.layers[0]);
            space.layers[0].x = std::mem::take(&mut shared.x);
        }
        for layer in (0..self.config.num_hidden_layers).rev() {
            let place = self.place(layer, batch, drops, read);
            let mut kept = std::mem::take(&mut space.layers[layer]);
            if recompute {
                // Its own input, everything else in buffers that all layers share.
                std::mem::swap(&mut shared.x, &mut kept.x);
                let Space { x, h, middle, wide: [inner, ..], spare, packed, .. } = space;
                let x = copy(x, &shared.x[..size]);
                let mut temporary = Temporary { h, middle, inner, desk: Desk { spare, packed } };
                self.layer(weights, place, &mut Attend::Whole, &mut shared, &mut temporary, x);
                self.layer_backward(weights, place, &shared, space, gradients);
                std::mem::swap(&mut shared.x, &mut kept.x);
            } else {
                self.layer_backward(weights, place, &kept, space, gradients);
            }
            space.layers[layer] = kept;
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
    fn layer_backward(
        &self,
        weights: &dyn Trainable,
        place: Place,
        kept: &Kept,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        if place.rows() > 0 {
            self.gate_backward(weights, place, kept, space, gradients);
        }
        self.attention_backward(weights, place, kept, space, gradients);
    }

    fn gate_backward(
        &self,
        weights: &dyn Trainable,
        place: Place,
        kept: &Kept,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        let (n, rows, eps, vectors) = (place.layer, place.rows(), self.eps(), weights.vectors(place.layer));
        let (size, wide) = (rows * self.config.hidden_size, rows * self.config.intermediate_size);
        let Space { dx, h, dh, middle, wide: [inner, d_gate, d_up], y: d_written, spare, packed, .. } = space;
        let desk = &mut Desk { spare, packed };
        let dx = &mut dx[..size];
        let written = &kept.mlp[..size];
        let dy = before_norm(written, vectors.mlp_out_norm, eps, dx, d_written);
        let (gate_in, up, inner) = (&kept.gate[..wide], &kept.up[..wide], room(inner, wide));
        if gradients.learns(Projection::Down) {
            timed(Part::Gate, || gate::forward(self.config.activation, gate_in, up, inner));
            place.drops.hidden.at(2 * n + 1).apply(inner);
        }
        let (d_gate, d_up) = (room(d_gate, wide), room(d_up, wide));
        let seen = Seen { rows, x: inner, dy, y: Some(written) };
        place.pull(weights, gradients, Projection::Down, seen, Some((d_gate, false)), desk);
        place.drops.hidden.at(2 * n + 1).apply(d_gate);
        timed(Part::Gate, || gate::backward(self.config.activation, gate_in, up, d_gate, d_up));
        let middle = self.middle(place, kept, &vectors, middle);
        let h = room(h, size);
        timed(Part::Rest, || rms_norm::forward(middle, vectors.mlp_norm, eps, h));
        let dh = room(dh, size);
        let seen = |dy, y| Seen { rows, x: h, dy, y: Some(y) };
        place.pull(weights, gradients, Projection::Gate, seen(d_gate, gate_in), Some((dh, false)), desk);
        place.pull(weights, gradients, Projection::Up, seen(d_up, up), Some((dh, true)), desk);
        timed(Part::Rest, || rms_norm::backward(middle, vectors.mlp_norm, eps, dh, dx, gradients.norm(Norm::Mlp(n)), true));
    }

    fn attention_backward(
        &self,
        weights: &dyn Trainable,
        place: Place,
        kept: &Kept,
        space: &mut Space,
        gradients: &mut dyn Gradients,
    ) {
        let (n, batch, rows) = (place.layer, place.batch, place.rows());
        let (t, eps, vectors, heads) = (batch.tokens(), self.eps(), weights.vectors(n), self.config.heads());
        let width = self.config.hidden_size;
        let (size, qs, ks) = (t * width, t * heads.query * heads.width, t * heads.key * heads.width);
        let Space { dx, h, dh, d_mixed, dq, dk, dv, dq_raw, dk_raw, y, spare, packed, .. } = space;
        let desk = &mut Desk { spare, packed };
        let (dx, d_mixed) = (&mut dx[..size], room(d_mixed, qs));
        if rows > 0 {
            let (written, mixed) = (&kept.attention[..rows * width], &kept.mixed[..rows * heads.query * heads.width]);
            let dy = before_norm(written, vectors.attention_out_norm, eps, &dx[..rows * width], y);
            let seen = Seen { rows, x: mixed, dy, y: Some(written) };
            let d_mixed = &mut d_mixed[..mixed.len()];
            place.pull(weights, gradients, Projection::Output, seen, Some((d_mixed, false)), desk);
        }
        if let Some(read) = place.read {
            spread(read, width, dx);
            spread(read, heads.query * heads.width, d_mixed);
        }
        place.drops.hidden.at(2 * n).apply(d_mixed);
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
        let seen = Seen { rows: t, x: h, dy: dv, y: value };
        place.pull(weights, gradients, Projection::Value, seen, on.then_some((&mut *dh, false)), desk);
        for (i, p, d, d_raw, turned, raw) in
            [(0, Projection::Query, dq, dq_raw, q, &kept.q_raw), (1, Projection::Key, dk, dk_raw, k, &kept.k_raw)]
        {
            timed(Part::Rest, || self.rope(n).rotate(d, batch.positions(), -1.0));
            let norm = if i == 0 { Norm::Query(n) } else { Norm::Key(n) };
            let (dy, product) = if let Some(norms) = vectors.qk_norms {
                let (raw, d_raw) = (&raw[..d.len()], room(d_raw, d.len()));
                timed(Part::Rest, || rms_norm::backward(raw, norms[i], eps, d, d_raw, gradients.norm(norm), false));
                (&*d_raw, gradients.needs_output(p).then_some(raw))
            } else {
                let back = |y: &mut [f32]| self.rope(n).rotate(y, batch.positions(), -1.0);
                (&*d, output(turned, Some(&back), bias(i), gradients.needs_output(p), y))
            };
            let seen = Seen { rows: t, x: h, dy, y: product };
            place.pull(weights, gradients, p, seen, on.then_some((&mut *dh, true)), desk);
        }
        if on {
            timed(Part::Rest, || {
                rms_norm::backward(x, vectors.attention_norm, eps, dh, dx, gradients.norm(Norm::Attention(n)), true);
            });
        }
    }
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
