//! The objective: completion-only cross-entropy of one optimizer step, Σᵢ wᵢ Σₜ nllᵢₜ / Σᵢ wᵢ Tᵢ with Tᵢ the loss tokens
//! of example i. Owns the rows, the denominator and the noise of training; who computes it is `learner`'s.

use crate::student::Encoded;
use crate::student::ops::Dropout;
use crate::student::pass::Drops;
use crate::student::random::Stream;

/// An example ready for arithmetic.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub encoded: Encoded,
    pub weight: f32,
}

/// What one pass over some rows gave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    pub loss: f64,
    /// Of the rows.
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
    /// Share of what adapters read.
    pub adapter: f64,
    pub seed: u64,
    pub step: u64,
}

impl Noise {
    /// Whether two rows that begin alike are alike no longer.
    pub fn parts_rows(&self) -> bool {
        self.prompt > 0.0 || self.hidden > 0.0 || self.adapter > 0.0
    }

    /// What one micro-batch drops.
    pub fn drops(&self, micro_batch: usize) -> Drops {
        let dropout = |what: &str, share: f64| {
            let parts = [what, &self.step.to_string(), &micro_batch.to_string()];
            let key = (Stream::new(self.seed, &parts).unit() * f64::from(u32::MAX)) as u32;
            Dropout { share: share as f32, key }
        };
        Drops { hidden: dropout("hidden", self.hidden), adapter: dropout("adapter", self.adapter) }
    }

    /// A row's ids, the `place`-th of its step, with blanks in the prompt.
    pub fn ids(&self, row: &Row, place: usize) -> Vec<u32> {
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

/// The denominator Σᵢ wᵢ Tᵢ, and what can be said before anything is computed.
pub fn totals(rows: &[&Row]) -> (f64, Measured) {
    let weight_sum: f64 = rows.iter().map(|r| f64::from(r.weight) * r.encoded.loss_tokens() as f64).sum();
    let tokens = rows.iter().map(|r| r.encoded.ids.len()).sum();
    let loss_tokens = rows.iter().map(|r| r.encoded.loss_tokens()).sum();
    (weight_sum, Measured { loss: 0.0, tokens, loss_tokens })
}

#[cfg(test)]
mod tests {
    use super::super::tests::toy_rows;
    use super::*;

    #[test]
    fn noise_blanks_prompt_tokens_only_and_repeats_itself() {
        let row = &toy_rows()[0];
        let noise = Noise { prompt: 0.5, seed: 1, step: 7, blank: 0, hidden: 0.0, adapter: 0.0 };
        let ids = noise.ids(row, 3);
        assert_eq!(ids, noise.ids(row, 3));
        assert_ne!(ids, Noise { step: 8, ..noise }.ids(row, 3));
        let from = row.encoded.loss_from;
        assert!(ids[from..] == row.encoded.ids[from..] && ids[..from] != row.encoded.ids[..from]);
    }
}
