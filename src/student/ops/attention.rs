//! Causal attention over packed rows of any lengths, with grouped queries: each text attends to itself, to the prefix that
//! it may share with others, and to nothing else; nothing is padded. Work is cut by text and key head, side by side on all
//! cores; sums run in one fixed order.

use std::ops::Range;

use rayon::prelude::*;

use super::exp;
use super::matmul::{Left, Packed, Product};

/// Rows of queries (tokens × heads of a group) whose probabilities exist at the same time.
const BLOCK: usize = 96;

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
    pub(super) fn group(&self) -> usize {
        self.query / self.key.max(1)
    }
}

/// Rows of one text: its own, and those of the prefix it goes on from (empty: none). The prefix is a text of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub own: Range<usize>,
    pub prefix: Range<usize>,
}

impl Text {
    pub fn alone(own: Range<usize>) -> Self {
        Self { own, prefix: 0..0 }
    }

    fn len(&self) -> usize {
        self.prefix.len() + self.own.len()
    }

    /// Every row that its last token sees.
    fn rows(&self) -> impl Iterator<Item = usize> {
        self.prefix.clone().chain(self.own.clone())
    }
}

/// What attention is between: heads, and how far back a token sees.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub heads: Heads,
    /// Tokens seen, the own one included; `None`: all.
    pub window: Option<usize>,
}

/// Softmax of one row of scores over its entries `from..visible`; the rest becomes 0.
#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
pub(super) fn softmax(row: &mut [f32], from: usize, visible: usize, scale: f32) {
    let (past, rest) = row.split_at_mut(from);
    let (seen, hidden) = rest.split_at_mut(visible - from);
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
    past.fill(0.0);
    hidden.fill(0.0);
}

/// Probabilities (`rows × visible`) of a block of queries: `group` rows for each token, the first of which stands at key
/// `first`.
pub(super) fn probabilities(q: &[f32], group: usize, first: usize, keys: &Packed, rules: Rules, out: &mut [f32]) {
    let rows = q.len() / keys.inner();
    let visible = first + rows / group;
    let left = Left { data: q, row: keys.inner(), col: 1 };
    Product { left, right: keys, rows, inner: keys.inner(), cols: visible, out, stride: visible, add: false }.run();
    let window = rules.window.unwrap_or(usize::MAX);
    softmax_rows(&mut out[..rows * visible], visible, (first, group), window, rules.heads.scale);
}

vectorised! {
fn softmax_rows<'a>(scores: &'a mut [f32], width: usize, at: (usize, usize), window: usize, scale: f32) -> () {
    for (i, row) in scores.chunks_exact_mut(width).enumerate() {
        let visible = at.0 + i / at.1 + 1;
        softmax(row, visible.saturating_sub(window), visible, scale);
    }
}
}

/// One text and one key head, with its keys and values side by side.
struct Unit<'a> {
    text: &'a Text,
    kv: usize,
}

/// Every text with every key head, long texts first so that cores end together.
fn units(texts: &[Text], heads: Heads) -> Vec<Unit<'_>> {
    let mut units: Vec<Unit> =
        texts.iter().filter(|t| !t.own.is_empty()).flat_map(|text| (0..heads.key).map(move |kv| Unit { text, kv })).collect();
    units.sort_by_key(|u| std::cmp::Reverse(u.text.len()));
    units
}

impl Unit<'_> {
    /// This head's columns of all rows that the text sees.
    fn gather(&self, x: &[f32], heads: Heads) -> Vec<f32> {
        let stride = heads.key * heads.width;
        let row = |r: usize| &x[r * stride + self.kv * heads.width..][..heads.width];
        self.text.rows().flat_map(row).copied().collect()
    }

    /// This group's columns of the text's own rows: tokens × (heads of the group · width), which is also (tokens · heads) ×
    /// width.
    fn own(&self, x: &[f32], heads: Heads) -> Vec<f32> {
        let narrow = heads.group() * heads.width;
        self.text.own.clone().flat_map(|r| &x[r * heads.query * heads.width + self.kv * narrow..][..narrow]).copied().collect()
    }

    /// Blocks of own tokens: the first one, and how many.
    fn blocks(&self, heads: Heads) -> impl Iterator<Item = (usize, usize)> {
        let (own, step) = (self.text.own.len(), (BLOCK / heads.group()).max(1));
        (0..own).step_by(step).map(move |first| (first, step.min(own - first)))
    }

    fn forward(&self, [q, k, v]: [&[f32]; 3], rules: Rules, scratch: &mut Scratch) -> Vec<f32> {
        let (heads, past, len) = (rules.heads, self.text.prefix.len(), self.text.len());
        let (width, group) = (heads.width, heads.group());
        let keys = Packed::transposed(&self.gather(k, heads), len, width, width);
        let values = Packed::rows(&self.gather(v, heads), len, width, width);
        let q = self.own(q, heads);
        let probs = room(&mut scratch.probs, BLOCK.max(group) * len);
        let mut out = vec![0.0; q.len()];
        for (first, tokens) in self.blocks(heads) {
            let (rows, visible) = (tokens * group, past + first + tokens);
            let range = first * group * width..(first + tokens) * group * width;
            let probs = &mut probs[..rows * visible];
            probabilities(&q[range.clone()], group, past + first, &keys, rules, probs);
            let (left, out) = (Left { data: probs, row: visible, col: 1 }, &mut out[range]);
            Product { left, right: &values, rows, inner: visible, cols: width, out, stride: width, add: false }.run();
        }
        out
    }

    fn backward(&self, [q, k, v]: [&[f32]; 3], dy: &[f32], rules: Rules, scratch: &mut Scratch) -> Gradients {
        let (heads, past, len) = (rules.heads, self.text.prefix.len(), self.text.len());
        let (width, group) = (heads.width, heads.group());
        let (k, v) = (self.gather(k, heads), self.gather(v, heads));
        let keys_t = Packed::transposed(&k, len, width, width);
        let keys = Packed::rows(&k, len, width, width);
        let values_t = Packed::transposed(&v, len, width, width);
        let (q, dy) = (self.own(q, heads), self.own(dy, heads));
        let probs = room(&mut scratch.probs, BLOCK.max(group) * len);
        let scores = room(&mut scratch.scores, BLOCK.max(group) * len);
        let mut gradients = Gradients { q: vec![0.0; q.len()], k: vec![0.0; len * width], v: vec![0.0; len * width] };
        for (first, tokens) in self.blocks(heads) {
            let (rows, visible) = (tokens * group, past + first + tokens);
            let range = first * group * width..(first + tokens) * group * width;
            let (probs, scores) = (&mut probs[..rows * visible], &mut scores[..rows * visible]);
            let (q, dy) = (&q[range.clone()], &dy[range.clone()]);
            probabilities(q, group, past + first, &keys_t, rules, probs);
            let left = Left { data: dy, row: width, col: 1 };
            Product { left, right: &values_t, rows, inner: width, cols: visible, out: scores, stride: visible, add: false }.run();
            softmax_backward(&*probs, &mut *scores, visible, heads.scale);
            let (left, dq) = (Left { data: scores, row: visible, col: 1 }, &mut gradients.q[range]);
            Product { left, right: &keys, rows, inner: visible, cols: width, out: dq, stride: width, add: false }.run();
            for (weights, source, sink) in [(&*scores, q, &mut gradients.k), (&*probs, dy, &mut gradients.v)] {
                let right = Packed::rows(source, rows, width, width);
                let left = Left { data: weights, row: 1, col: visible };
                Product { left, right: &right, rows: visible, inner: rows, cols: width, out: sink, stride: width, add: true }
                    .run();
            }
        }
        gradients
    }
}

/// Memory that units of one thread use in turn.
#[derive(Default)]
struct Scratch {
    probs: Vec<f32>,
    scores: Vec<f32>,
}

fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// What one unit adds to: its own queries, and the keys and values of every row it sees.
struct Gradients {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Attention of `q (tokens × query heads·width)` to `k` and `v (tokens × key heads·width)`, replacing what `out` held. The
/// texts cover every token once as their own.
pub fn forward(qkv: [&[f32]; 3], rules: Rules, texts: &[Text], out: &mut [f32]) {
    let heads = rules.heads;
    let units = units(texts, heads);
    let parts: Vec<Vec<f32>> = units.par_iter().map_init(Scratch::default, |scratch, u| u.forward(qkv, rules, scratch)).collect();
    let parts: Vec<(&Unit, &[f32])> = units.iter().zip(parts.iter().map(Vec::as_slice)).collect();
    put_back(texts, heads, &parts, out);
}

/// Puts what units wrote for their own rows into its place, texts side by side.
fn put_back(texts: &[Text], heads: Heads, parts: &[(&Unit, &[f32])], mut out: &mut [f32]) {
    let (narrow, stride) = (heads.group() * heads.width, heads.query * heads.width);
    let mut places = Vec::with_capacity(texts.len());
    for text in texts {
        let (own, rest) = out.split_at_mut(text.own.len() * stride);
        out = rest;
        places.push((text, own));
    }
    places.into_par_iter().for_each(|(text, out)| {
        for (unit, part) in parts.iter().filter(|(unit, _)| std::ptr::eq(unit.text, text)) {
            for (row, part) in out.chunks_exact_mut(stride).zip(part.chunks_exact(narrow)) {
                row[unit.kv * narrow..][..narrow].copy_from_slice(part);
            }
        }
    });
}

/// Gradients of q, k and v, replacing what the three held.
pub fn backward(qkv: [&[f32]; 3], dy: &[f32], rules: Rules, texts: &[Text], [dq, dk, dv]: [&mut [f32]; 3]) {
    let heads = rules.heads;
    let (width, stride) = (heads.width, heads.key * heads.width);
    let units = units(texts, heads);
    let parts: Vec<Gradients> =
        units.par_iter().map_init(Scratch::default, |scratch, u| u.backward(qkv, dy, rules, scratch)).collect();
    let queries: Vec<(&Unit, &[f32])> = units.iter().zip(parts.iter().map(|p| p.q.as_slice())).collect();
    put_back(texts, heads, &queries, dq);
    // A prefix gets gradients from every text that goes on from it, so rows are added up, keys beside values.
    let add = |sink: &mut [f32], of: fn(&Gradients) -> &[f32]| {
        sink.fill(0.0);
        for (unit, part) in units.iter().zip(&parts) {
            for (row, part) in unit.text.rows().zip(of(part).chunks_exact(width)) {
                sink[row * stride + unit.kv * width..][..width].iter_mut().zip(part).for_each(|(s, p)| *s += p);
            }
        }
    };
    rayon::join(|| add(dk, |g| &g.k), || add(dv, |g| &g.v));
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

#[cfg(test)]
pub(super) mod tests {
    use super::super::check::{gradients, noise};
    use super::*;

    pub const HEADS: Heads = Heads { query: 4, key: 2, width: 6, scale: 0.408 };

    /// The definition, one number at a time.
    pub fn plain([q, k, v]: [&[f32]; 3], rules: Rules, texts: &[Text]) -> Vec<f32> {
        let Heads { query, key, width, scale } = rules.heads;
        let mut out = vec![0.0; q.len()];
        for text in texts {
            let rows: Vec<usize> = text.rows().collect();
            for (own, i) in text.own.clone().enumerate() {
                let visible = text.prefix.len() + own + 1;
                let seen = &rows[visible.saturating_sub(rules.window.unwrap_or(visible))..visible];
                for head in 0..query {
                    let at = |j: usize, d: usize| (j * key + head / (query / key)) * width + d;
                    let score =
                        |j: usize| (0..width).map(|d| q[(i * query + head) * width + d] * k[at(j, d)]).sum::<f32>() * scale;
                    let weights: Vec<f32> = seen.iter().map(|j| score(*j).exp()).collect();
                    let sum: f32 = weights.iter().sum();
                    for d in 0..width {
                        let mixed: f32 = seen.iter().zip(&weights).map(|(j, w)| w * v[at(*j, d)]).sum();
                        out[(i * query + head) * width + d] = mixed / sum;
                    }
                }
            }
        }
        out
    }

    fn attend(qkv: [&[f32]; 3], rules: Rules, texts: &[Text]) -> Vec<f32> {
        let mut out = vec![9.0; qkv[0].len()];
        forward(qkv, rules, texts, &mut out);
        out
    }

    fn texts() -> Vec<Text> {
        let on = |own, prefix| Text { own, prefix };
        vec![Text::alone(0..3), Text::alone(3..60), on(60..103, 3..60), on(103..104, 3..60), on(104..104, 0..3)]
    }

    #[test]
    fn each_text_attends_to_its_own_past_and_its_prefix_only() {
        let (q, k, v) = (noise(104 * 24, 1), noise(104 * 12, 2), noise(104 * 12, 3));
        for window in [None, Some(1), Some(20)] {
            let rules = Rules { heads: HEADS, window };
            let expected = plain([&q, &k, &v], rules, &texts());
            let ours = attend([&q, &k, &v], rules, &texts());
            assert!(ours.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{window:?}");
        }
    }

    #[test]
    fn its_gradients_are_the_numeric_ones() {
        let heads = Heads { query: 2, key: 1, width: 4, scale: 0.5 };
        let texts = [Text::alone(0..4), Text { own: 4..6, prefix: 0..3 }];
        for window in [None, Some(2)] {
            let rules = Rules { heads, window };
            let value = |x: &[Vec<f32>]| attend([&x[0], &x[1], &x[2]], rules, &texts);
            let pull = |x: &[Vec<f32>], dy: &[f32]| {
                let mut d = [vec![5.0; 48], vec![5.0; 24], vec![5.0; 24]];
                let [dq, dk, dv] = &mut d;
                backward([&x[0], &x[1], &x[2]], dy, rules, &texts, [dq, dk, dv]);
                d.to_vec()
            };
            gradients(&[noise(48, 1), noise(24, 2), noise(24, 3)], 3e-3, value, pull);
        }
    }

    #[test]
    fn a_prefix_shared_by_two_texts_is_that_prefix_written_twice() {
        // Rows 0..30 twice over, each followed by its own tail, against the shared form.
        let (n, p) = (30 + 25 + 60, 30);
        let (q, k, v, dy) = (noise(n * 24, 1), noise(n * 12, 2), noise(n * 12, 3), noise(n * 24, 4));
        let rules = Rules { heads: HEADS, window: None };
        let shared = [Text::alone(0..30), Text { own: 30..55, prefix: 0..30 }, Text { own: 55..115, prefix: 0..30 }];
        let twice = |x: &[f32], w: usize| [&x[..55 * w], &x[..p * w], &x[55 * w..]].concat();
        let apart = [Text::alone(0..55), Text::alone(55..145)];
        let mut d_shared = [vec![0.0; n * 24], vec![0.0; n * 12], vec![0.0; n * 12]];
        let [dq, dk, dv] = &mut d_shared;
        backward([&q, &k, &v], &dy, rules, &shared, [dq, dk, dv]);
        // The second copy of the prefix carries no gradient of its own output.
        let mut dy_twice = twice(&dy, 24);
        dy_twice[55 * 24..85 * 24].fill(0.0);
        let (q2, k2, v2) = (twice(&q, 24), twice(&k, 12), twice(&v, 12));
        let mut d_apart = [vec![0.0; 145 * 24], vec![0.0; 145 * 12], vec![0.0; 145 * 12]];
        let [dq, dk, dv] = &mut d_apart;
        backward([&q2, &k2, &v2], &dy_twice, rules, &apart, [dq, dk, dv]);
        for (which, width) in [(1, 12), (2, 12)] {
            for i in 0..p * width {
                let both = d_apart[which][i] + d_apart[which][55 * width + i];
                assert!((d_shared[which][i] - both).abs() < 1e-4, "{which} at {i}");
            }
            assert!(
                d_shared[which][p * width..55 * width]
                    .iter()
                    .zip(&d_apart[which][p * width..])
                    .all(|(a, b)| (a - b).abs() < 1e-4)
            );
        }
    }
}
