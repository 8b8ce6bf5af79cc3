//! Cross-entropy at the positions that carry loss, fused with the output layer so that the logits of a whole batch
//! never exist at once.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::linear::add_weight_gradient;
use super::matmul::{Packed, multiply};
use super::{exp, numbers};

const NAME: &str = "linear_cross_entropy";
/// Positions whose logits exist at the same time.
const CHUNK: usize = 64;

/// Which row of the hidden states predicts which token, and how much it counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossRows {
    pub rows: Vec<u32>,
    pub targets: Vec<u32>,
    pub weights: Vec<f32>,
}

/// `Σᵢ weightᵢ · −log softmax(hidden[rowᵢ] · embedᵀ)[targetᵢ]`, a scalar. With `learn`, both gradients are computed in the
/// same pass over the logits (the loss ends the graph, so the gradient from above is one number that scales them).
pub fn linear_cross_entropy(hidden: &Tensor, embed: &Tensor, at: Arc<LossRows>, learn: bool) -> Result<Tensor> {
    hidden.apply_op2(embed, LinearCrossEntropy { at, learn, gradients: Mutex::new(None) })
}

struct LinearCrossEntropy {
    at: Arc<LossRows>,
    learn: bool,
    gradients: Mutex<Option<(Vec<f32>, Vec<f32>)>>,
}

vectorised! {
/// The weighted loss of some rows of logits, which become its gradient where that is asked for.
fn rows_loss<'a>(logits: &'a mut [f32], vocab: usize, targets: &'a [u32], weights: &'a [f32], learn: bool) -> f64 {
    let mut total = 0.0;
    for ((logits, target), weight) in logits.chunks_exact_mut(vocab).zip(targets).zip(weights) {
        total += f64::from(*weight) * f64::from(row_loss(logits, *target as usize));
        if learn {
            for v in logits {
                *v *= weight;
            }
        }
    }
    total
}
}

/// Turns one row of logits into its loss and, in place, into `softmax − one-hot`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn row_loss(logits: &mut [f32], target: usize) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (body, tail) = logits.as_chunks::<16>();
    for chunk in body {
        for i in 0..16 {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    let most = lanes.iter().chain(tail).copied().fold(f32::NEG_INFINITY, f32::max);
    let wanted = logits[target];
    let mut sums = [0.0f32; 16];
    let (body, tail) = logits.as_chunks_mut::<16>();
    for chunk in body {
        for i in 0..16 {
            chunk[i] = exp(chunk[i] - most);
            sums[i] += chunk[i];
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for value in tail {
        *value = exp(*value - most);
        sum += *value;
    }
    let scale = 1.0 / sum;
    for v in &mut *logits {
        *v *= scale;
    }
    logits[target] -= 1.0;
    sum.ln() + most - wanted
}

/// Where gradients go: both are added to.
pub(in crate::student) struct Learn<'a> {
    /// The output layer's weight, packed as rows.
    pub backward: &'a Packed,
    pub hidden: &'a mut [f32],
    pub embed: &'a mut [f32],
}

/// The weighted loss on plain slices, and both gradients where they are asked for.
pub(in crate::student) fn forward_backward(hidden: &[f32], forward: &Packed, at: &LossRows, mut learn: Option<Learn>) -> f64 {
    let (width, vocab) = (forward.inner(), forward.cols());
    let LossRows { rows, targets, weights } = at;
    let mut total = 0.0f64;
    for ((rows, targets), weights) in rows.chunks(CHUNK).zip(targets.chunks(CHUNK)).zip(weights.chunks(CHUNK)) {
        let picked: Vec<f32> = rows.iter().flat_map(|r| &hidden[*r as usize * width..][..width]).copied().collect();
        let mut logits = multiply(&picked, rows.len(), forward);
        total += rows_loss(&mut logits, vocab, targets, weights, learn.is_some());
        if let Some(Learn { backward, hidden: dh, embed: de }) = &mut learn {
            let rows_dh = multiply(&logits, rows.len(), backward);
            for (row, part) in rows.iter().zip(rows_dh.chunks_exact(width)) {
                dh[*row as usize * width..][..width].iter_mut().zip(part).for_each(|(a, b)| *a += b);
            }
            add_weight_gradient(de, &logits, &picked, rows.len(), vocab, width);
        }
    }
    total
}

impl CustomOp2 for LinearCrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, hidden: &CpuStorage, hl: &Layout, embed: &CpuStorage, el: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((count, width), (vocab, inner)) = (hl.shape().dims2()?, el.shape().dims2()?);
        let LossRows { rows, targets, weights } = &*self.at;
        let legal = rows.iter().all(|r| (*r as usize) < count) && targets.iter().all(|t| (*t as usize) < vocab);
        if width != inner || rows.len() != targets.len() || rows.len() != weights.len() || !legal {
            candle_core::bail!("{NAME}: {} loss rows do not fit hidden {count} × {width} and {vocab} tokens", rows.len());
        }
        let (hidden, embed) = (numbers(hidden, hl, NAME)?, numbers(embed, el, NAME)?);
        let forward = Packed::transposed(embed, vocab, width, width);
        let backward = self.learn.then(|| Packed::rows(embed, vocab, width, width));
        let mut dh = vec![0.0; if self.learn { count * width } else { 0 }];
        let mut de = vec![0.0; if self.learn { vocab * width } else { 0 }];
        let learn = backward.as_ref().map(|backward| Learn { backward, hidden: &mut dh, embed: &mut de });
        let total = forward_backward(hidden, &forward, &self.at, learn);
        if self.learn {
            *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = Some((dh, de));
        }
        Ok((CpuStorage::F32(vec![total as f32]), Shape::from(())))
    }

    fn bwd(&self, hidden: &Tensor, embed: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some((dh, de)) = self.gradients.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            candle_core::bail!("{NAME}: gradients were not asked for, or taken twice");
        };
        let scale = f64::from(dy.to_scalar::<f32>()?);
        let scaled = |numbers, like: &Tensor| {
            let tensor = Tensor::from_vec(numbers, like.dims(), like.device())?;
            if (scale - 1.0).abs() < f64::EPSILON { Ok(tensor) } else { tensor * scale }
        };
        Ok((Some(scaled(dh, hidden)?), Some(scaled(de, embed)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, noise_tensor};
    use super::*;

    fn rows() -> Arc<LossRows> {
        Arc::new(LossRows { rows: vec![0, 2, 3], targets: vec![1, 18, 0], weights: vec![0.5, 1.0, 2.0] })
    }

    #[test]
    fn the_loss_is_the_weighted_sum_of_negative_log_likelihoods() {
        let (hidden, embed) = (noise_tensor(&[4, 6], 1), noise_tensor(&[19, 6], 2));
        let logits: Vec<Vec<f32>> = hidden.matmul(&embed.t().unwrap()).unwrap().to_vec2().unwrap();
        let at = rows();
        let nll = |row: u32, target: u32| {
            let row = &logits[row as usize];
            row.iter().map(|l| l.exp()).sum::<f32>().ln() - row[target as usize]
        };
        let expected: f32 = (0..3).map(|i| at.weights[i] * nll(at.rows[i], at.targets[i])).sum();
        let ours: f32 = linear_cross_entropy(&hidden, &embed, at, false).unwrap().to_scalar().unwrap();
        assert!((ours - expected).abs() < 1e-5, "{ours} against {expected}");
    }

    #[test]
    fn its_gradients_are_the_numeric_ones() {
        let inputs = [noise_tensor(&[4, 6], 1), noise_tensor(&[19, 6], 2)];
        gradients(&inputs, 2e-3, |t| linear_cross_entropy(&t[0], &t[1], rows(), true));
    }

    #[test]
    fn a_batch_without_loss_positions_loses_nothing() {
        let loss = linear_cross_entropy(&noise_tensor(&[4, 6], 1), &noise_tensor(&[19, 6], 2), Arc::default(), true).unwrap();
        assert!(loss.to_scalar::<f32>().unwrap().abs() < f32::EPSILON);
    }
}
