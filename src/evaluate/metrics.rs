//! The metrics of one evaluation, as the design's `metrics.md` defines them. Owns the figures and their names; their
//! intervals are `bootstrap`'s, the words about them `report`'s.
//!
//! `g` is the teacher's score, `p` the student's. A row without a score is a failure: it is counted, charged the worst
//! error possible for its row, max(g − min, max − g), in MAE, RMSE and band MAE, and wrong in direction, precision,
//! recall, F1, MCC, within 1/2 and contrast. ρ, bias, PSR and spreads, the teacher's too, are over parsed rows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Row;
use super::rank::spearman;
use super::table::{Cell, Sums, Table, macro_band, ratio, weighted_median};
use crate::domain::{Bands, recipe::Scale};

/// Groups smaller than this have no ρ worth averaging.
const GROUP_FROM: usize = 5;

/// Mean charged |p − g| of the rows whose `g` lies in one band.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BandMae {
    pub name: String,
    /// Lower edge.
    pub from: f64,
    pub n: usize,
    pub mae: Option<f64>,
}

/// Every figure of one set of rows. `None` is "undefined", never 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// All rows, failures included.
    pub n: usize,
    pub parse_failures: usize,
    /// Σ|p − g| / n
    pub mae: Option<f64>,
    /// √(Σ(p − g)² / n)
    pub rmse: Option<f64>,
    /// Σ(p − g) / parsed
    pub bias: Option<f64>,
    /// Pearson of average ranks
    pub spearman: Option<f64>,
    /// Share with (p ≥ 5) = (g ≥ 5), 5 being the recipe's `relevant_from`
    pub direction_accuracy: Option<f64>,
    /// Share with |p − g| ≤ 1
    pub within_1: Option<f64>,
    /// Share with |p − g| ≤ 2
    pub within_2: Option<f64>,
    /// Unweighted mean of `bands[..].mae` over bands that have rows
    pub macro_band_mae: Option<f64>,
    pub bands: Vec<BandMae>,
    /// Share of articles seen by ≥ 2 profiles with max p − min p ≥ 2
    pub psr_spread: Option<f64>,
    /// The same figure of g, on the same rows
    pub psr_spread_truth: Option<f64>,
    /// Same-article pairs with Δg ≥ 3
    pub contrast_pairs: usize,
    /// Share of them with Δp > 0, ties ½
    pub contrast_ordered: Option<f64>,
    /// Mean Spearman inside profiles of ≥ 5 parsed rows where both sides vary
    pub rho_within_profile: Option<f64>,
    /// The same inside articles
    pub rho_within_article: Option<f64>,
    /// 1 − MAE / MAE of the best constant
    pub skill: Option<f64>,
    /// Profiles that `rho_within_profile` is the mean of
    pub rho_within_profile_groups: usize,
    pub rho_within_article_groups: usize,
    /// TP / (TP + FP) of "relevant"
    pub precision: Option<f64>,
    /// TP / (TP + FN)
    pub recall: Option<f64>,
    /// 2 TP / (2 TP + FP + FN)
    pub f1: Option<f64>,
    /// (TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN))
    pub mcc: Option<f64>,
    /// Share of rows with g in the highest band whose p is there too
    pub recall_top_band: Option<f64>,
    /// Over same-article pairs with |Δg| ≥ 2: share with the same sign and |Δp| ≥ 1
    pub psr_pairs: Option<f64>,
    /// Share of the contrast pairs with Δp ≥ 2
    pub contrast_by_2: Option<f64>,
    /// Mean of max p − min p over articles seen by ≥ 2 profiles
    pub mean_spread: Option<f64>,
    pub mean_spread_truth: Option<f64>,
    /// 1 − macro-band MAE / that of the constant. On own rows it is the constant that is best at macro-band MAE.
    pub skill_macro: Option<f64>,
    /// The constant of `skill`
    pub skill_constant: Option<f64>,
    /// Where the constant comes from
    pub skill_source: String,
    /// Share of the most frequent prediction, to one decimal, among parsed rows
    pub modal_share: Option<f64>,
}

impl Metrics {
    /// All metrics of `rows`. `constant` comes from training data; `None` takes the best constant (the median of `g`)
    /// on the rows themselves, and `skill_source` says so. Rows whose truth lies outside the scale are left out of `n`.
    pub fn compute(rows: &[Row], bands: &Bands, scale: &Scale, constant: Option<f64>) -> Self {
        Self::of_table(&Table::new(rows, bands, scale), bands, constant)
    }

    pub(super) fn of_table(table: &Table, bands: &Bands, constant: Option<f64>) -> Self {
        let once = vec![1; table.articles.len()];
        let total = table.total(&once);
        let headline = table.headline(&once, constant);
        let (within_profile, profile_groups) = rho_within(table.cells().map(|c| (c.profile.as_str(), c)));
        let by_article = table.articles.iter().enumerate().flat_map(|(i, cells)| cells.iter().map(move |c| (i, c)));
        let (within_article, article_groups) = rho_within(by_article);
        let own = "the best constant on these rows (their median)";
        Self {
            n: total.n as usize,
            parse_failures: (total.n - total.parsed) as usize,
            mae: headline.mae,
            rmse: headline.rmse,
            bias: headline.bias,
            spearman: headline.spearman,
            direction_accuracy: headline.direction_accuracy,
            within_1: headline.within_1,
            within_2: headline.within_2,
            macro_band_mae: headline.macro_band_mae,
            bands: band_maes(&total, bands),
            psr_spread: headline.psr_spread,
            psr_spread_truth: ratio(total.psr_truth, total.shared),
            contrast_pairs: total.contrast_pairs as usize,
            contrast_ordered: headline.contrast_ordered,
            rho_within_profile: within_profile,
            rho_within_article: within_article,
            skill: headline.skill,
            rho_within_profile_groups: profile_groups,
            rho_within_article_groups: article_groups,
            precision: ratio(total.true_positive, total.true_positive + total.false_positive),
            recall: ratio(total.true_positive, total.true_positive + total.false_negative),
            f1: ratio(2.0 * total.true_positive, 2.0 * total.true_positive + total.false_positive + total.false_negative),
            mcc: mcc(&total),
            recall_top_band: ratio(total.top_found, total.top_rows),
            psr_pairs: ratio(total.psr_pairs_right, total.psr_pairs),
            contrast_by_2: ratio(total.contrast_by_2, total.contrast_pairs),
            mean_spread: ratio(total.spread, total.shared),
            mean_spread_truth: ratio(total.spread_truth, total.shared),
            skill_macro: skill_macro(table, &total, headline.macro_band_mae, constant),
            skill_constant: headline.constant,
            skill_source: if constant.is_some() { "the best constant on the training data" } else { own }.to_owned(),
            modal_share: modal_share(table),
        }
    }

    /// A figure by its JSON key; `None` for an undefined figure and for a key that is not one figure.
    pub fn value(&self, key: &str) -> Option<f64> {
        serde_json::to_value(self).ok()?.get(key)?.as_f64()
    }
}

fn band_maes(total: &Sums, bands: &Bands) -> Vec<BandMae> {
    let sums = total.bands.iter().copied().chain(std::iter::repeat((0.0, 0.0)));
    let named = bands.names().zip(bands.edges()).zip(sums);
    named.map(|((name, from), (error, n))| BandMae { name: name.to_owned(), from, n: n as usize, mae: ratio(error, n) }).collect()
}

/// Mean Spearman over groups of at least [`GROUP_FROM`] parsed rows where it is defined, and their number.
fn rho_within<'a, K: Ord>(cells: impl Iterator<Item = (K, &'a Cell)>) -> (Option<f64>, usize) {
    let mut groups: BTreeMap<K, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (key, cell) in cells {
        if let Some(p) = cell.predicted {
            let (truths, predictions) = groups.entry(key).or_default();
            truths.push(cell.truth);
            predictions.push(p);
        }
    }
    let rhos: Vec<f64> =
        groups.values().filter(|(truths, _)| truths.len() >= GROUP_FROM).filter_map(|(g, p)| spearman(g, p)).collect();
    (ratio(rhos.iter().sum(), rhos.len() as f64), rhos.len())
}

fn mcc(s: &Sums) -> Option<f64> {
    let (tp, fp, fneg, tn) = (s.true_positive, s.false_positive, s.false_negative, s.true_negative);
    ratio(tp * tn - fp * fneg, ((tp + fp) * (tp + fneg) * (tn + fp) * (tn + fneg)).sqrt())
}

fn skill_macro(table: &Table, total: &Sums, macro_band_mae: Option<f64>, constant: Option<f64>) -> Option<f64> {
    let share = |cell: &Cell| total.bands.get(cell.band).and_then(|&(_, n)| ratio(1.0, n)).unwrap_or(0.0);
    let constant = constant.or_else(|| {
        let mut weights = vec![0.0; table.truths.len()];
        for cell in table.cells() {
            weights[table.truths.partition_point(|t| *t < cell.truth)] += share(cell);
        }
        weighted_median(&table.truths, &weights)
    })?;
    let mut errors: Vec<(f64, f64)> = vec![(0.0, 0.0); total.bands.len()];
    for cell in table.cells() {
        errors[cell.band].0 += (cell.truth - constant).abs();
        errors[cell.band].1 += 1.0;
    }
    Some(1.0 - ratio(macro_band_mae?, macro_band(&errors)?)?)
}

fn modal_share(table: &Table) -> Option<f64> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for p in table.cells().filter_map(|c| c.predicted) {
        *counts.entry((p * 10.0).round() as i64).or_default() += 1;
    }
    ratio(counts.values().copied().max().unwrap_or(0) as f64, counts.values().sum::<usize>() as f64)
}
