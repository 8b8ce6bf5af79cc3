//! The guards that look at a finished evaluation. Each compares the figures with what a documented failure looks like; none
//! changes a figure.

use std::collections::BTreeMap;

use super::calibration::Calibration;
use super::evaluation::{BaselineMetrics, FEW_ROWS, JudgedRow, RowSet, Runtime};
use super::floor::{NoiseFloor, d19};
use super::report::figure;
use super::{BASELINES, Metrics};
use crate::domain::Finding;

/// Two scores that make up more than this share of the predictions, and of the truths far less, are a collapse.
const COLLAPSED: f64 = 0.8;
const FAR_LESS: f64 = 0.2;
/// A set with more of its rows in one band judges that band alone.
const ONE_BAND: f64 = 0.9;
/// More answers than this share with a cause of failure are worth a warning.
const TOO_MANY_CAUSES: f64 = 0.02;

/// What the guards look at.
pub struct Seen<'a> {
    pub predictor: &'a str,
    pub metrics: &'a Metrics,
    pub contrast: Option<(f64, f64)>,
    pub baselines: &'a [BaselineMetrics],
    pub rows: &'a [JudgedRow],
    pub row_set: &'a RowSet,
    pub calibrations: &'a [Option<&'a Calibration>],
    pub floor: Option<&'a NoiseFloor>,
    pub runtime: &'a Runtime,
    /// Causes of bad answers, where the predictor writes text.
    pub causes: Option<&'a BTreeMap<String, usize>>,
    /// Rows that baselines were fitted on.
    pub fitted_here: usize,
}

/// All of them, in the order of the registry.
pub fn findings(seen: &Seen<'_>) -> Vec<Finding> {
    let mut all = vec![
        d2(seen.rows),
        d19(seen.floor, seen.metrics.mae),
        e1(seen),
        e2(seen.metrics, seen.contrast),
        e3(seen.metrics, seen.row_set),
        e4(seen.metrics),
        e5(seen.metrics, seen.rows),
        e6(seen.runtime),
    ];
    all.extend(e8(seen.calibrations));
    all.extend(seen.causes.map(|causes| s12(causes, seen.rows.len())));
    all
}

/// Share of the two most frequent values, to one decimal.
fn two_modes(values: impl Iterator<Item = f64>) -> Option<(f64, Vec<f64>)> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for value in values {
        *counts.entry((value * 10.0).round() as i64).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    let mut ordered: Vec<(i64, usize)> = counts.into_iter().collect();
    ordered.sort_by_key(|(value, n)| (std::cmp::Reverse(*n), *value));
    ordered.truncate(2);
    let modes = ordered.iter().map(|(value, _)| *value as f64 / 10.0).collect();
    (all > 0).then(|| (ordered.iter().map(|(_, n)| n).sum::<usize>() as f64 / all as f64, modes))
}

/// Guard D2: predictions that know only two scores.
fn d2(rows: &[JudgedRow]) -> Finding {
    let told = two_modes(rows.iter().filter_map(|r| r.predicted));
    let true_share = two_modes(rows.iter().map(|r| r.truth)).map_or(0.0, |(share, _)| share);
    let Some((share, modes)) = told else { return Finding::pass("D2", "no prediction could be read") };
    let values: Vec<String> = modes.iter().map(|v| format!("{v:.1}")).collect();
    let saw = format!(
        "{} make up {:.0} % of the predictions; the two most frequent truths {:.0} %",
        values.join(" and "),
        100.0 * share,
        100.0 * true_share
    );
    if share >= COLLAPSED && share >= true_share + FAR_LESS {
        return Finding::fail("D2", saw, "It collapsed to its modes. Balance the training data by band, then train again.");
    }
    Finding::pass("D2", saw)
}

/// Guard E1: the model against those who did not read.
fn e1(seen: &Seen<'_>) -> Finding {
    let mae = figure(seen.metrics.mae);
    if seen.baselines.is_empty() {
        let remedy = "Build a dataset ('stratos dataset build'), so that there is a training side to fit baselines on.";
        return Finding::fail("E1", format!("MAE {mae} has no baselines beside it: there is no training side"), remedy);
    }
    let fitted = match seen.fitted_here {
        0 => String::new(),
        n => format!("; the baselines were fitted on {n} of these rows, which flatters them"),
    };
    if BASELINES.contains(&seen.predictor.replace('-', " ").as_str()) {
        return Finding::pass("E1", format!("MAE {mae} is a baseline's own{fitted}"));
    }
    let beaten_by: Vec<String> = seen
        .baselines
        .iter()
        .filter(|b| matches!((seen.metrics.mae, b.metrics.mae), (Some(model), Some(base)) if base <= model))
        .map(|b| format!("{} ({})", b.name, figure(b.metrics.mae)))
        .collect();
    if beaten_by.is_empty() {
        return Finding::pass("E1", format!("MAE {mae} is better than every baseline's{fitted}"));
    }
    let saw = format!("MAE {mae} is no better than: {}{fitted}", beaten_by.join(", "));
    Finding::fail("E1", saw, "Do not deploy it for its averages; look at contrast ordering and at more data.")
}

/// Guard E2: a spread is worth something only in the right order.
fn e2(metrics: &Metrics, contrast: Option<(f64, f64)>) -> Finding {
    let Some(psr) = metrics.psr_spread else { return Finding::pass("E2", "no article was read by two readers: no PSR is shown") };
    let within = contrast.map_or_else(String::new, |(low, high)| format!(" [{low:.3}, {high:.3}]"));
    let saw = format!(
        "PSR-spread {psr:.3} beside the teacher's own {} and contrast ordered {}{within} over {} pairs",
        figure(metrics.psr_spread_truth),
        figure(metrics.contrast_ordered),
        metrics.contrast_pairs
    );
    let spreads = metrics.psr_spread_truth.is_none_or(|truth| psr >= truth);
    let by_chance = match (contrast, metrics.contrast_ordered) {
        (Some((low, _)), _) => low <= 0.5,
        (None, Some(ordered)) => ordered <= 0.5,
        (None, None) => true,
    };
    if psr > 0.0 && spreads && by_chance {
        return Finding::fail("E2", saw, "Scores that spread without order are noise; PSR says nothing of this model.");
    }
    Finding::pass("E2", saw)
}

/// Guard E3: rows of all bands, drawn by chance.
fn e3(metrics: &Metrics, set: &RowSet) -> Finding {
    let counts: Vec<String> = metrics.bands.iter().map(|b| format!("{} {}", b.name, b.n)).collect();
    let drawn = if set.sample.is_empty() { "all rows".to_owned() } else { set.sample.clone() };
    let saw = format!("{drawn}: {}", counts.join(", "));
    let most = metrics.bands.iter().map(|b| b.n).max().unwrap_or(0);
    if metrics.n > 0 && most as f64 > ONE_BAND * metrics.n as f64 {
        let remedy = "Averages over these rows judge one band. Read the bands' own figures, or evaluate on a fuller set.";
        return Finding::fail("E3", saw, remedy);
    }
    Finding::pass("E3", saw)
}

/// Guard E4: enough rows to speak of.
fn e4(metrics: &Metrics) -> Finding {
    if metrics.n >= FEW_ROWS {
        return Finding::pass("E4", format!("{} rows, each number with its interval", metrics.n));
    }
    Finding::fail("E4", format!("only {} rows", metrics.n), "Hold out more articles before comparing anything.")
}

/// Guard E5: failures are in the numbers.
fn e5(metrics: &Metrics, rows: &[JudgedRow]) -> Finding {
    if metrics.parse_failures == 0 {
        return Finding::pass("E5", format!("all {} answers could be read", metrics.n));
    }
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.predicted.is_none()) {
        *causes.entry(row.defect.as_deref().unwrap_or("off the scale")).or_default() += 1;
    }
    let causes: Vec<String> = causes.iter().map(|(defect, n)| format!("{n} × {defect}")).collect();
    let saw = format!(
        "{} of {} answers could not be read ({}); each is charged its worst error",
        metrics.parse_failures,
        metrics.n,
        causes.join(", ")
    );
    Finding::fail("E5", saw, "Read them in the Validate tab; more training or another sampling may mend them.")
}

/// Guard E6: every number carries its runtime.
fn e6(runtime: &Runtime) -> Finding {
    if runtime.engine.trim().is_empty() || runtime.precision.trim().is_empty() {
        let remedy = "Say in [scoring] which server it is, so that nobody compares these numbers with another runtime's.";
        return Finding::fail("E6", format!("it is not known what computed the answers ('{runtime}')"), remedy);
    }
    Finding::pass("E6", format!("computed by {runtime}; a comparison with another runtime is refused"))
}

/// Guard E8: calibration is reported out of sample, or not at all.
fn e8(calibrations: &[Option<&Calibration>]) -> Vec<Finding> {
    let judged: Vec<&&Calibration> = calibrations.iter().flatten().collect();
    if judged.is_empty() {
        return Vec::new();
    }
    let words: Vec<String> = judged.iter().map(|c| c.words()).collect();
    let flattering = judged.iter().any(|c| !c.kept && c.in_sample_mae < c.raw_mae);
    let finding = if flattering {
        let remedy =
            "Use the scores as they are: the calibrator only looked better on the rows it was fitted on, and was dropped.";
        Finding::fail("E8", words.join("; "), remedy)
    } else {
        Finding::pass("E8", words.join("; "))
    };
    vec![finding]
}

/// Guard S12: what goes wrong in answers, by cause.
fn s12(causes: &BTreeMap<String, usize>, n: usize) -> Finding {
    let words: Vec<String> = causes.iter().map(|(cause, count)| format!("{count} × {cause}")).collect();
    let most = causes.values().max().copied().unwrap_or(0);
    if most == 0 {
        return Finding::pass(
            "S12",
            format!("none of {n} answers is cut, runs in circles, leaves its think block open or changes script"),
        );
    }
    let saw = format!("of {n} answers: {}", words.join(", "));
    if most as f64 > TOO_MANY_CAUSES * n as f64 {
        return Finding::fail(
            "S12",
            saw,
            "Read such answers in the Validate tab; raise max_new_tokens or train on complete answers.",
        );
    }
    Finding::pass("S12", saw)
}
