//! Attention in generation: keys and values of what was read and written so far, and the attention of the next tokens to
//! them. Has no gradient.

use super::attention::{Heads, Rules, probabilities, softmax};
use super::matmul::{Left, Packed, Product};

/// Rows of queries (tokens × heads of a group) whose probabilities exist at the same time.
const BLOCK: usize = 96;

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
pub fn attend(q: &[f32], spans: &[&Span], rules: Rules, out: &mut [f32]) {
    let Heads { query, key, width, .. } = rules.heads;
    let (stride, total) = (query * width, spans.iter().map(|s| s.len).sum::<usize>());
    let rows = q.len() / stride.max(1);
    if rows == 1 {
        let mut scores = vec![0.0; total];
        for head in 0..query {
            let at = head * width;
            let (q, out) = (&q[at..][..width], &mut out[at..][..width]);
            single(q, spans, head / rules.heads.group(), rules, &mut scores, out);
        }
        return;
    }
    let (past, group) = (total - rows, rules.heads.group());
    let (step, narrow) = ((BLOCK / group).max(1), group * width);
    let mut probs = vec![0.0; step * group * total];
    let mut mixed = vec![0.0; step * narrow];
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
        for first in (0..rows).step_by(step) {
            let tokens = step.min(rows - first);
            let (count, visible) = (tokens * group, past + first + tokens);
            let own = |t: usize| (first + t) * stride + kv * narrow;
            let q: Vec<f32> = (0..tokens).flat_map(|t| &q[own(t)..][..narrow]).copied().collect();
            let probs = &mut probs[..count * visible];
            probabilities(&q, group, past + first, &keys, rules, probs);
            let (left, mixed) = (Left { data: probs, row: visible, col: 1 }, &mut mixed[..tokens * narrow]);
            Product { left, right: &values, rows: count, inner: visible, cols: width, out: mixed, stride: width, add: false }
                .run();
            for (t, row) in mixed.chunks_exact(narrow).enumerate() {
                out[own(t)..][..narrow].copy_from_slice(row);
            }
        }
    }
}

vectorised! {
/// One query, one head.
fn single<'a>(q: &'a [f32], spans: &'a [&'a Span], kv: usize, rules: Rules, scores: &'a mut [f32], out: &'a mut [f32]) -> () {
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
    softmax(scores, from.saturating_sub(rules.window.unwrap_or(from)), from, rules.heads.scale);
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
    use super::super::attention::Text;
    use super::super::attention::tests::{HEADS, plain};
    use super::super::check::noise;
    use super::*;

    #[test]
    fn the_cache_gives_what_the_whole_text_gives() {
        let (n, prefix) = (75, 20);
        let (q, k, v) = (noise(n * 24, 1), noise(n * 12, 2), noise(n * 12, 3));
        for window in [None, Some(15)] {
            let rules = Rules { heads: HEADS, window };
            let expected = plain([&q, &k, &v], rules, &[Text::alone(0..n)]);
            let mut shared = Span::new(HEADS, 8);
            shared.append(&k[..prefix * 12], &v[..prefix * 12]);
            let mut own = Span::new(HEADS, 4);
            let mut out = vec![0.0; n * 24];
            let mut at = prefix;
            for step in [53, 1, 1] {
                own.append(&k[at * 12..][..step * 12], &v[at * 12..][..step * 12]);
                attend(&q[at * 24..][..step * 24], &[&shared, &own], rules, &mut out[at * 24..][..step * 24]);
                at += step;
            }
            for i in prefix * 24..n * 24 {
                assert!((out[i] - expected[i]).abs() < 1e-4, "at {i}, {window:?}");
            }
        }
    }
}
