//! Which bands a run has read so far, beside what the weights promise and the order reads in all.
//!
//! Owns the counting by step. A native run reads exactly its order, so that the count is of rows that were read; a trainer
//! elsewhere is handed the same order and believed.

use super::super::super::train_view::BandDraw;
use crate::dataset::OrderRow;
use crate::domain::Bands;
use crate::domain::recipe::{OrderStrategy, RunRules};

/// The bands of every row that is read, step by step.
pub(super) struct Mix {
    pub bands: Vec<BandDraw>,
    /// Rows of each band read after so many steps, one stretch a step; the first is of none.
    after: Vec<u64>,
}

impl Mix {
    pub fn of(rows: &[OrderRow], orders: &[Vec<u32>], run: &RunRules, bands: &Bands) -> Self {
        let n = bands.len();
        let mut promised = vec![0.0; n];
        for row in rows {
            let weight = if run.order == OrderStrategy::Weighted { row.weight } else { 1.0 };
            promised[bands.index(row.score)] += weight * f64::from(row.repeats);
        }
        let sum: f64 = promised.iter().sum();
        let mut read = vec![0; n];
        let mut after = read.clone();
        for step in orders.iter().flat_map(|order| order.chunks(run.effective_batch.max(1))) {
            for row in step.iter().filter_map(|i| rows.get(*i as usize)) {
                read[bands.index(row.score)] += 1;
            }
            after.extend(&read);
        }
        let band = |(i, name): (usize, &str)| BandDraw {
            band: name.to_owned(),
            drawn: 0,
            ordered: read[i],
            promised: if sum > 0.0 { promised[i] / sum } else { 0.0 },
        };
        Self { bands: bands.names().enumerate().map(band).collect(), after }
    }

    /// Rows of each band after `step` steps; all of them after the last.
    pub fn after(&self, step: u64) -> Vec<u64> {
        let n = self.bands.len().max(1);
        let steps = (self.after.len() / n).saturating_sub(1);
        let at = usize::try_from(step).unwrap_or(steps).min(steps);
        self.after.get(at * n..(at + 1) * n).unwrap_or_default().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Recipe;

    #[test]
    fn rows_are_counted_by_step_and_promises_by_weight() {
        let recipe = Recipe::from_toml(include_str!("../../../../data/recipes/stratos-v19.toml")).expect("sound");
        let mut run = recipe.seedling.run.clone();
        (run.effective_batch, run.order) = (2, OrderStrategy::Weighted);
        let row = |score, weight| OrderRow { score, repeats: 1, weight };
        let rows = [row(0.0, 1.0), row(9.9, 3.0)];
        let mix = Mix::of(&rows, &[vec![1, 1, 0], vec![1]], &run, &recipe.bands);
        let (low, high) = (recipe.bands.index(0.0), recipe.bands.index(9.9));
        let at = |step: u64| (mix.after(step)[low], mix.after(step)[high]);
        assert_eq!([at(0), at(1), at(2), at(3), at(99)], [(0, 0), (0, 2), (1, 2), (1, 3), (1, 3)]);
        assert_eq!((mix.bands[low].ordered, mix.bands[high].promised), (1, 0.75));
        let none = Mix::of(&[], &[], &run, &recipe.bands);
        assert!(none.after(5).iter().all(|n| *n == 0) && none.bands.iter().all(|b| b.promised == 0.0));
    }
}
