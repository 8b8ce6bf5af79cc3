//! How far a figure could lie from the truth by chance of the articles drawn. Owns the bootstrap over articles (not
//! rows: the rows of one article are not independent); the figures are `metrics`'.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use super::Row;
use super::figures::{Figures, Scratch, figures};
use super::table::Table;
use crate::domain::{Bands, recipe::Scale};

/// Draws of the bootstrap.
pub const DRAWS: usize = 1_000;

/// 95 % intervals by metric key. A figure that is undefined in more than one draw in twenty has none.
pub type Intervals = BTreeMap<String, (f64, f64)>;

/// Percentile bootstrap: [`DRAWS`] times as many articles as there are, drawn with replacement, each draw by a stream of
/// `ChaCha8` of its own from `seed`; the interval is the 2.5th to the 97.5th percentile. Keys are those of `Metrics`, and
/// `bands.0`, `bands.1`, … for the bands' MAE. Empty for fewer than two articles.
pub fn intervals(rows: &[Row], bands: &Bands, scale: &Scale, constant: Option<f64>, seed: u64) -> Intervals {
    of_table(&Table::new(rows, bands, scale), constant, seed)
}

pub(super) fn of_table(table: &Table, constant: Option<f64>, seed: u64) -> Intervals {
    let articles = table.articles();
    if articles < 2 {
        return Intervals::new();
    }
    let keys: Vec<String> =
        Figures::KEYS.iter().map(|key| (*key).to_owned()).chain((0..table.bands).map(|band| format!("bands.{band}"))).collect();
    let start = || (Scratch::new(table), vec![0_u32; articles]);
    let draw = |(scratch, times): &mut (Scratch, Vec<u32>), draw: u64| {
        times.fill(0);
        let mut rng = stream(seed, draw);
        for _ in 0..articles {
            times[below(&mut rng, articles)] += 1;
        }
        let (figures, _) = figures(table, times, constant, scratch);
        figures.values().into_iter().chain(figures.band_mae.iter().copied()).collect::<Vec<_>>()
    };
    let drawn: Vec<Vec<Option<f64>>> = (0..DRAWS as u64).into_par_iter().map_init(start, draw).collect();
    // A largest share only grows by drawing some articles twice: its draws lie above it.
    let interval = |(i, key): (usize, String)| {
        if key == "modal_share" {
            return None;
        }
        let mut values: Vec<f64> = drawn.iter().filter_map(|of_draw| of_draw.get(i).copied().flatten()).collect();
        Some((key, middle(&mut values)?))
    };
    keys.into_iter().enumerate().filter_map(interval).collect()
}

/// The random numbers of one draw: they depend on the seed and the draw, not on who draws it.
fn stream(seed: u64, draw: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(draw);
    rng
}

/// 95 % interval of a mean over rows, by bootstrap over articles: each is (sum over its rows, rows). `None` for fewer than
/// two articles.
pub fn mean_interval(articles: &[(f64, f64)], seed: u64) -> Option<(f64, f64)> {
    if articles.len() < 2 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut means: Vec<f64> = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let (mut sum, mut n) = (0.0, 0.0);
        for _ in 0..articles.len() {
            let (of_article, rows) = articles[below(&mut rng, articles.len())];
            sum += of_article;
            n += rows;
        }
        means.extend((n > 0.0).then(|| sum / n));
    }
    middle(&mut means)
}

/// The items in an order that depends on the seed alone.
pub(super) fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for i in (1..items.len()).rev() {
        items.swap(i, below(&mut rng, i + 1));
    }
    items
}

/// A number in 0..n; the bias of the multiplication is below n / 2⁶⁴.
fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

fn middle(values: &mut [f64]) -> Option<(f64, f64)> {
    if values.len() * 20 < DRAWS * 19 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some((percentile(values, 0.025)?, percentile(values, 0.975)?))
}

/// Linear interpolation between the two nearest of ascending values: position q·(n − 1).
pub fn percentile(ascending: &[f64], q: f64) -> Option<f64> {
    let at = q.clamp(0.0, 1.0) * ascending.len().checked_sub(1)? as f64;
    let (low, high) = (ascending.get(at.floor() as usize)?, ascending.get(at.ceil() as usize)?);
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bands, scale};
    use super::*;
    use crate::evaluate::Metrics;

    fn rows() -> Vec<Row> {
        let cell = |i: u32| {
            let truth = f64::from(i * 37 % 101) / 10.0;
            let predicted =
                Some((truth + f64::from(i * 17 % 41) / 10.0 - 2.0).clamp(0.0, 10.0)).filter(|_| !i.is_multiple_of(31));
            Row { article: format!("a{}", i / 5), profile: format!("p{}", i % 5), truth, predicted }
        };
        (0..200).map(cell).collect()
    }

    #[test]
    fn every_headline_figure_lies_inside_its_interval_and_the_seed_repeats_it() {
        let drawn = intervals(&rows(), &bands(), &scale(), None, 7);
        let metrics = Metrics::compute(&rows(), &bands(), &scale(), None);
        for key in Figures::KEYS.iter().filter(|key| **key != "modal_share") {
            assert!(drawn.contains_key(*key), "{key} has no interval");
        }
        for (key, (low, high)) in &drawn {
            let band = key.strip_prefix("bands.").and_then(|i| metrics.bands[i.parse::<usize>().expect("a number")].mae);
            let value = band.or_else(|| metrics.value(key)).expect("defined");
            assert!((low - 1e-9..=high + 1e-9).contains(&value), "{key}: {value} in {low}..{high}");
        }
        assert_eq!(drawn, intervals(&rows(), &bands(), &scale(), None, 7));
        assert_ne!(drawn, intervals(&rows(), &bands(), &scale(), None, 8));
    }

    #[test]
    fn a_draw_is_the_metrics_of_the_rows_drawn() {
        let rows = rows();
        let table = Table::new(&rows, &bands(), &scale());
        let times: Vec<u32> = (0..table.articles() as u32).map(|i| i % 3).collect();
        let mut names: Vec<&str> = rows.iter().map(|r| r.article.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut copies = Vec::new();
        for (name, &times) in names.iter().zip(&times) {
            for copy in 0..times {
                let own = rows.iter().filter(|r| r.article == *name);
                copies.extend(own.map(|r| Row { article: format!("{copy} {name}"), ..r.clone() }));
            }
        }
        let (figures, _) = figures(&table, &times, None, &mut Scratch::new(&table));
        let again = Metrics::compute(&copies, &bands(), &scale(), None);
        for (key, value) in Figures::KEYS.iter().zip(figures.values()) {
            let (a, b) = (value.expect("defined"), again.value(key).expect("defined"));
            assert!((a - b).abs() < 1e-9, "{key}: {a} {b}");
        }
    }

    #[test]
    fn one_article_has_no_interval() {
        assert!(intervals(&rows()[..5], &bands(), &scale(), None, 1).is_empty());
        assert!(intervals(&[], &bands(), &scale(), None, 1).is_empty());
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
    }
}
