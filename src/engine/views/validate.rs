//! View of tab 6: is it better than doing nothing; does it pass the recipe's own gates?

use super::super::evaluation::outputs;
use super::super::phases::{last_evaluation, load_dataset};
use super::super::scoring;
use super::super::snapshot::{MetricRow, PredictionView, SanityRow, ValidateView};
use super::super::state::Standing;
use super::super::wiring;
use super::output_of;
use crate::dataset::Side;
use crate::domain::{Phase, read_tolerant};
use crate::evaluate::{Evaluation, FEW_ROWS, Metrics, Probes, figure};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// Rows of the worst disagreements that are shown.
const WORST_SHOWN: usize = 50;

/// The table's rows: name for people, JSON key of the metric.
pub(in super::super) const TABLE: [(&str, &str); 16] = [
    ("MAE", "mae"),
    ("RMSE", "rmse"),
    ("bias", "bias"),
    ("skill", "skill"),
    ("macro-band MAE", "macro_band_mae"),
    ("Spearman ρ", "spearman"),
    ("ρ within profile", "rho_within_profile"),
    ("ρ within article", "rho_within_article"),
    ("contrast ordered", "contrast_ordered"),
    ("direction accuracy", "direction_accuracy"),
    ("F1 at 5", "f1"),
    ("within 1", "within_1"),
    ("within 2", "within_2"),
    ("PSR-spread", "psr_spread"),
    ("PSR-spread of teacher", "psr_spread_truth"),
    ("parse failures", "parse_failures"),
];

pub(super) fn view(workspace: &Workspace, ledger: &Ledger, standings: &[Standing]) -> Result<ValidateView, WorkspaceError> {
    let Some((evaluation, subject)) = last_evaluation(ledger)? else { return Ok(ValidateView::default()) };
    let mut view = ValidateView {
        subject: Some(subject_line(&evaluation)),
        table: TABLE.iter().map(|(name, key)| row(&evaluation, name, key)).collect(),
        sanity: sanity(workspace, ledger, &evaluation)?,
        think: evaluation.cot.lines(),
        verdict: evaluation.verdict_words(),
        verdict_lines: evaluation.verdict.lines.clone(),
        ..ValidateView::default()
    };
    // A record that no longer reads is of an older version; the tab goes without it.
    let probes = ledger.probes_of(&subject)?.and_then(|text| serde_json::from_str::<Probes>(&text).ok());
    view.think.extend(probes.iter().flat_map(Probes::lines));
    let Some(dataset) = output_of(standings, Phase::Dataset) else { return Ok(view) };
    let Ok(stored) = load_dataset(workspace, &dataset) else { return Ok(view) };
    let outputs = outputs(ledger, &evaluation, &subject)?;
    let titles: std::collections::HashMap<_, _> = ledger.articles()?.into_iter().map(|(a, _)| (a.id, a.title)).collect();
    let mut rows: Vec<PredictionView> = Vec::new();
    for example in stored.side(Side::Eval) {
        let Some(output) = outputs.get(&example.pair) else { continue };
        let predicted = read_tolerant(output, workspace.recipe.scale.range()).ok().map(|(s, _)| s);
        let title = titles.get(&example.pair.article).cloned().unwrap_or_default();
        rows.push(PredictionView { pair: example.pair.clone(), title, truth: example.score, predicted, output: output.clone() });
    }
    let error = |p: &PredictionView| p.predicted.map_or_else(|| p.truth.max(10.0 - p.truth), |s| (s - p.truth).abs());
    view.by_profile = by_profile(&rows, error);
    rows.sort_by(|a, b| error(b).total_cmp(&error(a)));
    rows.truncate(WORST_SHOWN);
    view.worst = rows;
    Ok(view)
}

fn subject_line(evaluation: &Evaluation) -> String {
    let subject = &evaluation.subject;
    format!(
        "model {} · {} · {} held-out rows of dataset {}, which also chose the checkpoint",
        subject.model.short(),
        subject.runtime,
        evaluation.metrics.n,
        subject.dataset.short()
    )
}

fn row(evaluation: &Evaluation, name: &str, key: &str) -> MetricRow {
    let metrics = &evaluation.metrics;
    let interval = evaluation.intervals.get(key).map_or_else(String::new, |(lo, hi)| format!("{lo:.3} … {hi:.3}"));
    let baselines = evaluation.baselines.iter().map(|b| (b.name.clone(), shown(&b.metrics, key))).collect();
    let n = if key == "contrast_ordered" { metrics.contrast_pairs } else { metrics.n };
    MetricRow { name: name.into(), model: shown(metrics, key), interval, n, weak: n < FEW_ROWS, baselines }
}

pub(in super::super) fn shown(metrics: &Metrics, key: &str) -> String {
    if key == "parse_failures" { metrics.parse_failures.to_string() } else { figure(metrics.value(key)) }
}

pub(in super::super) fn sanity(
    workspace: &Workspace,
    ledger: &Ledger,
    evaluation: &Evaluation,
) -> Result<Vec<SanityRow>, WorkspaceError> {
    let profiles: Vec<_> = ledger.profiles()?.into_iter().map(|(p, _)| p).collect();
    let teacher = wiring::teacher(workspace).ok();
    let cells = scoring::sanity_cells(workspace, false).unwrap_or_default();
    let teacher_score = |title: &str, reader: &str| {
        let (article, _) = cells.iter().find(|(a, r)| a.title == title && r == reader)?;
        let profile = profiles.iter().find(|p| p.id.as_str() == reader)?;
        teacher.as_ref()?.free_answer(&serde_json::json!({"profile": profile, "article": article})).map(|prism| prism.score)
    };
    let rows = evaluation.sanity.rows.iter().map(|r| SanityRow {
        article: r.title.clone(),
        profile: r.profile.clone(),
        expected: r.expected.clone(),
        teacher: teacher_score(&r.title, &r.profile),
        student: r.score,
        passed: r.pass || !r.required,
    });
    Ok(rows.collect())
}

/// Rows and mean error of each reader.
fn by_profile(rows: &[PredictionView], error: impl Fn(&PredictionView) -> f64) -> Vec<(String, usize, f64)> {
    let mut sums: std::collections::BTreeMap<String, (usize, f64)> = std::collections::BTreeMap::new();
    for row in rows {
        let sum = sums.entry(row.pair.profile.to_string()).or_default();
        sum.0 += 1;
        sum.1 += error(row);
    }
    sums.into_iter().map(|(name, (n, total))| (name, n, total / n as f64)).collect()
}
