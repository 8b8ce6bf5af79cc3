//! The way forward, layer by layer.

use rayon::prelude::*;

use super::super::base::Projection;
use super::super::cache::RowCache;
use super::super::ops::attention::{self, Rules};
use super::super::ops::clock::{Part, timed};
use super::super::ops::{cached, gate, rms_norm};
use super::dropped::Desk;
use super::rows::pick;
use super::{Attend, Drops, Kept, PackedTexts, Pass, Place, Space, Vectors, Weights, copy, normed, room};

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
    pub desk: Desk<'a>,
}

impl Pass {
    /// Leaves the normalised hidden states of the rows that are read (ascending) in `space.hidden`, and what `keep` says in
    /// `space.layers`.
    pub(super) fn forward(
        &self,
        weights: &dyn Weights,
        (batch, read): (&PackedTexts, &[u32]),
        drops: Drops,
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
        for layer in 0..layers {
            let Space { layers, h, middle, wide: [inner, ..], spare, packed, .. } = space;
            let mut temporary = Temporary { h, middle, inner, desk: Desk { spare, packed } };
            let place = self.place(layer, batch, drops, read);
            // A layer that is not kept as a whole is computed in the first one's buffers.
            if keep == Keep::All {
                copy(&mut layers[layer].x, x);
                self.layer(weights, place, attend, &mut layers[layer], &mut temporary, x);
            } else {
                if keep == Keep::Inputs {
                    copy(&mut layers[layer].x, x);
                }
                let mut shared = std::mem::take(&mut layers[0]);
                self.layer(weights, place, attend, &mut shared, &mut temporary, x);
                layers[0] = shared;
            }
        }
        let size = read.len() * width;
        rms_norm::forward(&x[..size], weights.norm(), self.eps(), room(&mut space.hidden, size));
    }

    pub(super) fn place<'a>(&self, layer: usize, batch: &'a PackedTexts, drops: Drops, read: &'a [u32]) -> Place<'a> {
        Place { layer, batch, drops, read: (layer + 1 == self.config.num_hidden_layers).then_some(read) }
    }

    /// One layer: `x` (tokens × width) goes in and comes out; of the last one its first rows are those that are read.
    pub(super) fn layer(
        &self,
        weights: &dyn Weights,
        place: Place,
        attend: &mut Attend,
        kept: &mut Kept,
        temporary: &mut Temporary,
        x: &mut [f32],
    ) {
        let (heads, drops) = (self.config.heads(), place.drops.hidden);
        self.attend(weights, place, attend, kept, temporary, x);
        let mixed = &mut kept.mixed[..place.batch.tokens() * heads.query * heads.width];
        drops.at(2 * place.layer).apply(mixed);
        let (rows, width) = (place.rows(), self.config.hidden_size);
        if let Some(read) = place.read {
            pick(read, heads.query * heads.width, mixed);
            pick(read, width, x);
        }
        if rows > 0 {
            self.think(weights, place, kept, temporary, &mut x[..rows * width]);
        }
    }

    /// The first half, up to what the heads mixed.
    fn attend(
        &self,
        weights: &dyn Weights,
        place: Place,
        attend: &mut Attend,
        kept: &mut Kept,
        temporary: &mut Temporary,
        x: &[f32],
    ) {
        let (n, batch) = (place.layer, place.batch);
        let (t, eps, vectors, heads) = (batch.tokens(), self.eps(), weights.vectors(n), self.config.heads());
        let Temporary { h, desk, .. } = temporary;
        let h = room(h, x.len());
        timed(Part::Rest, || rms_norm::forward(x, vectors.attention_norm, eps, h));
        let mut project = |p: Projection, x: &[f32], out: &mut [f32]| place.product(weights, p, x, t, out, desk);
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
    }

    /// The rest of a layer, for rows that stand alone from here on.
    fn think(&self, weights: &dyn Weights, place: Place, kept: &mut Kept, temporary: &mut Temporary, x: &mut [f32]) {
        let (rows, eps, vectors) = (place.rows(), self.eps(), weights.vectors(place.layer));
        let (heads, inner) = (self.config.heads(), self.config.intermediate_size);
        let Temporary { h, middle, inner: product, desk } = temporary;
        let mut project = |p: Projection, x: &[f32], out: &mut [f32]| place.product(weights, p, x, rows, out, desk);
        let written = room(&mut kept.attention, x.len());
        project(Projection::Output, &kept.mixed[..rows * heads.query * heads.width], written);
        timed(Part::Rest, || add(x, normed(written, vectors.attention_out_norm, eps, middle)));
        let h = room(h, x.len());
        timed(Part::Rest, || rms_norm::forward(x, vectors.mlp_norm, eps, h));
        let (gate_in, up) = (room(&mut kept.gate, rows * inner), room(&mut kept.up, rows * inner));
        project(Projection::Gate, h, gate_in);
        project(Projection::Up, h, up);
        let product = room(product, rows * inner);
        timed(Part::Gate, || gate::forward(self.config.activation, gate_in, up, product));
        place.drops.hidden.at(2 * place.layer + 1).apply(product);
        let written = room(&mut kept.mlp, x.len());
        project(Projection::Down, product, written);
        timed(Part::Rest, || add(x, normed(written, vectors.mlp_out_norm, eps, middle)));
    }

    /// Hidden states between attention and the gate, from what a layer keeps.
    pub(super) fn middle<'a>(&self, place: Place, kept: &Kept, vectors: &Vectors, into: &'a mut Vec<f32>) -> &'a mut [f32] {
        let width = self.config.hidden_size;
        let size = place.rows() * width;
        let written = &kept.attention[..size];
        if let Some(norm) = vectors.attention_out_norm {
            rms_norm::forward(written, norm, self.eps(), room(into, size));
        } else {
            copy(into, written);
        }
        // The same sum as on the way forward: x + what was written.
        let into = room(into, size);
        let from = |row: usize| place.read.map_or(row, |read| read[row] as usize);
        into.par_chunks_mut(width).enumerate().with_min_len(64).for_each(|(row, a)| {
            a.iter_mut().zip(&kept.x[from(row) * width..][..width]).for_each(|(a, x)| *a += x);
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
