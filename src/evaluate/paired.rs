//! Two runs on the same rows: by how much their figures differ, and how far that could be chance.
//!
//! Owns the paired bootstrap over article clusters and the tests on rows; which rows are common and what differs between
//! the runs is `runs_compare`'s.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::figures::{Figures, Scratch, figures};
use super::table::{HAIR, Table};
use super::{Row, mcnemar, mcnemar_exact, percentile};
use crate::domain::{Bands, recipe::Scale};

/// Draws of the paired bootstrap: the least p of a two-sided test is 2 / 2,000, small enough for Holm's correction over
/// the tests of four runs.
pub const PAIRED_DRAWS: usize = 2_000;

/// Below it, with Holm's correction, a difference is called one.
pub const SIGNIFICANT: f64 = 0.05;

/// Rows judged by only one of the two from which the χ² form of `McNemar`'s test is used; below it the exact one.
const EXACT_BELOW: u64 = 25;

/// A row that both runs judged, a failure being `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedRow {
    pub article: String,
    pub profile: String,
    /// Articles of one cluster are drawn together.
    pub cluster: String,
    pub truth: f64,
    pub a: Option<f64>,
    pub b: Option<f64>,
}

/// What a difference amounts to, seen from the second run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Better,
    Worse,
    CannotTell,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::CannotTell => "cannot tell",
        })
    }
}

/// One figure of both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Key of the metric.
    pub metric: String,
    pub a: Option<f64>,
    pub b: Option<f64>,
    /// b − a
    pub difference: Option<f64>,
    /// 95 % of `difference`; `None` where fewer than two clusters or one draw in twenty without the figure.
    pub interval: Option<(f64, f64)>,
    /// Two-sided, of "no difference": twice the smaller share of draws on either side of 0.
    pub p: Option<f64>,
    /// The same after Holm's correction over every test of the comparison; `None` until [`decide`] was called.
    pub p_corrected: Option<f64>,
    pub outcome: Outcome,
}

/// Rows on which exactly one of the two took the right side of "relevant".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sides {
    pub only_a: u64,
    pub only_b: u64,
    /// `McNemar`: exact for few such rows. Rows of one article are not independent, so it is read beside the interval.
    pub p: f64,
}

/// Rows by which run is nearer to the truth; a failure is charged its worst error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Nearer {
    pub a: u64,
    pub b: u64,
    pub ties: u64,
    /// Cliff's delta of paired rows: (b − a) / n, from −1 to 1.
    pub delta: Option<f64>,
}

/// What two runs make of the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    pub n: usize,
    pub articles: usize,
    pub clusters: usize,
    pub failures_a: usize,
    pub failures_b: usize,
    pub differences: Vec<Difference>,
    pub sides: Sides,
    pub nearer: Nearer,
}

struct Figure {
    metric: &'static str,
    of: fn(&Figures) -> Option<f64>,
    higher_is_better: bool,
}

/// The figures that decide.
const FIGURES: [Figure; 5] = [
    Figure { metric: "mae", of: |h| h.mae, higher_is_better: false },
    Figure { metric: "macro_band_mae", of: |h| h.macro_band_mae, higher_is_better: false },
    Figure { metric: "spearman", of: |h| h.spearman, higher_is_better: true },
    Figure { metric: "contrast_ordered", of: |h| h.contrast_ordered, higher_is_better: true },
    Figure { metric: "direction_accuracy", of: |h| h.direction_accuracy, higher_is_better: true },
];

/// Compares two runs row by row. Rows whose truth lies outside the scale are in no figure.
pub fn paired(rows: &[PairedRow], bands: &Bands, scale: &Scale, seed: u64) -> Paired {
    let (min, max) = scale.range();
    let on_scale = |score: &f64| (min..=max).contains(score);
    let rows: Vec<&PairedRow> = rows.iter().filter(|r| on_scale(&r.truth)).collect();
    let side = |predicted: fn(&PairedRow) -> Option<f64>| -> Vec<Row> {
        let row = |r: &&PairedRow| Row {
            article: r.article.clone(),
            profile: r.profile.clone(),
            truth: r.truth,
            predicted: predicted(r),
        };
        rows.iter().map(row).collect()
    };
    let tables = [Table::new(&side(|r| r.a), bands, scale), Table::new(&side(|r| r.b), bands, scale)];
    let clusters = clusters(&rows);
    let read = |score: Option<f64>| score.filter(on_scale);
    let failures = |score: fn(&PairedRow) -> Option<f64>| rows.iter().filter(|r| read(score(r)).is_none()).count();
    Paired {
        n: rows.len(),
        articles: tables[0].articles(),
        clusters: clusters.len(),
        failures_a: failures(|r| r.a),
        failures_b: failures(|r| r.b),
        differences: differences(&tables, &clusters, seed),
        sides: sides(&rows, scale),
        nearer: nearer(&rows, scale),
    }
}

/// The articles of each cluster, by their place in a table: articles stand there in the order of their ids.
fn clusters(rows: &[&PairedRow]) -> Vec<Vec<usize>> {
    let by_article: BTreeMap<&str, &str> = rows.iter().rev().map(|r| (r.article.as_str(), r.cluster.as_str())).collect();
    let mut clusters: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, cluster) in by_article.values().enumerate() {
        clusters.entry(cluster).or_default().push(place);
    }
    clusters.into_values().collect()
}

fn differences(tables: &[Table; 2], clusters: &[Vec<usize>], seed: u64) -> Vec<Difference> {
    let once = vec![1; tables[0].articles()];
    // A constant that is given is not looked for; no figure here needs it.
    let mut scratches = [Scratch::new(&tables[0]), Scratch::new(&tables[1])];
    let mut headlines = |times: &[u32]| [0, 1].map(|side| figures(&tables[side], times, Some(0.0), &mut scratches[side]).0);
    let gap = |of: fn(&Figures) -> Option<f64>, pair: &[Figures; 2]| Some(of(&pair[1])? - of(&pair[0])?);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::new(); FIGURES.len()];
    if clusters.len() >= 2 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut times = once.clone();
        for _ in 0..PAIRED_DRAWS {
            times.fill(0);
            for _ in 0..clusters.len() {
                let chosen = ((u128::from(rng.next_u64()) * clusters.len() as u128) >> 64) as usize;
                clusters[chosen].iter().for_each(|article| times[*article] += 1);
            }
            let pair = headlines(&times);
            for (values, figure) in drawn.iter_mut().zip(&FIGURES) {
                values.extend(gap(figure.of, &pair));
            }
        }
    }
    let whole = headlines(&once);
    let difference = |(figure, mut values): (&Figure, Vec<f64>)| {
        values.sort_by(f64::total_cmp);
        let enough = values.len() * 20 >= PAIRED_DRAWS * 19;
        let interval = percentile(&values, 0.025).zip(percentile(&values, 0.975)).filter(|_| enough);
        Difference {
            metric: figure.metric.to_owned(),
            a: (figure.of)(&whole[0]),
            b: (figure.of)(&whole[1]),
            difference: gap(figure.of, &whole),
            interval,
            p: enough.then(|| two_sided(&values)),
            p_corrected: None,
            outcome: Outcome::CannotTell,
        }
    };
    FIGURES.iter().zip(drawn).map(difference).collect()
}

/// Twice the smaller share of ascending draws on either side of 0, draws of 0 counting for both; one draw more on each
/// side, so that no p is 0.
fn two_sided(ascending: &[f64]) -> f64 {
    let not_above = ascending.partition_point(|d| *d <= HAIR);
    let not_below = ascending.len() - ascending.partition_point(|d| *d < -HAIR);
    let share = (not_above.min(not_below) + 1) as f64 / (ascending.len() + 1) as f64;
    (2.0 * share).min(1.0)
}

fn sides(rows: &[&PairedRow], scale: &Scale) -> Sides {
    let right = |row: &PairedRow, score: Option<f64>| {
        let read = score.filter(|s| (scale.min..=scale.max).contains(s));
        read.is_some_and(|s| (s >= scale.relevant_from) == (row.truth >= scale.relevant_from))
    };
    let (mut only_a, mut only_b) = (0, 0);
    for row in rows {
        match (right(row, row.a), right(row, row.b)) {
            (true, false) => only_a += 1,
            (false, true) => only_b += 1,
            _ => {}
        }
    }
    let p = if only_a + only_b < EXACT_BELOW { mcnemar_exact(only_a, only_b) } else { mcnemar(only_a, only_b).p };
    Sides { only_a, only_b, p }
}

fn nearer(rows: &[&PairedRow], scale: &Scale) -> Nearer {
    let (mut a, mut b, mut ties) = (0, 0, 0);
    for row in rows {
        let gap = charged(row.truth, row.b, scale) - charged(row.truth, row.a, scale);
        if gap.abs() <= HAIR {
            ties += 1;
        } else if gap < 0.0 {
            b += 1;
        } else {
            a += 1;
        }
    }
    let delta = (!rows.is_empty()).then(|| (b as f64 - a as f64) / rows.len() as f64);
    Nearer { a, b, ties, delta }
}

/// |p − g|, or the worst error possible where there is no score.
pub fn charged(truth: f64, predicted: Option<f64>, scale: &Scale) -> f64 {
    let read = predicted.filter(|p| (scale.min..=scale.max).contains(p));
    read.map_or_else(|| (truth - scale.min).max(scale.max - truth), |p| (p - truth).abs())
}

/// Corrects the tests of several comparisons together and says of each figure what it amounts to: a difference has to
/// exclude 0 by its own interval and by its corrected p, on at least `enough` rows.
pub fn decide(comparisons: &mut [&mut Paired], enough: usize) {
    let tested: Vec<f64> = comparisons.iter().flat_map(|c| c.differences.iter().filter_map(|d| d.p)).collect();
    let mut corrected = super::holm(&tested).into_iter();
    for comparison in comparisons {
        let many = comparison.n >= enough;
        for difference in &mut comparison.differences {
            difference.p_corrected = difference.p.and_then(|_| corrected.next());
            let apart = difference.interval.is_some_and(|(low, high)| low > 0.0 || high < 0.0);
            let sure = difference.p_corrected.is_some_and(|p| p < SIGNIFICANT);
            let higher = FIGURES.iter().any(|f| f.metric == difference.metric && f.higher_is_better);
            difference.outcome = match difference.difference {
                Some(gap) if many && apart && sure && (gap > 0.0) == higher => Outcome::Better,
                Some(_) if many && apart && sure => Outcome::Worse,
                _ => Outcome::CannotTell,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bands, scale};
    use super::*;
    use crate::evaluate::Metrics;
    use proptest::prelude::*;

    /// 40 articles × 5 readers; `a` and `b` miss the truth by a deterministic noise of these widths.
    fn rows(noise_a: f64, noise_b: f64) -> Vec<PairedRow> {
        let missed = |truth: f64, i: u32, turn: u32, noise: f64| {
            let unit = f64::from(i * turn % 41) / 20.0 - 1.0;
            Some((truth + unit * noise).clamp(0.0, 10.0))
        };
        let row = |i: u32| {
            let truth = f64::from(i * 37 % 101) / 10.0;
            PairedRow {
                article: format!("a{:02}", i / 5),
                profile: format!("p{}", i % 5),
                cluster: format!("c{:02}", i / 10),
                truth,
                a: missed(truth, i, 17, noise_a),
                b: missed(truth, i, 23, noise_b),
            }
        };
        (0..200).map(row).collect()
    }

    fn decided(rows: &[PairedRow]) -> Paired {
        let mut comparison = paired(rows, &bands(), &scale(), 7);
        decide(&mut [&mut comparison], 30);
        comparison
    }

    fn of<'a>(comparison: &'a Paired, metric: &str) -> &'a Difference {
        comparison.differences.iter().find(|d| d.metric == metric).expect("a figure")
    }

    #[test]
    fn a_much_better_run_is_better_a_much_worse_one_worse_and_equals_cannot_be_told() {
        for (a, b, outcome) in [(4.0, 0.5, Outcome::Better), (0.5, 4.0, Outcome::Worse), (2.0, 2.0, Outcome::CannotTell)] {
            let comparison = decided(&rows(a, b));
            for metric in ["mae", "macro_band_mae", "spearman"] {
                assert_eq!(of(&comparison, metric).outcome, outcome, "{a} {b} {metric}: {comparison:?}");
            }
        }
        assert_eq!((decided(&rows(4.0, 0.5)).clusters, decided(&rows(4.0, 0.5)).articles), (20, 40));
    }

    #[test]
    fn each_side_is_the_metrics_of_its_own_rows_and_the_interval_holds_the_difference() {
        let rows = rows(3.0, 1.0);
        let comparison = decided(&rows);
        let side = |predicted: fn(&PairedRow) -> Option<f64>| -> Metrics {
            let of = |r: &PairedRow| Row {
                article: r.article.clone(),
                profile: r.profile.clone(),
                truth: r.truth,
                predicted: predicted(r),
            };
            Metrics::compute(&rows.iter().map(of).collect::<Vec<_>>(), &bands(), &scale(), None)
        };
        let (a, b) = (side(|r| r.a), side(|r| r.b));
        for d in &comparison.differences {
            assert!((d.a.unwrap() - a.value(&d.metric).unwrap()).abs() < 1e-9, "{d:?}");
            assert!((d.b.unwrap() - b.value(&d.metric).unwrap()).abs() < 1e-9, "{d:?}");
            let (low, high) = d.interval.unwrap();
            assert!((low..=high).contains(&d.difference.unwrap()), "{d:?}");
        }
    }

    #[test]
    fn pairing_sees_what_two_intervals_apart_do_not() {
        // Both miss by a lot, and b by 0.15 less on every row: alone their intervals overlap widely.
        let mut rows = rows(4.0, 4.0);
        for row in &mut rows {
            let gap = row.a.unwrap() - row.truth;
            row.b = Some(row.truth + gap - gap.signum() * gap.abs().min(0.15));
        }
        let comparison = decided(&rows);
        assert_eq!(of(&comparison, "mae").outcome, Outcome::Better, "{comparison:?}");
    }

    #[test]
    fn a_failure_is_charged_and_counts_as_wrong() {
        let mut rows = rows(0.0, 0.0);
        rows.iter_mut().step_by(2).for_each(|r| r.b = None);
        let comparison = decided(&rows);
        assert_eq!((comparison.failures_a, comparison.failures_b), (0, 100));
        assert_eq!(of(&comparison, "mae").outcome, Outcome::Worse);
        assert_eq!((comparison.sides.only_a, comparison.sides.only_b, comparison.nearer.a), (100, 0, 100));
        assert!(comparison.sides.p < 1e-12 && comparison.nearer.delta == Some(-0.5));
    }

    #[test]
    fn few_rows_and_one_cluster_decide_nothing() {
        let few: Vec<PairedRow> = rows(4.0, 0.0).into_iter().take(29).collect();
        assert!(decided(&few).differences.iter().all(|d| d.outcome == Outcome::CannotTell));
        let one: Vec<PairedRow> = rows(4.0, 0.0).into_iter().map(|r| PairedRow { cluster: "one".into(), ..r }).collect();
        assert!(decided(&one).differences.iter().all(|d| d.interval.is_none() && d.p.is_none()));
        assert_eq!(paired(&[], &bands(), &scale(), 1).n, 0);
    }

    #[test]
    fn many_comparisons_ask_for_more_than_one() {
        let mut near_miss = paired(&rows(2.0, 2.0), &bands(), &scale(), 7);
        for difference in &mut near_miss.differences {
            (difference.p, difference.interval) = (Some(0.02), Some((0.1, 0.2)));
            difference.difference = Some(0.15);
        }
        near_miss.differences.truncate(1);
        let mut alone = near_miss.clone();
        decide(&mut [&mut alone], 30);
        assert_eq!(alone.differences[0].outcome, Outcome::Worse);
        let mut many: Vec<Paired> = vec![near_miss; 4];
        decide(&mut many.iter_mut().collect::<Vec<_>>(), 30);
        assert!(many.iter().all(|c| c.differences[0].outcome == Outcome::CannotTell));
        assert_eq!(many[0].differences[0].p_corrected, Some(0.08));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn turning_the_runs_round_turns_the_answer_round(noise_a in 0.0..4.0f64, noise_b in 0.0..4.0f64) {
            let rows = rows(noise_a, noise_b);
            let turned: Vec<PairedRow> = rows.iter().map(|r| PairedRow { a: r.b, b: r.a, ..r.clone() }).collect();
            let (one, other) = (decided(&rows), decided(&turned));
            for (d, e) in one.differences.iter().zip(&other.differences) {
                prop_assert!((d.difference.unwrap() + e.difference.unwrap()).abs() < 1e-9);
                let swapped = match d.outcome {
                    Outcome::Better => Outcome::Worse,
                    Outcome::Worse => Outcome::Better,
                    Outcome::CannotTell => Outcome::CannotTell,
                };
                prop_assert_eq!(e.outcome, swapped);
            }
            prop_assert_eq!(one.nearer.delta.map(|d| -d), other.nearer.delta);
        }
    }
}
