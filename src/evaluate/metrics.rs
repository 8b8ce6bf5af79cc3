//! The metrics of one evaluation, as the design's `metrics.md` defines them. Owns the figures and their names; their
//! intervals are `bootstrap`'s, the words about them `report`'s.
//!
//! `g` is the teacher's score, `p` the student's. A row without a score is a failure: it is counted, charged the worst
//! error possible for its row, max(g − min, max − g), in MAE, RMSE and band MAE, and wrong in direction, precision,
//! recall, F1, MCC, within 1/2 and contrast. ρ, bias, PSR and spreads, the teacher's too, are over parsed rows.

use serde::{Deserialize, Serialize};

use super::Row;
use super::figures::{Scratch, figures};
use super::table::Table;
use crate::domain::{Bands, recipe::Scale};

/// Mean charged |p − g| of the rows whose `g` lies in one band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BandMae {
    pub name: String,
    /// Lower edge.
    pub from: f64,
    pub n: usize,
    pub mae: Option<f64>,
}

/// Every figure of one set of rows. `None` is "undefined", never 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        let once = vec![1; table.articles()];
        let (f, counts) = figures(table, &once, constant, &mut Scratch::new(table));
        let own = "the best constant on these rows (their median)";
        let band = |(i, (name, from)): (usize, (&str, f64))| BandMae {
            name: name.to_owned(),
            from,
            n: counts.bands.get(i).map_or(0, |n| *n as usize),
            mae: f.band_mae.get(i).copied().flatten(),
        };
        Self {
            n: counts.n as usize,
            parse_failures: (counts.n - counts.parsed) as usize,
            mae: f.mae,
            rmse: f.rmse,
            bias: f.bias,
            spearman: f.spearman,
            direction_accuracy: f.direction_accuracy,
            within_1: f.within_1,
            within_2: f.within_2,
            macro_band_mae: f.macro_band_mae,
            bands: bands.names().zip(bands.edges()).enumerate().map(band).collect(),
            psr_spread: f.psr_spread,
            psr_spread_truth: f.psr_spread_truth,
            contrast_pairs: counts.contrast_pairs as usize,
            contrast_ordered: f.contrast_ordered,
            rho_within_profile: f.rho_within_profile,
            rho_within_article: f.rho_within_article,
            skill: f.skill,
            rho_within_profile_groups: counts.profile_groups,
            rho_within_article_groups: counts.article_groups as usize,
            precision: f.precision,
            recall: f.recall,
            f1: f.f1,
            mcc: f.mcc,
            recall_top_band: f.recall_top_band,
            psr_pairs: f.psr_pairs,
            contrast_by_2: f.contrast_by_2,
            mean_spread: f.mean_spread,
            mean_spread_truth: f.mean_spread_truth,
            skill_macro: f.skill_macro,
            skill_constant: f.constant,
            skill_source: if constant.is_some() { "the best constant on the training data" } else { own }.to_owned(),
            modal_share: f.modal_share,
        }
    }

    /// A figure by its JSON key; `None` for an undefined figure and for a key that is not one figure.
    pub fn value(&self, key: &str) -> Option<f64> {
        serde_json::to_value(self).ok()?.get(key)?.as_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bands, scale};
    use super::*;
    use crate::evaluate::spearman;
    use proptest::prelude::*;

    fn row(article: &str, profile: &str, truth: f64, predicted: impl Into<Option<f64>>) -> Row {
        Row { article: article.into(), profile: profile.into(), truth, predicted: predicted.into() }
    }

    fn compute(rows: &[Row]) -> Metrics {
        Metrics::compute(rows, &bands(), &scale(), None)
    }

    fn near(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-9)
    }

    /// A set of mean band noise: one critical reader per article, nineteen for whom it is noise.
    fn mostly_noise(predicted: f64) -> Vec<Row> {
        let cell = |a: usize, p: usize| row(&format!("a{a}"), &format!("p{p}"), if p == a % 20 { 9.5 } else { 0.5 }, predicted);
        (0..10).flat_map(|a| (0..20).map(move |p| cell(a, p))).collect()
    }

    #[test]
    fn a_constant_looks_right_by_direction_and_worthless_by_skill_and_contrast() {
        let metrics = compute(&mostly_noise(0.5));
        assert!(metrics.direction_accuracy > Some(0.9), "{metrics:?}");
        assert!(near(metrics.skill, 0.0) && near(metrics.contrast_ordered, 0.5));
        assert!(metrics.skill_macro <= Some(1e-9));
        assert_eq!((metrics.spearman, metrics.rho_within_article), (None, None));
        assert!(near(metrics.modal_share, 1.0) && near(metrics.psr_spread, 0.0) && near(metrics.psr_spread_truth, 1.0));
    }

    #[test]
    fn every_figure_of_a_small_set_is_what_a_hand_makes_it() {
        // p − g: 0.5, 1, −2, failure charged 8
        let rows = [row("a", "x", 9.0, 9.5), row("a", "y", 1.0, 2.0), row("b", "x", 6.0, 4.0), row("b", "y", 2.0, None)];
        let m = compute(&rows);
        assert_eq!((m.n, m.parse_failures, m.contrast_pairs), (4, 1, 2));
        assert!(near(m.mae, 11.5 / 4.0) && near(m.rmse, (69.25_f64 / 4.0).sqrt()) && near(m.bias, -0.5 / 3.0));
        assert!(near(m.direction_accuracy, 0.5) && near(m.within_1, 0.5) && near(m.within_2, 0.75));
        // Bands: Noise 1, Low 8, Moderate 2, Critical 0.5
        assert!(near(m.macro_band_mae, 11.5 / 4.0));
        assert_eq!(m.bands.iter().map(|b| b.n).collect::<Vec<_>>(), [1, 1, 1, 0, 1]);
        assert_eq!(m.bands[3].mae, None);
        assert!(near(m.psr_spread, 1.0) && near(m.psr_spread_truth, 1.0));
        assert!(near(m.contrast_ordered, 0.5) && near(m.contrast_by_2, 0.5) && near(m.psr_pairs, 1.0));
        assert!(near(m.spearman, 1.0));
        // Constant 4 (median of 1, 2, 6, 9): errors 3, 2, 2, 5
        assert!(near(m.skill_constant, 4.0) && near(m.skill, 1.0 - 11.5 / 12.0));
        // TP a/x, FN b/x, TN a/y, FP b/y (failure)
        assert!(near(m.precision, 0.5) && near(m.recall, 0.5) && near(m.f1, 0.5) && near(m.mcc, 0.0));
        assert!(near(m.recall_top_band, 1.0) && near(m.mean_spread, 7.5) && near(m.mean_spread_truth, 8.0));
    }

    #[test]
    fn decimal_bounds_hold_although_their_binary_differences_do_not() {
        // 8.2 − 5.2 is 2.9999999999999996.
        let m = compute(&[row("a", "x", 8.2, 9.2), row("a", "y", 5.2, 7.2)]);
        assert_eq!(m.contrast_pairs, 1);
        assert!(near(m.within_2, 1.0) && near(m.psr_spread, 1.0) && near(m.contrast_by_2, 1.0));
    }

    #[test]
    fn a_constant_from_training_data_is_used_and_named() {
        let m = Metrics::compute(&mostly_noise(0.5), &bands(), &scale(), Some(3.0));
        assert_eq!((m.skill_constant, m.skill_source.as_str()), (Some(3.0), "the best constant on the training data"));
        assert!(m.skill > Some(0.5));
    }

    #[test]
    fn nothing_one_class_one_profile_nan_and_all_failures_leave_gaps_not_zeros() {
        let nothing = compute(&[]);
        assert_eq!((nothing.n, nothing.mae, nothing.skill, nothing.bands.len()), (0, None, None, 5));
        let one_class = compute(&[row("a", "x", 1.0, 1.5), row("b", "x", 1.0, 2.0)]);
        assert_eq!((one_class.mcc, one_class.recall, one_class.precision, one_class.skill), (None, None, None, None));
        assert_eq!((one_class.psr_spread, one_class.contrast_ordered, one_class.spearman), (None, None, None));
        assert!(near(one_class.direction_accuracy, 1.0) && near(one_class.macro_band_mae, 0.75));
        let nan = compute(&[row("a", "x", 1.0, f64::NAN), row("a", "y", f64::NAN, 1.0), row("a", "z", 1.0, 12.0)]);
        assert_eq!((nan.n, nan.parse_failures), (2, 2));
        let failed = compute(&[row("a", "x", 1.0, None), row("a", "y", 9.0, None)]);
        assert!(near(failed.mae, 9.0) && near(failed.direction_accuracy, 0.0) && near(failed.contrast_ordered, 0.0));
        assert_eq!((failed.bias, failed.psr_spread, failed.psr_spread_truth, failed.modal_share), (None, None, None, None));
    }

    #[test]
    fn correlation_inside_groups_needs_five_rows_and_variance() {
        let mut rows: Vec<Row> = (0..5).map(|i| row(&format!("a{i}"), "x", f64::from(i), f64::from(i))).collect();
        rows.extend((0..5).map(|i| row(&format!("a{i}"), "flat", f64::from(i), 1.0)));
        rows.extend((0..4).map(|i| row(&format!("a{i}"), "few", f64::from(i), f64::from(4 - i))));
        let m = compute(&rows);
        assert!(near(m.rho_within_profile, 1.0));
        assert_eq!((m.rho_within_profile_groups, m.rho_within_article, m.rho_within_article_groups), (1, None, 0));
    }

    #[test]
    fn the_json_begins_with_the_promised_keys_and_says_null_for_undefined() {
        let json = serde_json::to_value(compute(&[row("a", "x", 1.0, 1.5)])).expect("serialises");
        let keys: Vec<&str> = json.as_object().expect("object").keys().map(String::as_str).collect();
        let promised = "n parse_failures mae rmse bias spearman direction_accuracy within_1 within_2 macro_band_mae bands psr_spread \
                        psr_spread_truth contrast_pairs contrast_ordered rho_within_profile rho_within_article skill";
        assert_eq!(keys[..18], promised.split_whitespace().collect::<Vec<_>>());
        assert!(json["spearman"].is_null());
        assert_eq!(json["bands"][0], serde_json::json!({"name": "from 0", "from": 0.0, "n": 1, "mae": 0.5}));
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let cell = (0u8..6, 0u8..6, 0u8..=100, prop::option::of(0u8..=100));
        prop::collection::vec(cell, 1..60).prop_map(|cells| {
            let tenth = |v: u8| f64::from(v) / 10.0;
            cells.iter().map(|&(a, p, g, s)| row(&format!("a{a}"), &format!("p{p}"), tenth(g), s.map(tenth))).collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_rows_changes_nothing(shuffled in rows().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle()))) {
            prop_assert_eq!(compute(&shuffled.0), compute(&shuffled.1));
        }

        #[test]
        fn bands_partition_the_rows(rows in rows()) {
            let m = compute(&rows);
            prop_assert_eq!(m.bands.iter().map(|b| b.n).sum::<usize>(), m.n);
        }

        #[test]
        fn a_failure_never_improves_an_error_or_a_share(rows in rows(), at in 0usize..60) {
            let mut worse = rows.clone();
            let at = at % worse.len();
            worse[at].predicted = None;
            let (a, b) = (compute(&rows), compute(&worse));
            prop_assert!(b.mae >= a.mae.map(|v| v - 1e-9) && b.rmse >= a.rmse.map(|v| v - 1e-9));
            prop_assert!(b.macro_band_mae >= a.macro_band_mae.map(|v| v - 1e-9));
            prop_assert!(b.direction_accuracy <= a.direction_accuracy && b.within_1 <= a.within_1);
            prop_assert!(b.contrast_ordered <= a.contrast_ordered && b.recall <= a.recall);
        }

        #[test]
        fn the_best_constant_is_never_beaten_by_another_constant(rows in rows(), constant in 0u8..=100) {
            let constant = f64::from(constant) / 10.0;
            let same: Vec<Row> = rows.into_iter().map(|r| Row { predicted: Some(constant), ..r }).collect();
            let m = compute(&same);
            prop_assert!(m.skill.is_none_or(|s| s <= 1e-9) && m.skill_macro.is_none_or(|s| s <= 1e-9));
            prop_assert!(m.contrast_ordered.is_none_or(|c| (c - 0.5).abs() < 1e-12));
        }

        #[test]
        fn spearman_of_the_table_is_spearman_of_the_columns(rows in rows()) {
            let pairs: Vec<(f64, f64)> = rows.iter().filter_map(|r| r.predicted.map(|p| (r.truth, p))).collect();
            let (g, p): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            match (compute(&rows).spearman, spearman(&g, &p)) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }
}
