//! Cross-entropy at the positions that carry loss, fused with the output layer: logits exist for a limited number of
//! positions at once, and the output layer is widened and packed block by block, never as a whole.

use rayon::prelude::*;

use super::exp;
use super::matmul::{Left, Packed, Product, RowSource, add_transposed};

/// Bytes of logits at once; more positions at once reuse a packed block longer.
const LOGIT_BYTES: usize = 96 << 20;
/// Rows of the output layer in one block.
const BLOCK: usize = 1024;

/// Which row of a batch predicts which token, and how much it counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossRows {
    /// Ascending, each once.
    pub rows: Vec<u32>,
    pub targets: Vec<u32>,
    pub weights: Vec<f32>,
}

/// The output layer: `vocab × width`, given by rows.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub vocab: usize,
    pub width: usize,
    pub source: &'a RowSource<'a>,
}

/// Where gradients go.
pub struct Learn<'a> {
    /// Of the hidden states; replaced.
    pub hidden: &'a mut [f32],
    /// Of the output layer, where it learns; added to.
    pub head: Option<&'a mut [f32]>,
}

/// Positions whose logits exist at the same time.
pub fn chunk(vocab: usize) -> usize {
    (LOGIT_BYTES / 4 / vocab.max(1)).clamp(16, 1024)
}

/// `Σᵢ weightᵢ · −log softmax(hiddenᵢ · headᵀ)[targetᵢ]` with one hidden state for each loss row, and the gradients where
/// they are asked for.
pub fn forward_backward(hidden: &[f32], head: Head, at: &LossRows, mut learn: Option<Learn>) -> f64 {
    let chunk = chunk(head.vocab);
    let mut total = 0.0;
    for (n, (targets, weights)) in at.targets.chunks(chunk).zip(at.weights.chunks(chunk)).enumerate() {
        let (rows, range) = (targets.len(), n * chunk * head.width..(n * chunk + targets.len()) * head.width);
        let hidden = &hidden[range.clone()];
        let mut blocks = logits(hidden, rows, head);
        let norms = normalisers(&blocks, rows);
        for (i, (target, weight)) in targets.iter().zip(weights).enumerate() {
            let (block, column) = (*target as usize / BLOCK, *target as usize % BLOCK);
            let wanted = blocks[block][i * width_of(block, head.vocab) + column];
            total += f64::from(*weight) * f64::from(norms[i] - wanted);
        }
        if let Some(Learn { hidden: d_hidden, head: d_head }) = &mut learn {
            let places = Places { norms: &norms, targets, weights };
            blocks.par_iter_mut().enumerate().for_each(|(n, block)| softmax_less_one_hot(block, n * BLOCK, &places));
            pull(&blocks, rows, head, &mut d_hidden[range]);
            if let Some(d_head) = d_head {
                for (block, d_head) in blocks.iter().zip(d_head.chunks_mut(BLOCK * head.width)) {
                    add_transposed(block, hidden, rows, d_head);
                }
            }
        }
    }
    total
}

fn width_of(block: usize, vocab: usize) -> usize {
    BLOCK.min(vocab - block * BLOCK)
}

/// Logits of some rows, block by block of the vocabulary; each block is `rows × its columns`.
fn logits(picked: &[f32], rows: usize, head: Head) -> Vec<Vec<f32>> {
    let block = |right: &mut Packed, n: usize| {
        let cols = width_of(n, head.vocab);
        right.fill_forward(cols, head.width, &|from, into| (head.source)(n * BLOCK + from, into));
        let mut out = vec![0.0; rows * cols];
        let left = Left { data: picked, row: head.width, col: 1 };
        Product { left, right, rows, inner: head.width, cols, out: &mut out, stride: cols, add: false }.run();
        out
    };
    (0..head.vocab.div_ceil(BLOCK)).into_par_iter().map_init(Packed::default, block).collect()
}

/// Logits of some rows (`rows × vocab`).
pub fn all_logits(picked: &[f32], rows: usize, head: Head) -> Vec<f32> {
    let blocks = logits(picked, rows, head);
    let row = |i: usize| {
        blocks.iter().enumerate().flat_map(move |(n, block)| &block[i * width_of(n, head.vocab)..][..width_of(n, head.vocab)])
    };
    (0..rows).flat_map(row).copied().collect()
}

/// log Σ e^logit of each row.
fn normalisers(blocks: &[Vec<f32>], rows: usize) -> Vec<f32> {
    let parts: Vec<Vec<(f32, f32)>> = blocks.par_iter().map(|block| partial(block, rows)).collect();
    let row = |i: usize| {
        let most = parts.iter().map(|p| p[i].0).fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = parts.iter().map(|p| f64::from(p[i].1) * f64::from(p[i].0 - most).exp()).sum();
        most + sum.ln() as f32
    };
    (0..rows).map(row).collect()
}

vectorised! {
/// Of each row of a block: its largest number, and Σ e^(number − largest).
fn partial<'a>(block: &'a [f32], rows: usize) -> Vec<(f32, f32)> {
    let mut parts = Vec::with_capacity(rows);
    for row in block.chunks_exact(block.len() / rows.max(1)) {
        let mut lanes = [f32::NEG_INFINITY; 16];
        let (body, tail) = row.as_chunks::<16>();
        for chunk in body {
            for i in 0..16 {
                lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
            }
        }
        let most = lanes.iter().chain(tail).copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0.0f32; 16];
        for chunk in body {
            for i in 0..16 {
                sums[i] += exp(chunk[i] - most);
            }
        }
        let tail: f32 = tail.iter().map(|v| exp(*v - most)).sum();
        parts.push((most, sums.iter().sum::<f32>() + tail));
    }
    parts
}
}

struct Places<'a> {
    norms: &'a [f32],
    targets: &'a [u32],
    weights: &'a [f32],
}

vectorised! {
/// A block of logits becomes its gradient, `weight · (softmax − one-hot)`.
fn softmax_less_one_hot<'a>(block: &'a mut [f32], first: usize, at: &'a Places<'a>) -> () {
    let cols = block.len() / at.norms.len().max(1);
    for (i, row) in block.chunks_exact_mut(cols).enumerate() {
        let (norm, weight) = (at.norms[i], at.weights[i]);
        for v in &mut *row {
            *v = exp(*v - norm) * weight;
        }
        if let Some(hit) = (at.targets[i] as usize).checked_sub(first).and_then(|column| row.get_mut(column)) {
            *hit -= weight;
        }
    }
}
}

/// The gradient of the hidden states: `Σ block · head`, blocks in their order.
fn pull(blocks: &[Vec<f32>], rows: usize, head: Head, out: &mut [f32]) {
    let mut right = Packed::default();
    for (n, block) in blocks.iter().enumerate() {
        let cols = width_of(n, head.vocab);
        right.fill_backward(cols, head.width, &|from, into| (head.source)(n * BLOCK + from, into));
        super::matmul::times(block, rows, &right, out, n > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, noise};
    use super::*;

    fn rows() -> LossRows {
        LossRows { rows: vec![0, 1, 2], targets: vec![1, 18, 0], weights: vec![0.5, 1.0, 2.0] }
    }

    fn loss(hidden: &[f32], head: &[f32], at: &LossRows, learn: Option<Learn>) -> f64 {
        let source = |from: usize, into: &mut [f32]| into.copy_from_slice(&head[from * 6..][..into.len()]);
        forward_backward(hidden, Head { vocab: head.len() / 6, width: 6, source: &source }, at, learn)
    }

    /// The definition, with a vocabulary past one block.
    fn plain(hidden: &[f32], head: &[f32], at: &LossRows) -> f64 {
        let nll = |row: usize, target: u32| {
            let hidden = &hidden[row * 6..][..6];
            let logits: Vec<f64> =
                head.chunks(6).map(|w| w.iter().zip(hidden).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()).collect();
            logits.iter().map(|l| l.exp()).sum::<f64>().ln() - logits[target as usize]
        };
        (0..at.targets.len()).map(|i| f64::from(at.weights[i]) * nll(i, at.targets[i])).sum()
    }

    #[test]
    fn the_loss_is_the_weighted_sum_of_negative_log_likelihoods() {
        for vocab in [19, BLOCK + 40] {
            let (hidden, head) = (noise(18, 1), noise(vocab * 6, 2));
            let mut at = rows();
            at.targets[1] = vocab as u32 - 1;
            assert!((loss(&hidden, &head, &at, None) - plain(&hidden, &head, &at)).abs() < 1e-4, "{vocab}");
        }
    }

    #[test]
    fn its_gradients_are_the_numeric_ones() {
        let value = |x: &[Vec<f32>]| vec![loss(&x[0], &x[1], &rows(), None) as f32];
        let pull = |x: &[Vec<f32>], dy: &[f32]| {
            let (mut hidden, mut head) = (vec![7.0; 18], vec![0.0; 19 * 6]);
            loss(&x[0], &x[1], &rows(), Some(Learn { hidden: &mut hidden, head: Some(&mut head) }));
            [hidden, head].map(|g| g.iter().map(|v| v * dy[0]).collect()).to_vec()
        };
        gradients(&[noise(18, 1), noise(19 * 6, 2)], 3e-3, value, pull);
    }

    #[test]
    fn a_vocabulary_in_blocks_has_the_gradient_of_the_whole() {
        let vocab = 2 * BLOCK + 5;
        let (hidden, head) = (noise(6, 1), noise(vocab * 6, 2));
        let at = LossRows { rows: vec![0], targets: vec![BLOCK as u32 + 7], weights: vec![1.0] };
        let mut ours = vec![7.0; 6];
        loss(&hidden, &head, &at, Some(Learn { hidden: &mut ours, head: None }));
        for i in 0..6 {
            let moved = |delta: f32| {
                let mut hidden = hidden.clone();
                hidden[i] += delta;
                plain(&hidden, &head, &at)
            };
            let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((numeric - f64::from(ours[i])).abs() < 1e-4, "{i}");
        }
    }

    #[test]
    fn a_batch_without_loss_positions_loses_nothing() {
        assert!(loss(&[], &noise(19 * 6, 2), &LossRows::default(), None).abs() < f64::EPSILON);
    }
}
