//! The way forward, layer by layer.

use rayon::prelude::*;

use super::super::base::Projection;
use super::super::cache::RowCache;
use super::super::ops::attention::{self, Rules};
use super::super::ops::clock::{Part, timed};
use super::super::ops::matmul::times;
use super::super::ops::{Dropout, Packed, cached, gate, rms_norm};
use super::{Attend, Kept, PackedTexts, Pass, Space, Vectors, Weights, copy, normed, room};

/// What stays of a layer after it was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// What came in: enough to compute it again.
    Inputs,
    All,
}

/// Buffers that a layer needs while it is computed, apart from what it keeps.
pub(super) struct Temporary<'a> {
    pub h: &'a mut Vec<f32>,
    pub middle: &'a mut Vec<f32>,
    pub inner: &'a mut Vec<f32>,
    pub packed: &'a mut Packed,
}

impl Pass {
    /// Leaves normalised hidden states in `space.hidden`, and what `keep` says in `space.layers`.
    pub(super) fn forward(
        &self,
        weights: &dyn Weights,
        batch: &PackedTexts,
        dropout: Dropout,
        keep: Keep,
        attend: &mut Attend,
        space: &mut Space,
    ) {
        let (t, width, layers) = (batch.tokens(), self.config.hidden_size, self.config.num_hidden_layers);
        space.layers.resize_with(layers.max(1), Kept::default);
        let x = room(&mut space.x, t * width);
        let scale = self.config.embed_scale();
        x.par_chunks_mut(width).zip(batch.ids().par_iter()).for_each(|(row, id)| {
            weights.embed(*id, row);
            for v in row {
                *v *= scale;
            }
        });
        for n in 0..layers {
            let Space { layers, h, middle, wide: [inner, ..], packed, .. } = space;
            let mut temporary = Temporary { h, middle, inner, packed };
            // A layer that is not kept as a whole is computed in the first one's buffers.
            if keep == Keep::All {
                copy(&mut layers[n].x, x);
                self.layer(weights, n, batch, dropout, attend, &mut layers[n], &mut temporary, x);
            } else {
                if keep == Keep::Inputs {
                    copy(&mut layers[n].x, x);
                }
                let mut shared = std::mem::take(&mut layers[0]);
                self.layer(weights, n, batch, dropout, attend, &mut shared, &mut temporary, x);
                layers[0] = shared;
            }
        }
        let hidden = room(&mut space.hidden, t * width);
        rms_norm::forward(x, weights.norm(), self.eps(), hidden);
    }

    /// One layer: `x` (tokens × width) goes in and comes out.
    #[expect(clippy::too_many_arguments, reason = "a layer is a function of all of these")]
    pub(super) fn layer(
        &self,
        weights: &dyn Weights,
        n: usize,
        batch: &PackedTexts,
        dropout: Dropout,
        attend: &mut Attend,
        kept: &mut Kept,
        temporary: &mut Temporary,
        x: &mut [f32],
    ) {
        let (t, eps, vectors) = (batch.tokens(), self.eps(), weights.vectors(n));
        let (heads, inner) = (self.config.heads(), self.config.intermediate_size);
        let Temporary { h, middle, inner: product, packed } = temporary;
        let h = room(h, x.len());
        timed(Part::Rest, || rms_norm::forward(x, vectors.attention_norm, eps, h));
        let mut project = |p: Projection, x: &[f32], out: &mut [f32]| {
            let right = timed(Part::Merge, || weights.forward(n, p, packed));
            timed(Part::Products, || times(x, t, right, out, false));
        };
        let v = room(&mut kept.v, t * heads.key * heads.width);
        project(Projection::Value, h, v);
        add_bias(v, vectors.biases.map(|b| b[2]));
        for (i, p) in [Projection::Query, Projection::Key].into_iter().enumerate() {
            let (count, raw, turned) = match p {
                Projection::Query => (heads.query, &mut kept.q_raw, &mut kept.q),
                _ => (heads.key, &mut kept.k_raw, &mut kept.k),
            };
            let turned = room(turned, t * count * heads.width);
            if let Some(norms) = vectors.qk_norms {
                let raw = room(raw, t * count * heads.width);
                project(p, h, raw);
                rms_norm::forward(raw, norms[i], eps, turned);
            } else {
                project(p, h, turned);
                add_bias(turned, vectors.biases.map(|b| b[i]));
            }
            timed(Part::Rest, || self.rope(n).rotate(turned, batch.positions(), 1.0));
        }
        let mixed = room(&mut kept.mixed, t * heads.query * heads.width);
        let qkv = [&kept.q[..mixed.len()], &kept.k[..t * heads.key * heads.width], &*v];
        timed(Part::Attention, || match attend {
            Attend::Whole => attention::forward(qkv, self.rules(n), batch.texts(), mixed),
            Attend::Cached(caches) => attend_cached(n, qkv, self.rules(n), batch, caches, mixed),
        });
        dropout.at(2 * n).apply(mixed);
        let written = room(&mut kept.attention, x.len());
        project(Projection::Output, mixed, written);
        timed(Part::Rest, || add(x, normed(written, vectors.attention_out_norm, eps, middle)));
        timed(Part::Rest, || rms_norm::forward(x, vectors.mlp_norm, eps, h));
        let (gate_in, up) = (room(&mut kept.gate, t * inner), room(&mut kept.up, t * inner));
        project(Projection::Gate, h, gate_in);
        project(Projection::Up, h, up);
        let product = room(product, t * inner);
        timed(Part::Gate, || gate::forward(self.config.activation, gate_in, up, product));
        dropout.at(2 * n + 1).apply(product);
        let written = room(&mut kept.mlp, x.len());
        project(Projection::Down, product, written);
        timed(Part::Rest, || add(x, normed(written, vectors.mlp_out_norm, eps, middle)));
    }

    /// Hidden states between attention and the gate, from what a layer keeps.
    pub(super) fn middle<'a>(&self, kept: &Kept, vectors: &Vectors, size: usize, into: &'a mut Vec<f32>) -> &'a mut [f32] {
        let written = &kept.attention[..size];
        if let Some(norm) = vectors.attention_out_norm {
            rms_norm::forward(written, norm, self.eps(), room(into, size));
        } else {
            copy(into, written);
        }
        // The same sum as on the way forward: x + what was written.
        let into = room(into, size);
        into.par_chunks_mut(1 << 15).zip(kept.x[..size].par_chunks(1 << 15)).for_each(|(a, x)| {
            a.iter_mut().zip(x).for_each(|(a, x)| *a += x);
        });
        into
    }
}

/// `x += y`
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    x.par_chunks_mut(1 << 15).zip(y.par_chunks(1 << 15)).for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
}

fn add_bias(x: &mut [f32], bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        x.par_chunks_mut(bias.len()).for_each(|row| row.iter_mut().zip(bias).for_each(|(x, b)| *x += b));
    }
}

/// Every text of the batch extends its cache and attends to all of it, texts side by side.
fn attend_cached(
    layer: usize,
    [q, k, v]: [&[f32]; 3],
    rules: Rules,
    batch: &PackedTexts,
    caches: &mut [RowCache],
    mut out: &mut [f32],
) {
    let (qw, kw) = (rules.heads.query * rules.heads.width, rules.heads.key * rules.heads.width);
    let mut work = Vec::with_capacity(caches.len());
    for (text, cache) in batch.texts().iter().zip(caches) {
        let (own, rest) = out.split_at_mut(text.own.len() * qw);
        out = rest;
        work.push((&text.own, cache, own));
    }
    work.into_par_iter().for_each(|(own, cache, out)| {
        cache.append(layer, &k[own.start * kw..own.end * kw], &v[own.start * kw..own.end * kw]);
        cached::attend(&q[own.start * qw..own.end * qw], &cache.spans(layer), rules, out);
    });
}
