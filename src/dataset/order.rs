//! The order in which rows are read: explicit indices, so that what a trainer reads can be compared with the plan.
//!
//! Owns the sequence of one epoch as a pure function of rows, seed and epoch. Does not batch.

use rand_chacha::ChaCha8Rng;

use super::seeded::{generator, mix, shuffle, unit};
use crate::domain::Bands;
use crate::domain::recipe::{OrderStrategy, RunRules};

/// What the order needs to know of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderRow {
    pub score: f64,
    pub repeats: u32,
    /// How often the weighted sampler draws it, relative to others.
    pub weight: f64,
}

impl OrderRow {
    /// With the sampler's weight of its band.
    pub fn new(score: f64, repeats: u32, run: &RunRules, bands: &Bands) -> Self {
        Self { score, repeats, weight: run.sampler_weights.get(bands.index(score)).copied().unwrap_or(1.0) }
    }
}

/// Indices into `rows` in reading order; each row occurs as often as it repeats.
///
/// Curriculum: the first epoch goes by |score − middle|, clear cases first; rows equally clear are mixed, and the
/// copies of one row are spread evenly over their stretch. Later epochs, and all of the shuffle strategy, are
/// seeded shuffles. Weighted: as many draws with replacement as an epoch has rows, each row as likely as its weight says.
pub fn order(rows: &[OrderRow], strategy: OrderStrategy, middle: f64, seed: u64, epoch: usize) -> Vec<u32> {
    if strategy == OrderStrategy::Curriculum && epoch == 0 {
        return curriculum(rows, middle, seed);
    }
    let mut indices: Vec<u32> = (0u32..).zip(rows).flat_map(|(i, row)| std::iter::repeat_n(i, row.repeats as usize)).collect();
    let mut random = generator(seed, "order", epoch as u64);
    if strategy == OrderStrategy::Weighted {
        return drawn(rows, indices.len(), &mut random);
    }
    shuffle(&mut indices, &mut random);
    indices
}

/// Draws with replacement by weight: the first row whose share of the summed weights reaches past a uniform number.
fn drawn(rows: &[OrderRow], count: usize, random: &mut ChaCha8Rng) -> Vec<u32> {
    let mut sum = 0.0;
    let weight = |row: &OrderRow| if row.weight.is_finite() { row.weight.max(0.0) * f64::from(row.repeats) } else { 0.0 };
    let sums: Vec<f64> = rows
        .iter()
        .map(|row| {
            sum += weight(row);
            sum
        })
        .collect();
    if sum <= 0.0 {
        return Vec::new();
    }
    let draw = |_| {
        let at = unit(random) * sum;
        sums.partition_point(|s| *s <= at).min(rows.len() - 1) as u32
    };
    (0..count).map(draw).collect()
}

fn curriculum(rows: &[OrderRow], middle: f64, seed: u64) -> Vec<u32> {
    // (unclearness, place inside its stretch, row): all integers, so ties and floats cannot surprise.
    let mut keys: Vec<(i64, u64, u32)> = Vec::new();
    for (i, row) in (0u32..).zip(rows) {
        let distance = if row.score.is_finite() { (row.score - middle).abs() } else { 0.0 };
        let clear = (distance * 1e6).round() as i64;
        let offset = mix(seed ^ mix(u64::from(i))) >> 32;
        let copies = u64::from(row.repeats);
        // Copy k stands at (k + offset) / copies of the stretch, in 32-bit fixed point.
        keys.extend((0..copies).map(|k| (-clear, ((k << 32) | offset) / copies, i)));
    }
    keys.sort_unstable();
    keys.into_iter().map(|(_, _, i)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(cells: &[(f64, u32)]) -> Vec<OrderRow> {
        cells.iter().map(|&(score, repeats)| OrderRow { score, repeats, weight: 1.0 }).collect()
    }

    #[test]
    fn the_first_epoch_of_a_curriculum_goes_from_clear_to_unclear() {
        let rows = rows(&[(4.5, 1), (9.8, 2), (0.0, 1), (7.0, 1), (f64::NAN, 1)]);
        assert_eq!(order(&rows, OrderStrategy::Curriculum, 5.0, 19, 0), [2, 1, 1, 3, 0, 4]);
    }

    #[test]
    fn copies_of_a_row_are_spread_over_their_stretch() {
        let mut cells = vec![(9.0, 4u32)];
        cells.extend(std::iter::repeat_n((1.0, 1), 96));
        let out = order(&rows(&cells), OrderStrategy::Curriculum, 5.0, 7, 0);
        let at: Vec<usize> = (0..out.len()).filter(|&i| out[i] == 0).collect();
        assert!(at.windows(2).all(|pair| (15..=35).contains(&(pair[1] - pair[0]))), "{at:?}");
    }

    #[test]
    fn a_later_epoch_is_another_shuffle() {
        let rows = rows(&[(1.0, 1); 50]);
        let epoch = |e| order(&rows, OrderStrategy::Curriculum, 5.0, 19, e);
        assert_ne!(epoch(1), epoch(2));
        assert_eq!(epoch(1), order(&rows, OrderStrategy::Shuffle, 5.0, 19, 1));
    }

    #[test]
    fn the_weighted_sampler_draws_as_its_weights_say() {
        let mut rows = rows(&vec![(1.0, 1); 4000]);
        for (i, row) in rows.iter_mut().enumerate() {
            row.weight = [0.5, 1.5, 0.0, 2.0][i % 4];
        }
        let out = order(&rows, OrderStrategy::Weighted, 5.0, 19, 0);
        let share = |k: usize| out.iter().filter(|i| **i as usize % 4 == k).count() as f64 / 4000.0;
        assert_eq!(out.len(), 4000);
        for (k, expected) in [(0, 0.125), (1, 0.375), (2, 0.0), (3, 0.5)] {
            assert!((share(k) - expected).abs() < 0.03, "{k}: {}", share(k));
        }
        assert_eq!(out, order(&rows, OrderStrategy::Weighted, 5.0, 19, 0));
        assert_ne!(out, order(&rows, OrderStrategy::Weighted, 5.0, 19, 1));
    }

    proptest! {
        #[test]
        fn every_epoch_holds_each_row_as_often_as_it_repeats(
            cells in prop::collection::vec((0.0f64..10.0, 0u32..7), 0..80),
            seed in any::<u64>(),
            epoch in 0usize..3,
        ) {
            let rows = rows(&cells);
            for strategy in [OrderStrategy::Curriculum, OrderStrategy::Shuffle] {
                let out = order(&rows, strategy, 5.0, seed, epoch);
                let mut counts = vec![0u32; rows.len()];
                for &i in &out {
                    counts[i as usize] += 1;
                }
                prop_assert_eq!(counts, rows.iter().map(|r| r.repeats).collect::<Vec<_>>());
                prop_assert_eq!(order(&rows, strategy, 5.0, seed, epoch), out);
            }
        }
    }
}
