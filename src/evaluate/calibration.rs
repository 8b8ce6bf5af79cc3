//! Calibration: a monotone map from a model's scores to the teacher's, judged on rows it was not fitted on. Owns fitting,
//! judging and the binding to one model; the pooling is `isotonic`'s.
//!
//! The map is the isotonic regression of truth on score (pool adjacent violators), linear between its points, constant
//! beyond them, clipped to the scale. It is judged by k-fold over article clusters: each cluster's rows are mapped by a fit
//! of the other folds. It is kept only if it is better out of sample by more than chance of the articles explains: the 95 %
//! interval of the difference of errors, by bootstrap over articles, lies below 0 (guard E8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bootstrap::{mean_interval, shuffled};
use super::{Intervals, JudgedRow, Metrics, Row, intervals, isotonic_points};
use crate::domain::{Digest, Finding, Recipe};

/// Folds of the judging; fewer where there are fewer clusters.
const FOLDS: usize = 5;

/// Fewer readable rows than this are not calibrated.
pub const CALIBRATE_FROM: usize = 50;

/// A fitted and judged calibrator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The model whose scores it maps; another model's it never touches (guard D9).
    pub model: Digest,
    /// (score, calibrated score), both ascending. Empty where it was dropped: nobody can use it then.
    pub points: Vec<(f64, f64)>,
    /// Ends of the scale.
    pub scale: (f64, f64),
    /// Readable rows it was fitted on, and their article clusters: rows of these are in sample.
    pub n: usize,
    pub clusters: Vec<String>,
    pub folds: usize,
    /// Mean error of all rows before, failures charged as ever.
    pub raw_mae: f64,
    /// Mean error out of sample: every row mapped by folds that its cluster is not in.
    pub mae: f64,
    /// The same in sample, which proves nothing; kept because it is what others report.
    pub in_sample_mae: f64,
    /// Mean of (calibrated − raw error) out of sample, 95 % by bootstrap over articles; below 0 is better.
    pub difference: Option<(f64, f64)>,
    /// Whether it is better out of sample.
    pub kept: bool,
}

impl Calibration {
    /// Fits and judges on rows whose score `reading` gives. `None`: fewer than [`CALIBRATE_FROM`] readable rows, or than two
    /// clusters.
    pub fn judge(
        rows: &[JudgedRow],
        reading: impl Fn(&JudgedRow) -> Option<f64>,
        model: &Digest,
        recipe: &Recipe,
        seed: u64,
    ) -> Option<Self> {
        let scale = recipe.scale.range();
        let read: Vec<(&JudgedRow, f64)> = rows.iter().filter_map(|r| reading(r).map(|p| (r, p))).collect();
        let fold_of = folds(read.iter().map(|(r, _)| r.cluster.as_str()), seed);
        let folds = fold_of.values().max().map_or(0, |last| last + 1);
        if read.len() < CALIBRATE_FROM || folds < 2 {
            return None;
        }
        let fit = |keep: &dyn Fn(&JudgedRow) -> bool| {
            let points: Vec<(f64, f64)> = read.iter().filter(|(r, _)| keep(r)).map(|(r, p)| (*p, r.truth)).collect();
            isotonic_points(&points)
        };
        let held: Vec<Vec<(f64, f64)>> =
            (0..folds).map(|fold| fit(&|r| fold_of.get(r.cluster.as_str()) != Some(&fold))).collect();
        let whole = fit(&|_| true);
        let (mut raw, mut in_sample, mut outside) = (0.0, 0.0, 0.0);
        let mut by_article: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for row in rows {
            let charge = (row.truth - scale.0).max(scale.1 - row.truth);
            let error = |p: f64| (p - row.truth).abs();
            let (before, after, inside) = match reading(row) {
                None => (charge, charge, charge),
                Some(p) => {
                    let fold = fold_of.get(row.cluster.as_str()).copied().unwrap_or_default();
                    (error(p), error(map(&held[fold], scale, p)), error(map(&whole, scale, p)))
                }
            };
            raw += before;
            outside += after;
            in_sample += inside;
            let sums = by_article.entry(&row.article).or_default();
            sums.0 += after - before;
            sums.1 += 1.0;
        }
        let n = rows.len() as f64;
        let difference = mean_interval(&by_article.into_values().collect::<Vec<_>>(), seed);
        let kept = outside < raw && difference.is_some_and(|(_, high)| high < 0.0);
        Some(Self {
            model: model.clone(),
            points: if kept { whole } else { Vec::new() },
            scale,
            n: read.len(),
            clusters: fold_of.into_keys().map(str::to_owned).collect(),
            folds,
            raw_mae: raw / n,
            mae: outside / n,
            in_sample_mae: in_sample / n,
            difference,
            kept,
        })
    }

    /// The calibrated score; the score itself where the calibrator was dropped.
    pub fn apply(&self, score: f64) -> f64 {
        if self.points.is_empty() { score } else { map(&self.points, self.scale, score) }
    }

    /// Names what it does.
    pub fn digest(&self) -> Digest {
        Digest::of_json(&(&self.model, &self.points))
    }

    /// Guard D9: it maps the scores of the model it was fitted on, and no other's.
    pub fn d9(&self, model: &Digest) -> Finding {
        if self.model == *model {
            return Finding::pass("D9", format!("the calibrator was fitted on model {}, which answers here", model.short()));
        }
        Finding::fail(
            "D9",
            format!("the calibrator was fitted on model {}, and {} answers here", self.model.short(), model.short()),
            "Evaluate this model without --calibrator first; its own calibrator is in that run.",
        )
    }

    /// Guard E8 at use: rows it was fitted on say nothing about it.
    pub fn e8_at_use<'a>(&self, clusters: impl Iterator<Item = &'a str>) -> Finding {
        let fitted: std::collections::HashSet<&str> = self.clusters.iter().map(String::as_str).collect();
        let (mut inside, mut all) = (0, 0);
        for cluster in clusters {
            all += 1;
            inside += usize::from(fitted.contains(cluster));
        }
        if inside == 0 {
            return Finding::pass("E8", format!("none of {all} rows is of an article that the calibrator was fitted on"));
        }
        Finding::fail(
            "E8",
            format!("{inside} of {all} rows are of articles that the calibrator was fitted on: a figure of them is in sample"),
            "Judge it on other rows, such as --rows sealed.",
        )
    }

    /// The judgement in one line, with both figures.
    pub fn words(&self) -> String {
        let change = self.difference.map_or_else(String::new, |(low, high)| format!(", difference {low:+.3} … {high:+.3}"));
        let end = if self.kept { "kept" } else { "dropped: not better out of sample" };
        format!(
            "isotonic on {} rows, {} folds over articles: MAE {:.3} → {:.3} out of sample ({:.3} in sample){change}; {end}",
            self.n, self.folds, self.raw_mae, self.mae, self.in_sample_mae
        )
    }
}

/// The fold of each cluster: clusters in seeded order take turns.
fn folds<'a>(clusters: impl Iterator<Item = &'a str>, seed: u64) -> BTreeMap<&'a str, usize> {
    let mut distinct: Vec<&str> = clusters.collect();
    distinct.sort_unstable();
    distinct.dedup();
    let folds = FOLDS.min(distinct.len()).max(1);
    shuffled(distinct, seed).into_iter().enumerate().map(|(i, cluster)| (cluster, i % folds)).collect()
}

/// Linear between points, constant beyond, within the scale.
fn map(points: &[(f64, f64)], scale: (f64, f64), x: f64) -> f64 {
    let above = points.partition_point(|p| p.0 < x);
    let y = match (above.checked_sub(1).and_then(|i| points.get(i)), points.get(above)) {
        (Some(low), Some(high)) => low.1 + (high.1 - low.1) * ((x - low.0) / (high.0 - low.0)).clamp(0.0, 1.0),
        (Some(one), None) | (None, Some(one)) => one.1,
        (None, None) => x,
    };
    y.clamp(scale.0, scale.1)
}

/// Another reading of the same answers, with figures of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readout {
    pub metrics: Metrics,
    pub intervals: Intervals,
    pub calibration: Option<Calibration>,
}

impl Readout {
    /// Of the probability-weighted scores. A row without one counts as a failure, so that both readings are over the same
    /// rows. `None`: no row has one.
    pub fn of(rows: &[JudgedRow], constant: Option<f64>, model: &Digest, recipe: &Recipe, seed: u64) -> Option<Self> {
        if rows.iter().all(|r| r.expected.is_none()) {
            return None;
        }
        let read: Vec<Row> = rows.iter().map(|r| r.with(r.expected)).collect();
        Some(Self {
            metrics: Metrics::compute(&read, &recipe.bands, &recipe.scale, constant),
            intervals: intervals(&read, &recipe.bands, &recipe.scale, constant, seed),
            calibration: Calibration::judge(rows, |r| r.expected, model, recipe, seed),
        })
    }
}
