//! Stored evaluations for a front end: the list, one with every figure, two compared.
//!
//! Owns what a screen needs of a record, computed once: bins of the calibration plot, counts of bands, the worst rows, where
//! a baseline wins. The figures are the record's own; comparing is `evaluate`'s.

use std::collections::{BTreeMap, HashMap};

use super::{Library, Read};
use crate::domain::{ArticleId, Digest, Finding, PairKey, ProfileId};
use crate::engine::evaluation::{StoredRun, find, runs_in};
use crate::engine::job::Failure;
use crate::engine::runs::compare_in;
use crate::engine::snapshot::SanityRow;
use crate::engine::views::{FIGURE_TABLE, sanity_rows, shown_figure};
use crate::evaluate::{Evaluation, FEW_ROWS, Group, JudgedRow, Outcome, Probes, RunComparison, charged, mean_interval};

/// Bins of the calibration plot.
const BINS: usize = 10;
/// Rows of the worst that a screen lists.
const WORST: usize = 50;

/// One figure beside the baselines'. Values are as they are written; "—" where undefined.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureLine {
    pub name: String,
    pub value: String,
    pub interval: Option<(f64, f64)>,
    pub n: usize,
    /// Too few rows to lean on.
    pub weak: bool,
    pub baselines: Vec<BaselineFigure>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BaselineFigure {
    pub name: String,
    pub value: String,
    /// It is nearer to perfect than the model.
    pub wins: bool,
}

/// The error on some of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PartLine {
    /// "profile", "band", "kind", "reader" or "article" (seen in training or not), "source".
    pub by: String,
    pub name: String,
    /// Of a reader: whether training had it.
    pub seen: Option<bool>,
    pub n: usize,
    pub failures: usize,
    pub mae: Option<f64>,
    pub interval: Option<(f64, f64)>,
    pub weak: bool,
}

/// Rows whose prediction lies in one part of the scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    pub n: usize,
    pub predicted: f64,
    pub truth: f64,
    /// 95 % of the mean truth, by bootstrap over articles.
    pub interval: Option<(f64, f64)>,
}

/// A row far off.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstLine {
    pub pair: PairKey,
    pub title: String,
    pub band: String,
    pub truth: f64,
    /// Who gave the truth.
    pub source: String,
    pub predicted: Option<f64>,
    /// As charged: an unreadable answer has the worst error possible.
    pub error: f64,
    pub output: String,
    pub defect: Option<String>,
}

/// One stored evaluation, ready to draw; texts are as they were stored.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationView {
    pub id: Digest,
    pub predictor: String,
    pub rows: String,
    pub runtime: String,
    pub n: usize,
    /// "sampled 40 of 118", "opening 2 of the seal", "these rows also chose the checkpoint".
    pub remarks: Vec<String>,
    pub table: Vec<FigureLine>,
    pub parts: Vec<PartLine>,
    pub scale: (f64, f64),
    pub bins: Vec<Bin>,
    /// Mean distance of prediction and truth over the bins, by their rows, in points.
    pub ece: Option<f64>,
    /// What a fitted calibrator would do, out of sample.
    pub calibrator: Option<String>,
    pub bands: Vec<String>,
    /// Rows by true band and predicted one; the last column is "unreadable".
    pub confusion: Vec<Vec<usize>>,
    pub worst: Vec<WorstLine>,
    pub sanity: Vec<SanityRow>,
    pub think: Vec<String>,
    pub verdict: String,
    pub verdict_lines: Vec<String>,
    /// Guards that failed.
    pub findings: Vec<Finding>,
    /// The record has its rows; one of an older version has not.
    pub has_rows: bool,
}

/// By how much the error of two runs differs on some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PartDifference {
    pub by: &'static str,
    pub name: String,
    pub n: usize,
    /// Mean of (other − first) of the errors; below 0 the other is better.
    pub difference: f64,
    pub interval: Option<(f64, f64)>,
    pub outcome: Outcome,
}

/// Two runs on the rows that both judged.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonView {
    pub comparison: RunComparison,
    pub parts: Vec<PartDifference>,
}

/// A part of the rows: what it is of, its place among these, its name.
type PartKey = (&'static str, usize, String);

impl Library {
    pub(super) fn evaluations(&self) -> Read<Vec<StoredRun>> {
        Ok(runs_in(&self.ledger)?)
    }

    pub(super) fn evaluation(&self, id: &Digest) -> Read<EvaluationView> {
        let (id, e) = find(&self.ledger, id.as_str())?;
        let recipe = &self.workspace.recipe;
        let mut think = e.cot.lines();
        // A record that no longer reads is of an older version; the page goes without it.
        let probes = self.ledger.probes_of(&id)?.and_then(|text| serde_json::from_str::<Probes>(&text).ok());
        think.extend(probes.iter().flat_map(Probes::lines));
        let (bins, ece) = bins(&e.rows, recipe.scale.range(), self.workspace.config.seed);
        let mut confusion = vec![vec![0_usize; recipe.bands.len() + 1]; recipe.bands.len()];
        for row in &e.rows {
            let column = row.predicted.map_or(recipe.bands.len(), |p| recipe.bands.index(p));
            confusion[recipe.bands.index(row.truth)][column] += 1;
        }
        Ok(EvaluationView {
            predictor: e.predictor_name().to_owned(),
            rows: e.rows_name().to_owned(),
            runtime: e.runtime().to_string(),
            n: e.metrics.n,
            remarks: remarks(&e),
            table: FIGURE_TABLE.iter().map(|(name, key)| figure_line(&e, name, key)).collect(),
            parts: parts(&e),
            scale: recipe.scale.range(),
            bins,
            ece,
            calibrator: e.calibration.as_ref().map(crate::evaluate::Calibration::words),
            bands: recipe.bands.names().map(str::to_owned).collect(),
            confusion,
            worst: self.worst(&e)?,
            sanity: sanity_rows(&self.workspace, &self.ledger, &e)?,
            think,
            verdict: e.verdict_words(),
            verdict_lines: e.verdict.lines.clone(),
            findings: e.findings.iter().filter(|f| f.failed()).cloned().collect(),
            has_rows: !e.rows.is_empty(),
            id,
        })
    }

    fn worst(&self, e: &Evaluation) -> Read<Vec<WorstLine>> {
        let recipe = &self.workspace.recipe;
        let error = |r: &JudgedRow| charged(r.truth, r.predicted, &recipe.scale);
        let mut rows: Vec<&JudgedRow> = e.rows.iter().collect();
        rows.sort_by(|a, b| error(b).total_cmp(&error(a)).then_with(|| (&a.article, &a.profile).cmp(&(&b.article, &b.profile))));
        let mut worst = Vec::new();
        for row in rows.into_iter().take(WORST) {
            let (Ok(article), Ok(profile)) = (row.article.parse::<ArticleId>(), row.profile.parse::<ProfileId>()) else {
                continue;
            };
            let title = self.ledger.article(&article)?.map_or_else(|| row.article.clone(), |a| a.title);
            worst.push(WorstLine {
                pair: PairKey { article, profile },
                title,
                band: recipe.bands.name_of(row.truth).to_owned(),
                truth: row.truth,
                source: row.source.clone(),
                predicted: row.predicted,
                error: error(row),
                output: row.output.clone(),
                defect: row.defect.clone(),
            });
        }
        Ok(worst)
    }

    pub(super) fn evaluations_compared(&self, first: &Digest, other: &Digest, across: bool) -> Read<ComparisonView> {
        let names = [first, other].map(|id| id.as_str().to_owned());
        let comparison = compare_in(&self.workspace, &self.ledger, &names, across)
            .map_err(|e| Failure::new(e.to_string(), "Choose two runs with rows in common."))?;
        let (_, a) = find(&self.ledger, &names[0])?;
        let (_, b) = find(&self.ledger, &names[1])?;
        let recipe = &self.workspace.recipe;
        let theirs: HashMap<(&str, &str), &JudgedRow> =
            b.rows.iter().map(|r| ((r.article.as_str(), r.profile.as_str()), r)).collect();
        let mut sums: BTreeMap<PartKey, BTreeMap<&str, (f64, f64)>> = BTreeMap::new();
        for row in &a.rows {
            let Some(other) = theirs.get(&(row.article.as_str(), row.profile.as_str())) else { continue };
            if (row.truth - other.truth).abs() >= 1e-9 {
                continue;
            }
            let change = charged(row.truth, other.predicted, &recipe.scale) - charged(row.truth, row.predicted, &recipe.scale);
            let band = recipe.bands.index(row.truth);
            for key in [("band", band, recipe.bands.name(band).to_owned()), ("reader", 0, row.profile.clone())] {
                let sum = sums.entry(key).or_default().entry(&row.cluster).or_default();
                *sum = (sum.0 + change, sum.1 + 1.0);
            }
        }
        let seed = self.workspace.config.seed;
        let parts = sums.into_iter().map(|((by, _, name), clusters)| part_difference(by, name, clusters, seed)).collect();
        Ok(ComparisonView { comparison, parts })
    }
}

fn part_difference(by: &'static str, name: String, clusters: BTreeMap<&str, (f64, f64)>, seed: u64) -> PartDifference {
    let clusters: Vec<(f64, f64)> = clusters.into_values().collect();
    let (sum, n) = clusters.iter().fold((0.0, 0.0), |all, c| (all.0 + c.0, all.1 + c.1));
    let interval = mean_interval(&clusters, seed);
    let outcome = match interval {
        _ if n < FEW_ROWS as f64 => Outcome::CannotTell,
        Some((_, high)) if high < 0.0 => Outcome::Better,
        Some((low, _)) if low > 0.0 => Outcome::Worse,
        _ => Outcome::CannotTell,
    };
    PartDifference { by, name, n: n as usize, difference: sum / n, interval, outcome }
}

fn remarks(e: &Evaluation) -> Vec<String> {
    let set = &e.row_set;
    let mut remarks = Vec::new();
    if set.n < set.of {
        remarks.push(format!("{} of {} rows ({})", set.n, set.of, set.sample));
    }
    if let Some(opening) = set.opening {
        remarks.push(format!("opening {opening} of the seal"));
    }
    if set.chose_model {
        remarks.push("these rows also chose the checkpoint: its figures flatter it".into());
    }
    remarks.extend(set.left_out.iter().map(|(why, n)| format!("{n} rows left out: {why}")));
    remarks
}

/// How far a figure is from perfect; `None`: neither more nor less of it is better.
fn distance(key: &str, value: f64) -> Option<f64> {
    match key {
        "psr_spread_truth" => None,
        "bias" => Some(value.abs()),
        "mae" | "rmse" | "macro_band_mae" | "parse_failures" => Some(value),
        _ => Some(-value),
    }
}

fn figure_line(e: &Evaluation, name: &str, key: &str) -> FigureLine {
    let m = &e.metrics;
    let of = |m: &crate::evaluate::Metrics| m.value(key).and_then(|v| distance(key, v));
    let model = of(m);
    let n = if key == "contrast_ordered" { m.contrast_pairs } else { m.n };
    let baselines = e.baselines.iter().map(|b| BaselineFigure {
        name: b.name.clone(),
        value: shown_figure(&b.metrics, key),
        wins: matches!((of(&b.metrics), model), (Some(theirs), Some(ours)) if theirs < ours),
    });
    FigureLine {
        name: name.to_owned(),
        value: shown_figure(m, key),
        interval: e.intervals.get(key).copied(),
        n,
        weak: n < FEW_ROWS,
        baselines: baselines.collect(),
    }
}

/// Bands and the parts that training knew or not first, then the readers, worst first.
fn parts(e: &Evaluation) -> Vec<PartLine> {
    let seen: HashMap<&str, bool> = e.rows.iter().filter_map(|r| Some((r.profile.as_str(), r.seen_profile?))).collect();
    let line = |g: &Group| PartLine {
        by: g.by.clone(),
        name: g.name.clone(),
        seen: if g.by == "profile" { seen.get(g.name.as_str()).copied() } else { None },
        n: g.metrics.n,
        failures: g.metrics.parse_failures,
        mae: g.metrics.mae,
        interval: g.intervals.get("mae").copied(),
        weak: g.weak(),
    };
    let (mut readers, mut parts): (Vec<PartLine>, Vec<PartLine>) = e.groups.iter().map(line).partition(|p| p.by == "profile");
    readers.sort_by(|a, b| b.mae.unwrap_or(-1.0).total_cmp(&a.mae.unwrap_or(-1.0)).then_with(|| a.name.cmp(&b.name)));
    parts.extend(readers);
    parts
}

/// Mean truth of each part of the scale that is predicted, and the expected calibration error.
fn bins(rows: &[JudgedRow], (min, max): (f64, f64), seed: u64) -> (Vec<Bin>, Option<f64>) {
    let width = (max - min) / BINS as f64;
    let mut parts: Vec<Vec<(&JudgedRow, f64)>> = vec![Vec::new(); BINS];
    for row in rows {
        let Some(p) = row.predicted.filter(|p| p.is_finite()) else { continue };
        let place = ((p - min) / width).floor().clamp(0.0, (BINS - 1) as f64) as usize;
        parts[place].push((row, p));
    }
    let mut bins = Vec::new();
    for (place, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
        let n = part.len() as f64;
        let mut articles: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (row, _) in part {
            let sum = articles.entry(&row.cluster).or_default();
            *sum = (sum.0 + row.truth, sum.1 + 1.0);
        }
        bins.push(Bin {
            from: min + place as f64 * width,
            to: min + (place + 1) as f64 * width,
            n: part.len(),
            predicted: part.iter().map(|(_, p)| p).sum::<f64>() / n,
            truth: part.iter().map(|(r, _)| r.truth).sum::<f64>() / n,
            interval: mean_interval(&articles.into_values().collect::<Vec<_>>(), seed),
        });
    }
    let all: usize = bins.iter().map(|b| b.n).sum();
    let apart = bins.iter().map(|b| b.n as f64 * (b.predicted - b.truth).abs()).sum::<f64>();
    let ece = (all > 0).then(|| apart / all as f64);
    (bins, ece)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(article: &str, truth: f64, predicted: Option<f64>) -> JudgedRow {
        JudgedRow {
            article: article.into(),
            profile: "nurse".into(),
            cluster: article.into(),
            truth,
            source: "teacher".into(),
            predicted,
            expected: None,
            output: String::new(),
            defect: None,
            seen_profile: None,
            seen_article: None,
            kind: None,
        }
    }

    #[test]
    fn a_bin_has_the_mean_truth_of_what_was_predicted_there_and_unreadable_rows_are_in_none() {
        let rows = [row("a", 2.0, Some(1.0)), row("b", 4.0, Some(1.5)), row("c", 10.0, Some(10.0)), row("d", 5.0, None)];
        let (bins, ece) = bins(&rows, (0.0, 10.0), 1);
        assert_eq!(bins.len(), 2);
        assert_eq!((bins[0].from, bins[0].to, bins[0].n, bins[0].truth, bins[0].predicted), (1.0, 2.0, 2, 3.0, 1.25));
        assert!(bins[0].interval.is_some_and(|(low, high)| (2.0..=3.0).contains(&low) && high <= 4.0));
        // The end of the scale is in the last bin; one article has no interval.
        assert_eq!((bins[1].from, bins[1].n, bins[1].interval), (9.0, 1, None));
        assert!((ece.expect("rows") - 2.0 * 1.75 / 3.0).abs() < 1e-9);
        assert_eq!(super::bins(&[row("a", 1.0, None)], (0.0, 10.0), 1), (Vec::new(), None));
    }

    #[test]
    fn what_is_better_depends_on_the_figure() {
        assert!(distance("mae", 1.0) < distance("mae", 2.0));
        assert!(distance("spearman", 0.9) < distance("spearman", 0.2));
        assert!(distance("bias", -0.1) < distance("bias", 0.5));
        assert_eq!(distance("psr_spread_truth", 0.5), None);
    }

    #[test]
    fn a_part_is_better_only_where_its_interval_says_so() {
        let of = |values: &[(f64, f64)]| {
            let names = ["a", "b", "c", "d"];
            part_difference("band", "High".into(), names.into_iter().zip(values.iter().copied()).collect(), 1)
        };
        let better = of(&[(-10.0, 10.0), (-20.0, 10.0), (-30.0, 20.0)]);
        assert_eq!((better.outcome, better.n, better.difference), (Outcome::Better, 40, -1.5));
        assert_eq!(of(&[(20.0, 20.0), (40.0, 20.0)]).outcome, Outcome::Worse);
        assert_eq!(of(&[(-20.0, 20.0), (20.0, 20.0)]).outcome, Outcome::CannotTell);
        assert_eq!(of(&[(-10.0, 10.0), (-11.0, 10.0)]).outcome, Outcome::CannotTell, "20 rows are few");
        assert_eq!(of(&[(-40.0, 40.0)]).outcome, Outcome::CannotTell, "one cluster has no interval");
    }
}
