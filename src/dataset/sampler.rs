//! The sampler's verification: whether what an epoch reads has the mix of bands that its weights promise.
//!
//! Owns the report that is made before training, on the processor alone (guard T8). Drawing is `order`'s.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::order::OrderRow;
use super::seeded::{generator, unit};
use crate::domain::recipe::OrderStrategy;
use crate::domain::{Bands, one_line};

/// Samples of pure chance that the percentile is taken of.
const SIMULATIONS: usize = 1000;
/// Draws of one such sample at most. The distance of a larger sample falls with the root of its size, so it is scaled.
const SIMULATED: usize = 10_000;
/// Ids that are shown.
const FIRST: usize = 20;
/// Shares this near are the same.
const SLACK: f64 = 1e-9;

/// What is verified.
#[derive(Debug, Clone, Copy)]
pub struct Draws<'a> {
    pub strategy: OrderStrategy,
    pub rows: &'a [OrderRow],
    /// Of `rows`, one by one.
    pub ids: &'a [String],
    pub bands: &'a Bands,
    /// Of each epoch indices into `rows`, as they will be read.
    pub orders: &'a [Vec<u32>],
}

/// One band of the mix; shares are of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BandMix {
    pub band: String,
    /// Training rows.
    pub rows: usize,
    /// Mean weight a row of it is drawn with.
    pub weight: f64,
    /// Share of the rows as they came.
    pub raw: f64,
    /// Share that repeats and weights promise.
    pub expected: f64,
    /// Share of what is read.
    pub sampled: f64,
}

/// Expected, raw and sampled mix of a run, the distances between them, and the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplerReport {
    pub strategy: OrderStrategy,
    pub epochs: usize,
    /// Rows read in all epochs.
    pub draws: usize,
    /// Training rows that no epoch reads.
    pub never_read: usize,
    pub bands: Vec<BandMix>,
    /// Σ |sampled − expected|
    pub to_expected: f64,
    /// Σ |sampled − raw|
    pub to_raw: f64,
    /// 99th percentile of Σ |sampled − expected| over honest draws of this size; 0 where nothing is drawn by chance.
    pub noise_p99: f64,
    pub simulations: usize,
    /// Nearer to the expected mix than to the raw one, and no further from it than chance goes.
    pub pass: bool,
    /// Ids of the first rows of the first epoch.
    pub first: Vec<String>,
}

impl SamplerReport {
    /// Of everything a run will read. `seed` seeds the simulation of chance.
    pub fn of(draws: &Draws<'_>, seed: u64) -> Self {
        let weighted = draws.strategy == OrderStrategy::Weighted;
        let n = draws.bands.len();
        let (mut rows, mut weights, mut expected, mut sampled) = (vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        for row in draws.rows {
            let band = draws.bands.index(row.score);
            let weight = if weighted { row.weight } else { 1.0 };
            rows[band] += 1.0;
            weights[band] += weight;
            expected[band] += weight * f64::from(row.repeats);
        }
        let mut read = vec![false; draws.rows.len()];
        let mut count = 0;
        for i in draws.orders.iter().flatten().map(|i| *i as usize) {
            if let Some(row) = draws.rows.get(i) {
                sampled[draws.bands.index(row.score)] += 1.0;
                read[i] = true;
                count += 1;
            }
        }
        let mean: Vec<f64> = weights.iter().zip(&rows).map(|(w, n)| if *n > 0.0 { w / n } else { 0.0 }).collect();
        let counts: Vec<usize> = rows.iter().map(|n| *n as usize).collect();
        let (raw, expected, sampled) = (shares(&rows), shares(&expected), shares(&sampled));
        let (to_expected, to_raw) = (distance(&sampled, &expected), distance(&sampled, &raw));
        let noise_p99 = if weighted { noise(&expected, count, &mut generator(seed, "sampler", 0)) } else { 0.0 };
        let band = |(i, name): (usize, &str)| BandMix {
            band: name.to_owned(),
            rows: counts[i],
            weight: mean[i],
            raw: raw[i],
            expected: expected[i],
            sampled: sampled[i],
        };
        let first = draws.orders.first().map(Vec::as_slice).unwrap_or_default();
        Self {
            strategy: draws.strategy,
            epochs: draws.orders.len(),
            draws: count,
            never_read: read.iter().filter(|read| !**read).count(),
            bands: draws.bands.names().enumerate().map(band).collect(),
            to_expected,
            to_raw,
            noise_p99,
            simulations: if weighted { SIMULATIONS } else { 0 },
            pass: to_expected <= to_raw + SLACK && to_expected <= noise_p99 + SLACK,
            first: first.iter().take(FIRST).filter_map(|i| draws.ids.get(*i as usize).cloned()).collect(),
        }
    }

    /// The verdict in one sentence.
    pub fn words(&self) -> String {
        let (apart, raw, noise) = (self.to_expected, self.to_raw, self.noise_p99);
        let seen = format!("the bands read are {apart:.4} (L1) from the expected mix and {raw:.4} from the raw one");
        if self.strategy != OrderStrategy::Weighted {
            return seen;
        }
        if self.pass {
            format!("{seen}; chance alone goes to {noise:.4} (99 %)")
        } else if apart > raw + SLACK {
            format!("{seen}: the sampler's weights are not what is read")
        } else {
            format!("{seen}: chance alone goes no further than {noise:.4} (99 %)")
        }
    }

    /// The report as lines of at most 80 columns.
    pub fn lines(&self) -> Vec<String> {
        let strategy = format!("{:?}", self.strategy).to_lowercase();
        let share = |s: f64| format!("{:.1} %", s * 100.0);
        let mut lines = vec![
            format!("{strategy} order: {} rows read in {} epoch(s)", self.draws, self.epochs),
            format!("  {:<14} {:>7} {:>7} {:>9} {:>9} {:>9}", "band", "rows", "weight", "raw", "expected", "sampled"),
        ];
        for b in &self.bands {
            let (raw, expected, sampled) = (share(b.raw), share(b.expected), share(b.sampled));
            let name = one_line(&b.band, 14);
            lines.push(format!("  {name:<14} {:>7} {:>7.2} {raw:>9} {expected:>9} {sampled:>9}", b.rows, b.weight));
        }
        lines.push(format!("L1 to the expected mix: {:.4}; to the raw mix: {:.4}", self.to_expected, self.to_raw));
        if self.simulations > 0 {
            let words = format!("99th percentile of chance at this size: {:.4}", self.noise_p99);
            lines.push(format!("{words} ({} seeded samples)", self.simulations));
            lines.push(format!("{} rows are never drawn", self.never_read));
        }
        lines.push(format!("verdict: {}", if self.pass { "pass" } else { "FAIL" }));
        lines.push("first rows:".to_owned());
        lines.extend(self.first.iter().map(|id| format!("  {}", one_line(id, 76))));
        lines
    }
}

fn shares(counts: &[f64]) -> Vec<f64> {
    let sum: f64 = counts.iter().sum();
    counts.iter().map(|n| if sum > 0.0 { n / sum } else { 0.0 }).collect()
}

/// Σ |a − b|
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

/// The 99th percentile of the distance between a mix and a sample of `size` honest draws from it.
fn noise(mix: &[f64], size: usize, random: &mut ChaCha8Rng) -> f64 {
    if size == 0 || mix.iter().all(|share| *share == 0.0) {
        return 0.0;
    }
    let mut edge = 0.0;
    let edges: Vec<f64> = mix
        .iter()
        .map(|share| {
            edge += share;
            edge
        })
        .collect();
    let simulated = size.min(SIMULATED);
    let mut distances: Vec<f64> = (0..SIMULATIONS)
        .map(|_| {
            let mut counts = vec![0.0; mix.len()];
            for _ in 0..simulated {
                let at = unit(random) * edge;
                counts[edges.partition_point(|e| *e <= at).min(mix.len() - 1)] += 1.0;
            }
            distance(&shares(&counts), mix)
        })
        .collect();
    distances.sort_by(f64::total_cmp);
    distances[SIMULATIONS * 99 / 100] * (simulated as f64 / size as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::order::order;
    use super::*;

    const WEIGHTS: [f64; 5] = [0.5, 1.0, 1.5, 2.0, 3.0];

    fn bands() -> Bands {
        Bands::from_edges(&[0.0, 2.0, 4.0, 6.0, 8.0]).expect("ascending")
    }

    /// A thousand rows, mostly noise, as screened news is.
    fn rows() -> Vec<OrderRow> {
        let counts = [600, 200, 100, 60, 40];
        let row = |band: usize| OrderRow { score: 2.0 * band as f64 + 0.5, repeats: 1, weight: WEIGHTS[band] };
        counts.iter().enumerate().flat_map(|(band, n)| std::iter::repeat_n(row(band), *n)).collect()
    }

    fn report(strategy: OrderStrategy, rows: &[OrderRow], orders: &[Vec<u32>], seed: u64) -> SamplerReport {
        let ids: Vec<String> = (0..rows.len()).map(|i| format!("r{i}")).collect();
        let bands = bands();
        SamplerReport::of(&Draws { strategy, rows, ids: &ids, bands: &bands, orders }, seed)
    }

    #[test]
    fn honest_draws_pass_for_nearly_every_seed() {
        let rows = rows();
        let passed = (0..60).filter(|seed| {
            let drawn = order(&rows, OrderStrategy::Weighted, 5.0, *seed, 0);
            report(OrderStrategy::Weighted, &rows, &[drawn], 19).pass
        });
        assert!(passed.count() >= 57);
    }

    #[test]
    fn expected_shares_are_rows_times_weights() {
        let rows = rows();
        let drawn = order(&rows, OrderStrategy::Weighted, 5.0, 19, 0);
        let report = report(OrderStrategy::Weighted, &rows, std::slice::from_ref(&drawn), 19);
        // 600·.5, 200·1, 100·1.5, 60·2, 40·3 of 890.
        for (band, weighed) in report.bands.iter().zip([300.0, 200.0, 150.0, 120.0, 120.0]) {
            assert!((band.expected - weighed / 890.0).abs() < 1e-12, "{band:?}");
        }
        assert!((report.bands[0].raw - 0.6).abs() < 1e-12);
        assert_eq!(report.first[0], format!("r{}", drawn[0]));
        assert!(report.never_read > 0 && report.draws == 1000);
    }

    #[test]
    fn a_sampler_that_is_ignored_fails() {
        let rows = rows();
        let shuffled = order(&rows, OrderStrategy::Shuffle, 5.0, 19, 0);
        let report = report(OrderStrategy::Weighted, &rows, &[shuffled], 19);
        assert!(!report.pass && report.words().contains("not what is read"), "{}", report.words());
    }

    #[test]
    fn a_sampler_with_one_wrong_weight_is_further_off_than_chance() {
        let rows = rows();
        let mut wrong = rows.clone();
        wrong.iter_mut().filter(|r| r.weight > 2.9).for_each(|r| r.weight = 2.0);
        let drawn: Vec<Vec<u32>> = (0..8).map(|epoch| order(&wrong, OrderStrategy::Weighted, 5.0, 19, epoch)).collect();
        let report = report(OrderStrategy::Weighted, &rows, &drawn, 19);
        assert!(!report.pass && report.to_expected < report.to_raw, "{}", report.words());
    }

    #[test]
    fn the_noise_of_a_large_sample_is_that_of_a_small_one_scaled() {
        let mix = [0.4, 0.3, 0.2, 0.06, 0.04];
        let at = |size| noise(&mix, size, &mut generator(1, "test", 0));
        assert!((at(1_000_000) / at(10_000) - 0.1).abs() < 1e-9);
        assert!((at(2_500) / at(10_000) - 2.0).abs() < 0.2);
        assert!(at(0).abs() < 1e-12);
    }

    #[test]
    fn an_order_without_chance_is_the_expected_mix_or_fails() {
        let rows = rows();
        let shuffled = order(&rows, OrderStrategy::Shuffle, 5.0, 19, 0);
        assert!(report(OrderStrategy::Shuffle, &rows, std::slice::from_ref(&shuffled), 19).pass);
        assert!(!report(OrderStrategy::Shuffle, &rows, &[shuffled[..300].to_vec()], 19).pass);
    }

    #[test]
    fn lines_fit_a_terminal() {
        let rows = rows();
        let drawn = order(&rows, OrderStrategy::Weighted, 5.0, 19, 0);
        let lines = report(OrderStrategy::Weighted, &rows, &[drawn], 19).lines();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        assert!(lines.contains(&"verdict: pass".to_owned()));
    }
}
