//! Causal attention over packed rows of any lengths, with grouped queries: each text attends to itself only, and
//! nothing is padded. Also its cached form for generation, which has no gradient and says so by not being an op.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::matmul::{Left, Packed, Product};
use super::{exp, numbers, with_numbers};

const NAME: &str = "causal_attention";
/// Queries whose probabilities exist at the same time.
const BLOCK: usize = 48;

/// How the columns of q, k and v divide into heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    pub query: usize,
    pub key: usize,
    pub width: usize,
    /// What scores are multiplied by.
    pub scale: f32,
}

impl Heads {
    fn group(&self) -> usize {
        self.query / self.key.max(1)
    }
}

/// Attention of `q (tokens × query heads·width)` to `k` and `v (tokens × key heads·width)`; `texts` are the token ranges
/// that see only themselves, in order and without gaps.
pub fn causal_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, texts: &Arc<[Range<usize>]>) -> Result<Tensor> {
    q.apply_op3(k, v, Attention { heads, texts: Arc::clone(texts) })
}

struct Attention {
    heads: Heads,
    texts: Arc<[Range<usize>]>,
}

/// Softmax of one row of scores over its first `visible` entries; the rest becomes 0.
#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn softmax(row: &mut [f32], visible: usize, scale: f32) {
    let (seen, hidden) = row.split_at_mut(visible);
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (body, tail) = seen.as_chunks::<16>();
    for chunk in body {
        for i in 0..16 {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    let most = lanes.iter().chain(tail).copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0f32; 16];
    let (body, tail) = seen.as_chunks_mut::<16>();
    for chunk in body {
        for i in 0..16 {
            chunk[i] = exp((chunk[i] - most) * scale);
            sums[i] += chunk[i];
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for value in tail {
        *value = exp((*value - most) * scale);
        sum += *value;
    }
    let norm = 1.0 / sum;
    for p in seen {
        *p *= norm;
    }
    hidden.fill(0.0);
}

/// Probabilities (`rows × visible`) of a block of queries whose first one stands at key `first`.
fn probabilities(q: &[f32], stride: usize, rows: usize, first: usize, keys: &Packed, scale: f32, out: &mut [f32]) {
    let visible = first + rows;
    let left = Left { data: q, row: stride, col: 1 };
    Product { left, right: keys, rows, inner: keys.inner(), cols: visible, out, stride: visible, add: false }.run();
    softmax_rows(&mut out[..rows * visible], visible, first, scale);
}

vectorised! {
fn softmax_rows<'a>(scores: &'a mut [f32], width: usize, first: usize, scale: f32) -> () {
    for (i, row) in scores.chunks_exact_mut(width).enumerate() {
        softmax(row, first + i + 1, scale);
    }
}
}

impl Attention {
    fn check(&self, q: &Layout, k: &Layout, v: &Layout) -> Result<usize> {
        let ((tokens, qw), kd, vd) = (q.shape().dims2()?, k.shape().dims2()?, v.shape().dims2()?);
        let Heads { query, key, width, .. } = self.heads;
        let mut end = 0;
        let gapless = self.texts.iter().all(|t| std::mem::replace(&mut end, t.end) == t.start && t.start <= t.end);
        let heads = key > 0 && query.is_multiple_of(key) && qw == query * width && kd == (tokens, key * width) && vd == kd;
        if !heads || !gapless || end != tokens {
            candle_core::bail!("{NAME}: q {tokens} × {qw}, k {kd:?}, v {vd:?} do not fit {:?} and {:?}", self.heads, self.texts);
        }
        Ok(tokens)
    }
}

/// Attention on plain slices, replacing what `out` held.
pub(in crate::student) fn forward(qkv: [&[f32]; 3], heads: Heads, texts: &[Range<usize>], out: &mut [f32]) {
    let [q, k, v] = qkv;
    let Heads { query, key, width, .. } = heads;
    let (qw, kw) = (query * width, key * width);
    let longest = texts.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let mut probs = vec![0.0; BLOCK * longest];
    for text in texts.iter().filter(|t| !t.is_empty()) {
        for kv in 0..key {
            let at = text.start * kw + kv * width;
            let keys = Packed::transposed(&k[at..], text.len(), width, kw);
            let values = Packed::rows(&v[at..], text.len(), width, kw);
            for head in kv * heads.group()..(kv + 1) * heads.group() {
                for first in (0..text.len()).step_by(BLOCK) {
                    let rows = BLOCK.min(text.len() - first);
                    let (from, visible) = ((text.start + first) * qw + head * width, first + rows);
                    let probs = &mut probs[..rows * visible];
                    probabilities(&q[from..], qw, rows, first, &keys, heads.scale, probs);
                    let left = Left { data: probs, row: visible, col: 1 };
                    let (cols, out) = (width, &mut out[from..]);
                    Product { left, right: &values, rows, inner: visible, cols, out, stride: qw, add: false }.run();
                }
            }
        }
    }
}

/// Gradients on plain slices: `dq` is replaced, `dk` and `dv` must come as zeros.
pub(in crate::student) fn backward(
    qkv: [&[f32]; 3],
    dy: &[f32],
    heads: Heads,
    texts: &[Range<usize>],
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let [q, k, v] = qkv;
    let Heads { query, key, width, .. } = heads;
    let (qw, kw) = (query * width, key * width);
    let longest = texts.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let (mut probs, mut scores) = (vec![0.0; BLOCK * longest], vec![0.0; BLOCK * longest]);
    let scale = heads.scale;
    for text in texts.iter().filter(|t| !t.is_empty()) {
        for kv in 0..key {
            let at = text.start * kw + kv * width;
            let keys_t = Packed::transposed(&k[at..], text.len(), width, kw);
            let keys = Packed::rows(&k[at..], text.len(), width, kw);
            let values_t = Packed::transposed(&v[at..], text.len(), width, kw);
            for head in kv * heads.group()..(kv + 1) * heads.group() {
                for first in (0..text.len()).step_by(BLOCK) {
                    let rows = BLOCK.min(text.len() - first);
                    let (from, visible) = ((text.start + first) * qw + head * width, first + rows);
                    let (probs, scores) = (&mut probs[..rows * visible], &mut scores[..rows * visible]);
                    probabilities(&q[from..], qw, rows, first, &keys_t, scale, probs);
                    let left = Left { data: &dy[from..], row: qw, col: 1 };
                    let (inner, cols, stride) = (width, visible, visible);
                    Product { left, right: &values_t, rows, inner, cols, out: scores, stride, add: false }.run();
                    softmax_backward(&*probs, &mut *scores, visible, scale);
                    let left = Left { data: scores, row: visible, col: 1 };
                    let (cols, out) = (width, &mut dq[from..]);
                    Product { left, right: &keys, rows, inner: visible, cols, out, stride: qw, add: false }.run();
                    for (weights, source, sink) in [(&*scores, q, &mut *dk), (&*probs, dy, &mut *dv)] {
                        let right = Packed::rows(&source[from..], rows, width, qw);
                        let left = Left { data: weights, row: 1, col: visible };
                        let (out, cols) = (&mut sink[at..], width);
                        Product { left, right: &right, rows: visible, inner: rows, cols, out, stride: kw, add: true }.run();
                    }
                }
            }
        }
    }
}

vectorised! {
/// Turns gradients of probabilities, in place, into gradients of unscaled scores.
fn softmax_backward<'a>(probs: &'a [f32], gradients: &'a mut [f32], width: usize, scale: f32) -> () {
    for (p, g) in probs.chunks_exact(width).zip(gradients.chunks_exact_mut(width)) {
        let mean = super::dot(p, g);
        for (p, g) in p.iter().zip(g) {
            *g = p * (*g - mean) * scale;
        }
    }
}
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let tokens = self.check(ql, kl, vl)?;
        let mut out = vec![0.0; tokens * self.heads.query * self.heads.width];
        let qkv = [numbers(q, ql, NAME)?, numbers(k, kl, NAME)?, numbers(v, vl, NAME)?];
        forward(qkv, self.heads, &self.texts, &mut out);
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|t| vec![0.0; t.elem_count()]);
        with_numbers([q, k, v, &dy], NAME, |[q, k, v, dy]| {
            backward([q, k, v], dy, self.heads, &self.texts, [&mut dq, &mut dk, &mut dv]);
        })?;
        let like = |numbers, t: &Tensor| Tensor::from_vec(numbers, t.dims(), t.device());
        Ok((Some(like(dq, q)?), Some(like(dk, k)?), Some(like(dv, v)?)))
    }
}

/// Keys and values of one stretch of text in one layer, keys transposed so that scores of one query are vector sums.
#[derive(Debug, Clone)]
pub struct Span {
    heads: Heads,
    keys: Vec<f32>,
    values: Vec<f32>,
    len: usize,
    capacity: usize,
}

impl Span {
    pub fn new(heads: Heads, capacity: usize) -> Self {
        let size = heads.key * heads.width * capacity;
        Self { heads, keys: vec![0.0; size], values: vec![0.0; size], len: 0, capacity }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds tokens (rows of `key heads·width` numbers), growing where needed.
    pub fn append(&mut self, k: &[f32], v: &[f32]) {
        let Heads { key, width, .. } = self.heads;
        let row = key * width;
        let count = k.len() / row.max(1);
        if self.len + count > self.capacity {
            let mut wider = Self::new(self.heads, (self.len + count).next_multiple_of(64).max(self.capacity * 2));
            wider.len = self.len;
            for i in 0..row {
                wider.keys[i * wider.capacity..][..self.len].copy_from_slice(&self.keys[i * self.capacity..][..self.len]);
            }
            let used = self.len * width;
            for h in 0..key {
                let (to, from) = (h * wider.capacity * width, h * self.capacity * width);
                wider.values[to..][..used].copy_from_slice(&self.values[from..][..used]);
            }
            *self = wider;
        }
        for (t, (k, v)) in k.chunks_exact(row).zip(v.chunks_exact(row)).enumerate() {
            let at = self.len + t;
            for (i, value) in k.iter().enumerate() {
                self.keys[i * self.capacity + at] = *value;
            }
            for h in 0..key {
                self.values[(h * self.capacity + at) * width..][..width].copy_from_slice(&v[h * width..][..width]);
            }
        }
        self.len += count;
    }

    fn key_row(&self, head: usize, dim: usize) -> &[f32] {
        &self.keys[(head * self.heads.width + dim) * self.capacity..][..self.len]
    }

    fn value_rows(&self, head: usize) -> &[f32] {
        let width = self.heads.width;
        &self.values[head * self.capacity * width..][..self.len * width]
    }
}

/// Attention of the last tokens of one text (`q`, rows of `query heads·width`) to everything in `spans`, which already
/// hold those tokens' own keys and values at their end.
pub fn attend_cached(q: &[f32], spans: &[&Span], heads: Heads, out: &mut [f32]) {
    let Heads { query, key, width, .. } = heads;
    let (stride, total) = (query * width, spans.iter().map(|s| s.len).sum::<usize>());
    let rows = q.len() / stride.max(1);
    if rows == 1 {
        let mut scores = vec![0.0; total];
        for head in 0..query {
            let at = head * width;
            let (q, out) = (&q[at..][..width], &mut out[at..][..width]);
            single(q, spans, head / heads.group(), heads.scale, &mut scores, out);
        }
        return;
    }
    let past = total - rows;
    let mut probs = vec![0.0; BLOCK * total];
    for kv in 0..key {
        let (mut k, mut v) = (Vec::with_capacity(total * width), Vec::with_capacity(total * width));
        for dim in 0..width {
            for span in spans {
                k.extend_from_slice(span.key_row(kv, dim));
            }
        }
        for span in spans {
            v.extend_from_slice(span.value_rows(kv));
        }
        let (keys, values) = (Packed::rows(&k, width, total, total), Packed::rows(&v, total, width, width));
        for head in kv * heads.group()..(kv + 1) * heads.group() {
            for first in (0..rows).step_by(BLOCK) {
                let count = BLOCK.min(rows - first);
                let (from, visible) = (first * stride + head * width, past + first + count);
                let probs = &mut probs[..count * visible];
                probabilities(&q[from..], stride, count, past + first, &keys, heads.scale, probs);
                let left = Left { data: probs, row: visible, col: 1 };
                let (inner, cols, out) = (visible, width, &mut out[from..]);
                Product { left, right: &values, rows: count, inner, cols, out, stride, add: false }.run();
            }
        }
    }
}

vectorised! {
/// One query, one head.
fn single<'a>(q: &'a [f32], spans: &'a [&'a Span], kv: usize, scale: f32, scores: &'a mut [f32], out: &'a mut [f32]) -> () {
    let mut from = 0;
    for span in spans {
        let part = &mut scores[from..from + span.len];
        part.fill(0.0);
        for (dim, q) in q.iter().enumerate() {
            for (s, k) in part.iter_mut().zip(span.key_row(kv, dim)) {
                *s += q * k;
            }
        }
        from += span.len;
    }
    softmax(scores, from, scale);
    let (width, mut from) = (out.len(), 0);
    out.fill(0.0);
    for span in spans {
        let (probs, values) = (&scores[from..from + span.len], span.value_rows(kv));
        for (c, sums) in out.chunks_mut(16).enumerate() {
            if let Ok(sums) = <&mut [f32; 16]>::try_from(&mut *sums) {
                let mut local = *sums;
                for (p, v) in probs.iter().zip(values.chunks_exact(width)) {
                    let v = &v[c * 16..][..16];
                    for i in 0..16 {
                        local[i] += p * v[i];
                    }
                }
                *sums = local;
            } else {
                for (p, v) in probs.iter().zip(values.chunks_exact(width)) {
                    sums.iter_mut().zip(&v[c * 16..]).for_each(|(s, v)| *s += p * v);
                }
            }
        }
        from += span.len;
    }
}
}

#[cfg(test)]
mod tests {
    use super::super::check::{assert_close, gradients, noise, noise_tensor};
    use super::*;
    use candle_core::Device;

    const HEADS: Heads = Heads { query: 4, key: 2, width: 6, scale: 0.408 };

    /// The definition, one number at a time.
    fn plain(q: &[f32], k: &[f32], v: &[f32], heads: Heads, texts: &[Range<usize>]) -> Vec<f32> {
        let Heads { query, key, width, scale } = heads;
        let mut out = vec![0.0; q.len()];
        for text in texts {
            for (i, head) in text.clone().flat_map(|i| (0..query).map(move |h| (i, h))) {
                let kv = head / (query / key);
                let at = |j: usize, d: usize| (j * key + kv) * width + d;
                let score = |j: usize| (0..width).map(|d| q[(i * query + head) * width + d] * k[at(j, d)]).sum::<f32>() * scale;
                let weights: Vec<f32> = (text.start..=i).map(|j| score(j).exp()).collect();
                let sum: f32 = weights.iter().sum();
                for d in 0..width {
                    let mixed: f32 = (text.start..=i).zip(&weights).map(|(j, w)| w * v[at(j, d)]).sum();
                    out[(i * query + head) * width + d] = mixed / sum;
                }
            }
        }
        out
    }

    #[test]
    fn each_text_attends_to_its_own_past_only() {
        let texts: Arc<[Range<usize>]> = [0..3, 3..103, 103..103, 103..104].into();
        let (q, k, v) = (noise_tensor(&[104, 24], 1), noise_tensor(&[104, 12], 2), noise_tensor(&[104, 12], 3));
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = plain(&flat(&q), &flat(&k), &flat(&v), HEADS, &texts);
        let expected = Tensor::from_vec(expected, (104, 24), &Device::Cpu).unwrap();
        assert_close(&causal_attention(&q, &k, &v, HEADS, &texts).unwrap(), &expected, 1e-4);
    }

    #[test]
    fn its_gradients_are_the_numeric_ones() {
        let heads = Heads { query: 2, key: 1, width: 4, scale: 0.5 };
        let texts: Arc<[Range<usize>]> = [0..4, 4..6].into();
        let inputs = [noise_tensor(&[6, 8], 1), noise_tensor(&[6, 4], 2), noise_tensor(&[6, 4], 3)];
        gradients(&inputs, 3e-3, |t| causal_attention(&t[0], &t[1], &t[2], heads, &texts));
    }

    #[test]
    fn a_long_text_has_the_gradient_of_its_blocks() {
        // Past one block: backward against candle's own autograd on the definition.
        let heads = Heads { query: 1, key: 1, width: 16, scale: 0.25 };
        let n = 70;
        let var = |seed| candle_core::Var::from_tensor(&noise_tensor(&[n, 16], seed)).unwrap();
        let (q, k, v, mix) = (var(1), var(2), var(3), noise_tensor(&[n, 16], 4));
        let mask: Vec<f32> = (0..n * n).map(|i| if i % n > i / n { -1e9 } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (n, n), &Device::Cpu).unwrap();
        let scores = ((q.matmul(&k.t().unwrap()).unwrap() * 0.25).unwrap() + mask).unwrap();
        let weights = scores.exp().unwrap();
        let norm = weights.sum_keepdim(1).unwrap();
        let definition = weights.matmul(&v).unwrap().broadcast_div(&norm).unwrap();
        let ours = causal_attention(&q, &k, &v, heads, &Arc::from(vec![0..n; 1])).unwrap();
        let grads = |y: &Tensor| (y * &mix).unwrap().sum_all().unwrap().backward().unwrap();
        let (expected, ours) = (grads(&definition), grads(&ours));
        for t in [&q, &k, &v] {
            assert_close(ours.get(t).unwrap(), expected.get(t).unwrap(), 1e-4);
        }
    }

    #[test]
    fn the_cache_gives_what_the_whole_text_gives() {
        let (n, prefix) = (75, 20);
        let (q, k, v) = (noise(n * 24, 1), noise(n * 12, 2), noise(n * 12, 3));
        let expected = plain(&q, &k, &v, HEADS, std::slice::from_ref(&(0..n)));
        let mut shared = Span::new(HEADS, 8);
        shared.append(&k[..prefix * 12], &v[..prefix * 12]);
        let mut own = Span::new(HEADS, 4);
        let mut out = vec![0.0; n * 24];
        let mut at = prefix;
        for step in [53, 1, 1] {
            own.append(&k[at * 12..][..step * 12], &v[at * 12..][..step * 12]);
            attend_cached(&q[at * 24..][..step * 24], &[&shared, &own], HEADS, &mut out[at * 24..][..step * 24]);
            at += step;
        }
        for i in prefix * 24..n * 24 {
            assert!((out[i] - expected[i]).abs() < 1e-4, "at {i}");
        }
    }
}
