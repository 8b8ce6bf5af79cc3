//! The objective: completion-only cross-entropy of one optimizer step, Σᵢ wᵢ Σₜ nllᵢₜ / Σᵢ wᵢ Tᵢ with Tᵢ the loss tokens
//! of example i, and its gradient. Owns the cutting of a step into packed micro-batches and their fixed order of
//! summation; the micro-batches run side by side, and the sum does not depend on how many cores there are.

use candle_core::Tensor;
use rayon::prelude::*;

use super::TrainError;
use super::optimizer::Gradients;
use crate::student::ops::LossRows;
use crate::student::random::Stream;
use crate::student::weights::Weights;
use crate::student::{Decoder, Encoded, PackedTexts};

/// An example ready for arithmetic.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub encoded: Encoded,
    pub weight: f32,
}

/// What one pass over some rows gave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pass {
    pub loss: f64,
    pub tokens: usize,
    pub loss_tokens: usize,
}

/// Blanks out prompt tokens in training, so that no single word of the few articles there are can be learnt by heart.
#[derive(Debug, Clone, Copy)]
pub struct PromptDropout {
    pub share: f64,
    pub blank: u32,
    /// Ids from here on are text; the ones below are chat marks and stay.
    pub seed: u64,
    pub step: u64,
}

impl PromptDropout {
    fn apply(&self, row: &Row, place: usize) -> Vec<u32> {
        let mut ids = row.encoded.ids.clone();
        if self.share > 0.0 {
            let mut stream = Stream::new(self.seed, &["dropout", &self.step.to_string(), &place.to_string()]);
            for id in &mut ids[..row.encoded.loss_from] {
                if stream.unit() < self.share {
                    *id = self.blank;
                }
            }
        }
        ids
    }
}

/// Sorts a step's rows by length and cuts them into micro-batches of at most `size` rows. Nothing is padded; sorting
/// keeps the pieces' work even.
fn micro_batches<'a>(rows: &[&'a Row], size: usize) -> Vec<Vec<(usize, &'a Row)>> {
    let mut sorted: Vec<(usize, &Row)> = rows.iter().copied().enumerate().collect();
    sorted.sort_by_key(|(place, row)| (row.encoded.ids.len(), *place));
    // Dealt like cards: every micro-batch gets short and long rows.
    let count = sorted.len().div_ceil(size.max(1)).max(1);
    let mut dealt = vec![Vec::new(); count];
    for (i, row) in sorted.into_iter().enumerate() {
        let lap = i / count;
        let seat = if lap % 2 == 0 { i % count } else { count - 1 - i % count };
        dealt[seat].push(row);
    }
    dealt
}

fn loss_of(
    decoder: &Decoder,
    rows: &[(usize, &Row)],
    weight_sum: f64,
    dropout: Option<PromptDropout>,
) -> candle_core::Result<Tensor> {
    let texts: Vec<Vec<u32>> =
        rows.iter().map(|(place, r)| dropout.map_or_else(|| r.encoded.ids.clone(), |d| d.apply(r, *place))).collect();
    // The last token predicts nothing, so it is not computed.
    let batch = PackedTexts::new(texts.iter().map(|ids| (&ids[..ids.len() - 1], 0)));
    let mut at = LossRows::default();
    for ((_, row), range) in rows.iter().zip(batch.texts()) {
        for predicted in row.encoded.loss_from..row.encoded.ids.len() {
            at.rows.push((range.start + predicted - 1) as u32);
            at.targets.push(row.encoded.ids[predicted]);
            at.weights.push((f64::from(row.weight) / weight_sum) as f32);
        }
    }
    let hidden = decoder.hidden(&batch)?;
    decoder.loss(&hidden, at, dropout.is_some())
}

fn totals(rows: &[&Row]) -> (f64, Pass) {
    let weight_sum: f64 = rows.iter().map(|r| f64::from(r.weight) * r.encoded.loss_tokens() as f64).sum();
    let tokens = rows.iter().map(|r| r.encoded.ids.len()).sum();
    let loss_tokens = rows.iter().map(|r| r.encoded.loss_tokens()).sum();
    (weight_sum, Pass { loss: 0.0, tokens, loss_tokens })
}

/// Loss and gradients of one optimizer step. Rows without weight give 0, not NaN.
pub fn learn(
    decoder: &Decoder,
    vars: &Weights,
    rows: &[&Row],
    micro_batch: usize,
    dropout: PromptDropout,
) -> Result<(Pass, Gradients), TrainError> {
    let (weight_sum, mut pass) = totals(rows);
    let mut sum: Gradients = vars.iter().map(|(name, var)| (name.clone(), vec![0.0; var.elem_count()])).collect();
    if weight_sum <= 0.0 {
        return Ok((pass, sum));
    }
    let parts: Vec<(f64, Gradients)> = micro_batches(rows, micro_batch)
        .par_iter()
        .map(|rows| {
            let loss = loss_of(decoder, rows, weight_sum, Some(dropout))?;
            let store = loss.backward()?;
            let mut gradients = Gradients::new();
            for (name, var) in vars {
                // A missing gradient is a defect that the caller's guard names; here it counts as nought.
                if let Some(gradient) = store.get(var) {
                    gradients.insert(name.clone(), gradient.flatten_all()?.to_vec1()?);
                }
            }
            Ok::<_, candle_core::Error>((f64::from(loss.to_scalar::<f32>()?), gradients))
        })
        .collect::<Result<_, _>>()?;
    for (loss, gradients) in parts {
        pass.loss += loss;
        for (name, gradient) in gradients {
            if let Some(total) = sum.get_mut(&name) {
                total.iter_mut().zip(gradient).for_each(|(a, b)| *a += b);
            }
        }
    }
    Ok((pass, sum))
}

/// Mean loss over rows, without gradients or dropout.
pub fn evaluate(decoder: &Decoder, rows: &[&Row], micro_batch: usize) -> Result<Pass, TrainError> {
    let (weight_sum, mut pass) = totals(rows);
    if weight_sum <= 0.0 {
        return Ok(pass);
    }
    let losses: Vec<f64> = micro_batches(rows, micro_batch)
        .par_iter()
        .map(|rows| Ok(f64::from(loss_of(decoder, rows, weight_sum, None)?.to_scalar::<f32>()?)))
        .collect::<Result<_, candle_core::Error>>()?;
    pass.loss = losses.iter().sum();
    Ok(pass)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{toy_rows, toy_vars};
    use super::*;

    const NO_DROPOUT: PromptDropout = PromptDropout { share: 0.0, blank: 0, seed: 0, step: 0 };

    fn setting() -> (Decoder, Weights, Vec<Row>) {
        let (config, vars) = toy_vars();
        (Decoder::new(&config, &vars).unwrap(), vars, toy_rows())
    }

    #[test]
    fn micro_batches_add_up_to_the_whole_step() {
        let (decoder, vars, mut rows) = setting();
        rows[0].weight = 3.0;
        let rows: Vec<&Row> = rows.iter().collect();
        let (whole, all) = learn(&decoder, &vars, &rows, rows.len(), NO_DROPOUT).unwrap();
        let (parts, sum) = learn(&decoder, &vars, &rows, 2, NO_DROPOUT).unwrap();
        assert!((whole.loss - parts.loss).abs() < 1e-4);
        for (name, gradient) in &all {
            assert!(gradient.iter().zip(&sum[name]).all(|(a, b)| (a - b).abs() < 1e-4), "{name}");
        }
        assert!((evaluate(&decoder, &rows, 3).unwrap().loss - whole.loss).abs() < 1e-4);
    }

    #[test]
    fn the_loss_is_the_weighted_mean_over_loss_tokens() {
        let (decoder, vars, mut rows) = setting();
        let mean = |rows: &[&Row]| evaluate(&decoder, rows, 8).unwrap();
        let (a, b) = (mean(&[&rows[0]]), mean(&[&rows[1]]));
        rows[1].weight = 1.0;
        rows[0].weight = 3.0;
        let together = learn(&decoder, &vars, &[&rows[0], &rows[1]], 8, NO_DROPOUT).unwrap().0;
        let (wa, wb) = (3.0 * a.loss_tokens as f64, b.loss_tokens as f64);
        assert!((together.loss - (a.loss * wa + b.loss * wb) / (wa + wb)).abs() < 1e-4);
    }

    #[test]
    fn the_prompt_carries_no_loss_and_a_weightless_step_gives_nought() {
        let (decoder, vars, mut rows) = setting();
        for row in &mut rows {
            row.weight = 0.0;
        }
        let (pass, gradients) = learn(&decoder, &vars, &rows.iter().collect::<Vec<_>>(), 2, NO_DROPOUT).unwrap();
        assert!(pass.loss == 0.0 && gradients.values().flatten().all(|g| *g == 0.0));
        assert_eq!(pass.loss_tokens, rows.iter().map(|r| r.encoded.ids.len() - r.encoded.loss_from).sum::<usize>());
    }

    #[test]
    fn dropout_blanks_prompt_tokens_only_and_repeats_itself() {
        let row = &toy_rows()[0];
        let dropout = PromptDropout { share: 0.5, blank: 0, seed: 1, step: 7 };
        let ids = dropout.apply(row, 3);
        assert_eq!(ids, dropout.apply(row, 3));
        assert_ne!(ids, PromptDropout { step: 8, ..dropout }.apply(row, 3));
        let from = row.encoded.loss_from;
        assert!(ids[from..] == row.encoded.ids[from..] && ids[..from] != row.encoded.ids[..from]);
    }
}
