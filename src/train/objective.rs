//! The objective: completion-only cross-entropy of one optimizer step, Σᵢ wᵢ Σₜ nllᵢₜ / Σᵢ wᵢ Tᵢ with Tᵢ the loss tokens
//! of example i, and its gradient. Owns the cutting of a step into packed micro-batches and their fixed order of
//! summation; the micro-batches run side by side, and the sum does not depend on how many cores there are.

use rayon::prelude::*;

use crate::student::backprop::{Backprop, Lesson, Prepared};
use crate::student::ops::{Dropout, LossRows};
use crate::student::parameters::Parameters;
use crate::student::random::Stream;
use crate::student::{Encoded, PackedTexts};

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

/// What makes learning by heart harder: in training, prompt tokens are blanked out (no single word of the few articles
/// there are can be relied on) and activations dropped.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// Mean share of prompt tokens.
    pub prompt: f64,
    /// What stands for a token that is blanked out.
    pub blank: u32,
    /// Share of activations.
    pub hidden: f64,
    pub seed: u64,
    pub step: u64,
}

impl Noise {
    /// Dropped activations of one micro-batch.
    fn dropout(&self, micro_batch: usize) -> Dropout {
        let parts = ["hidden", &self.step.to_string(), &micro_batch.to_string()];
        let key = (Stream::new(self.seed, &parts).unit() * f64::from(u32::MAX)) as u32;
        Dropout { share: self.hidden as f32, key }
    }

    /// A row's ids, the `place`-th of its step, with blanks in the prompt.
    fn ids(&self, row: &Row, place: usize) -> Vec<u32> {
        let mut ids = row.encoded.ids.clone();
        if self.prompt > 0.0 {
            let mut stream = Stream::new(self.seed, &["dropout", &self.step.to_string(), &place.to_string()]);
            // Every text loses another part, from nothing to twice the share, so that quoting is learnt beside guessing.
            let share = (2.0 * self.prompt * stream.unit()).min(0.9);
            for id in &mut ids[..row.encoded.loss_from] {
                if stream.unit() < share {
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
        let seat = if lap.is_multiple_of(2) { i % count } else { count - 1 - i % count };
        dealt[seat].push(row);
    }
    dealt
}

/// One packed micro-batch and its loss positions.
fn pack(rows: &[(usize, &Row)], weight_sum: f64, noise: Option<Noise>) -> (PackedTexts, LossRows) {
    let texts: Vec<Vec<u32>> =
        rows.iter().map(|(place, r)| noise.map_or_else(|| r.encoded.ids.clone(), |n| n.ids(r, *place))).collect();
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
    (batch, at)
}

fn totals(rows: &[&Row]) -> (f64, Pass) {
    let weight_sum: f64 = rows.iter().map(|r| f64::from(r.weight) * r.encoded.loss_tokens() as f64).sum();
    let tokens = rows.iter().map(|r| r.encoded.ids.len()).sum();
    let loss_tokens = rows.iter().map(|r| r.encoded.loss_tokens()).sum();
    (weight_sum, Pass { loss: 0.0, tokens, loss_tokens })
}

/// Loss and gradients of one optimizer step. Rows without weight give 0, not NaN.
pub fn learn(backprop: &Backprop, weights: &Parameters, rows: &[&Row], micro_batch: usize, noise: Noise) -> (Pass, Parameters) {
    let (weight_sum, mut pass) = totals(rows);
    if weight_sum <= 0.0 {
        return (pass, weights.like());
    }
    let prepared = Prepared::new(weights, true);
    let parts: Vec<(f64, Parameters)> = micro_batches(rows, micro_batch)
        .par_iter()
        .enumerate()
        .map(|(i, rows)| {
            let (batch, at) = pack(rows, weight_sum, Some(noise));
            let mut gradients = weights.like();
            let lesson = Lesson { gradients: &mut gradients, dropout: noise.dropout(i) };
            (backprop.pass(&prepared, &batch, &at, Some(lesson)), gradients)
        })
        .collect();
    let mut parts = parts.into_iter();
    let Some((loss, mut sum)) = parts.next() else { return (pass, weights.like()) };
    pass.loss = loss;
    for (loss, gradients) in parts {
        pass.loss += loss;
        sum.add(&gradients);
    }
    (pass, sum)
}

/// Mean loss over rows, without gradients or dropout.
pub fn evaluate(backprop: &Backprop, weights: &Parameters, rows: &[&Row], micro_batch: usize) -> Pass {
    let (weight_sum, mut pass) = totals(rows);
    if weight_sum > 0.0 {
        let prepared = Prepared::new(weights, false);
        let losses: Vec<f64> = micro_batches(rows, micro_batch)
            .par_iter()
            .map(|rows| {
                let (batch, at) = pack(rows, weight_sum, None);
                backprop.pass(&prepared, &batch, &at, None)
            })
            .collect();
        pass.loss = losses.iter().sum();
    }
    pass
}

#[cfg(test)]
mod tests {
    use super::super::tests::{toy_rows, toy_weights};
    use super::*;

    const QUIET: Noise = Noise { prompt: 0.0, blank: 0, hidden: 0.0, seed: 0, step: 0 };

    fn setting() -> (Backprop, Parameters, Vec<Row>) {
        let (config, weights) = toy_weights();
        (Backprop::new(&config), weights, toy_rows())
    }

    #[test]
    fn micro_batches_add_up_to_the_whole_step() {
        let (backprop, weights, mut rows) = setting();
        rows[0].weight = 3.0;
        let rows: Vec<&Row> = rows.iter().collect();
        let (whole, all) = learn(&backprop, &weights, &rows, rows.len(), QUIET);
        let (parts, sum) = learn(&backprop, &weights, &rows, 2, QUIET);
        assert!((whole.loss - parts.loss).abs() < 1e-4);
        assert!(all.numbers().iter().zip(sum.numbers()).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!((evaluate(&backprop, &weights, &rows, 3).loss - whole.loss).abs() < 1e-4);
    }

    #[test]
    fn the_loss_is_the_weighted_mean_over_loss_tokens() {
        let (backprop, weights, mut rows) = setting();
        let mean = |rows: &[&Row]| evaluate(&backprop, &weights, rows, 8);
        let (a, b) = (mean(&[&rows[0]]), mean(&[&rows[1]]));
        rows[1].weight = 1.0;
        rows[0].weight = 3.0;
        let together = learn(&backprop, &weights, &[&rows[0], &rows[1]], 8, QUIET).0;
        let (wa, wb) = (3.0 * a.loss_tokens as f64, b.loss_tokens as f64);
        assert!((together.loss - (a.loss * wa + b.loss * wb) / (wa + wb)).abs() < 1e-4);
    }

    #[test]
    fn the_prompt_carries_no_loss_and_a_weightless_step_gives_nought() {
        let (backprop, weights, mut rows) = setting();
        for row in &mut rows {
            row.weight = 0.0;
        }
        let (pass, gradients) = learn(&backprop, &weights, &rows.iter().collect::<Vec<_>>(), 2, QUIET);
        assert!(pass.loss == 0.0 && gradients.numbers().iter().all(|g| *g == 0.0));
        assert_eq!(pass.loss_tokens, rows.iter().map(|r| r.encoded.ids.len() - r.encoded.loss_from).sum::<usize>());
    }

    #[test]
    fn noise_blanks_prompt_tokens_only_and_repeats_itself() {
        let row = &toy_rows()[0];
        let noise = Noise { prompt: 0.5, seed: 1, step: 7, ..QUIET };
        let ids = noise.ids(row, 3);
        assert_eq!(ids, noise.ids(row, 3));
        assert_ne!(ids, Noise { step: 8, ..noise }.ids(row, 3));
        let from = row.encoded.loss_from;
        assert!(ids[from..] == row.encoded.ids[from..] && ids[..from] != row.encoded.ids[..from]);
    }
}
