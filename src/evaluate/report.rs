//! The metrics of one file, for machines and for people. Owns the report's shape and wording; the figures are
//! `metrics`' and `bootstrap`'s.

use std::path::Path;

use serde::Serialize;

use super::rows::read_table;
use super::table::Table;
use super::{Intervals, Metrics, Row, RowsError, bootstrap};
use crate::domain::{Bands, one_line, recipe::Scale};

/// Seed of the intervals where nothing else is said: the same file always gets the same report.
pub const REPORT_SEED: u64 = 19;

/// The figures that an evaluation is told by: name for people, key of the metric.
pub(super) const FIGURES: [(&str, &str); 23] = [
    ("MAE", "mae"),
    ("RMSE", "rmse"),
    ("bias", "bias"),
    ("skill", "skill"),
    ("macro-band MAE", "macro_band_mae"),
    ("skill, macro band", "skill_macro"),
    ("Spearman ρ", "spearman"),
    ("ρ within profile", "rho_within_profile"),
    ("ρ within article", "rho_within_article"),
    ("contrast ordered", "contrast_ordered"),
    ("contrast by 2", "contrast_by_2"),
    ("direction accuracy", "direction_accuracy"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("F1", "f1"),
    ("MCC", "mcc"),
    ("recall of top band", "recall_top_band"),
    ("within 1", "within_1"),
    ("within 2", "within_2"),
    ("PSR-spread", "psr_spread"),
    ("PSR-spread, teacher", "psr_spread_truth"),
    ("PSR-pairs", "psr_pairs"),
    ("modal share", "modal_share"),
];

/// All keys of [`Metrics`], then `intervals`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricsReport {
    #[serde(flatten)]
    pub metrics: Metrics,
    /// 95 %, by bootstrap over articles.
    pub intervals: Intervals,
}

/// Metrics and intervals of a JSONL file of rows, against the best constant on its own rows.
pub fn metrics_of_file(path: &Path, bands: &Bands, scale: &Scale) -> Result<MetricsReport, RowsError> {
    Ok(MetricsReport::of_table(&read_table(path, bands, scale)?, bands, None, REPORT_SEED))
}

impl MetricsReport {
    /// Metrics and intervals of `rows`; `constant` as in [`Metrics::compute`].
    pub fn of(rows: &[Row], bands: &Bands, scale: &Scale, constant: Option<f64>, seed: u64) -> Self {
        Self::of_table(&Table::new(rows, bands, scale), bands, constant, seed)
    }

    fn of_table(table: &Table, bands: &Bands, constant: Option<f64>, seed: u64) -> Self {
        Self { metrics: Metrics::of_table(table, bands, constant), intervals: bootstrap::of_table(table, constant, seed) }
    }

    /// A table for people: figure, value, 95 % interval; — is undefined.
    pub fn lines(&self) -> Vec<String> {
        let m = &self.metrics;
        let parsed = m.n - m.parse_failures;
        let mut lines = vec![
            format!("{} rows, {} of them without a score (charged the worst error possible)", m.n, m.parse_failures),
            format!("{:<26}{:>9}   95 % interval", "", "value"),
        ];
        let line = |label: &str, key: &str, value: Option<f64>, note: &str| {
            let interval = self.intervals.get(key).map(|(low, high)| format!("[{low:.3}, {high:.3}]"));
            let text = format!("{label:<26}{:>9}   {:<18}{note}", figure(value), interval.unwrap_or_default());
            text.trim_end().to_owned()
        };
        lines.push(line("MAE", "mae", m.mae, ""));
        lines.push(line("RMSE", "rmse", m.rmse, ""));
        lines.push(line("bias", "bias", m.bias, &format!("over {parsed} parsed rows")));
        lines.push(line("Spearman ρ", "spearman", m.spearman, &format!("over {parsed} parsed rows")));
        let groups = |n: usize| format!("mean of {n} groups");
        lines.push(line("ρ within profile", "rho_within_profile", m.rho_within_profile, &groups(m.rho_within_profile_groups)));
        lines.push(line("ρ within article", "rho_within_article", m.rho_within_article, &groups(m.rho_within_article_groups)));
        let against = m.skill_constant.map_or_else(String::new, |c| format!("against {c:.2}, {}", m.skill_source));
        lines.push(line("skill", "skill", m.skill, &against));
        lines.push(line("skill, macro band", "skill_macro", m.skill_macro, ""));
        lines.push(line("direction accuracy", "direction_accuracy", m.direction_accuracy, ""));
        lines.push(line("precision", "precision", m.precision, ""));
        lines.push(line("recall", "recall", m.recall, ""));
        lines.push(line("F1", "f1", m.f1, ""));
        lines.push(line("MCC", "mcc", m.mcc, ""));
        lines.push(line("recall of the top band", "recall_top_band", m.recall_top_band, ""));
        lines.push(line("within 1", "within_1", m.within_1, ""));
        lines.push(line("within 2", "within_2", m.within_2, ""));
        let teacher = |value| format!("teacher's own {}", figure(value));
        lines.push(line("PSR-spread", "psr_spread", m.psr_spread, &teacher(m.psr_spread_truth)));
        lines.push(line("PSR-pairs", "psr_pairs", m.psr_pairs, ""));
        lines.push(line("mean spread", "mean_spread", m.mean_spread, &teacher(m.mean_spread_truth)));
        let pairs = format!("over {} pairs", m.contrast_pairs);
        lines.push(line("contrast ordered", "contrast_ordered", m.contrast_ordered, &pairs));
        lines.push(line("contrast by 2", "contrast_by_2", m.contrast_by_2, &pairs));
        lines.push(line("modal share", "modal_share", m.modal_share, ""));
        lines.push(line("macro-band MAE", "macro_band_mae", m.macro_band_mae, ""));
        for (i, band) in m.bands.iter().enumerate() {
            let label = format!("  {} (from {})", one_line(&band.name, 14), band.from);
            lines.push(line(&label, &format!("bands.{i}"), band.mae, &format!("over {} rows", band.n)));
        }
        lines
    }
}

/// A figure to three decimals, — where it is undefined.
pub fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "—".to_owned(), |v| format!("{:.3}", if v.abs() < 5e-4 { 0.0 } else { v }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[Row]) -> MetricsReport {
        let scale = Scale { min: 0.0, max: 10.0, relevant_from: 5.0, forbidden: Vec::new() };
        let bands = Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending");
        MetricsReport::of(rows, &bands, &scale, None, REPORT_SEED)
    }

    #[test]
    fn the_json_is_flat_and_ends_with_the_intervals() {
        let row = |a: &str, truth| Row { article: a.into(), profile: "p".into(), truth, predicted: Some(1.0) };
        let json = serde_json::to_value(of(&[row("a", 1.0), row("b", 3.0)])).expect("serialises");
        let keys: Vec<&String> = json.as_object().expect("object").keys().collect();
        assert_eq!((keys[0].as_str(), keys[keys.len() - 1].as_str()), ("n", "intervals"));
        assert!(json["intervals"]["mae"].is_array(), "{json}");
    }

    #[test]
    fn an_undefined_figure_is_a_dash_and_the_teacher_stands_beside_the_student() {
        let lines = of(&[Row { article: "a".into(), profile: "p".into(), truth: 1.0, predicted: None }]).lines();
        let find = |label: &str| lines.iter().find(|l| l.starts_with(label)).cloned().unwrap_or_default();
        assert_eq!(find("Spearman").split_whitespace().nth(2), Some("—"));
        assert!(find("MAE").ends_with("9.000") && find("PSR-spread").ends_with("teacher's own —"));
        assert_eq!(figure(Some(-0.000_01)), "0.000");
    }
}
