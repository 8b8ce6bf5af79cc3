//! An evaluation as lines for a plain terminal. Owns wording and layout; every number is the record's.

use super::evaluation::{Evaluation, FEW_ROWS};
use super::report::{FIGURES, figure};
use super::{Intervals, Metrics};
use crate::domain::one_line;

/// How much of a group's name is shown.
const NAME: usize = 30;

/// The whole record: head, figures beside the baselines, then [`part_lines`].
pub fn evaluation_lines(evaluation: &Evaluation) -> Vec<String> {
    let (m, set) = (&evaluation.metrics, &evaluation.row_set);
    let sealed = set.opening.map_or_else(String::new, |n| format!(" · opening {n} of the seal"));
    let few = if m.n < FEW_ROWS { " · FEW ROWS: lean on nothing here" } else { "" };
    let mut lines = vec![
        format!(
            "{} on {} · {} rows, {} unreadable · {}{sealed}{few}",
            evaluation.predictor_name(),
            evaluation.rows_name(),
            m.n,
            m.parse_failures,
            evaluation.runtime()
        ),
        format!("model {} · sampling {}", evaluation.subject.model.short(), one_line(&evaluation.subject.sampling, 120)),
    ];
    if !set.sample.is_empty() {
        lines.push(format!("sample: {}", set.sample));
    }
    for (cause, n) in &set.left_out {
        lines.push(format!("left out: {n} rows, {cause}"));
    }
    if set.chose_model {
        lines.push("these rows also chose the checkpoint: figures on them flatter the student".to_owned());
    }
    lines.push(String::new());
    let header = evaluation.baselines.iter().fold(String::new(), |text, b| text + &format!("{:>15}", b.name));
    lines.push(format!("{:<22}{:>8}  {:<18}{:>6}{header}", "", "value", "95 % interval", "n"));
    for (name, key) in FIGURES {
        let beside =
            evaluation.baselines.iter().fold(String::new(), |text, b| text + &format!("{:>15}", figure(b.metrics.value(key))));
        let row = format!(
            "{name:<22}{:>8}  {:<18}{:>6}{beside}",
            figure(m.value(key)),
            within(&evaluation.intervals, key),
            counted(m, key)
        );
        lines.push(row.trim_end().to_owned());
    }
    if let Some(constant) = m.skill_constant {
        lines.push(format!("skill is against {constant:.2}, {}", m.skill_source));
    }
    lines.extend(part_lines(evaluation));
    lines
}

/// What stands below the head table: floor, second reading, calibration, groups, causes, verdict.
pub fn part_lines(evaluation: &Evaluation) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(floor) = &evaluation.floor {
        lines.push(format!("noise floor: {}", floor.words()));
    }
    if let Some(calibration) = &evaluation.calibration {
        lines.push(format!("calibration: {}", calibration.words()));
    }
    if let Some(readout) = &evaluation.expected {
        let m = &readout.metrics;
        lines.push(format!(
            "probability-weighted reading: MAE {} {} · ρ {} · bias {} · contrast ordered {} · n {}, {} without",
            figure(m.mae),
            within(&readout.intervals, "mae"),
            figure(m.spearman),
            figure(m.bias),
            figure(m.contrast_ordered),
            m.n,
            m.parse_failures
        ));
        lines.extend(readout.calibration.iter().map(|c| format!("  its calibration: {}", c.words())));
    }
    if !evaluation.groups.is_empty() {
        lines.push(String::new());
        let heads = ["MAE", "95 % interval", "bias", "ρ", "skill", "contrast", "n"];
        let [mae, interval, bias, rho, skill, contrast, n] = heads;
        lines.push(format!("{:<8} {:<NAME$} {mae:>7}  {interval:<18}{bias:>7}{rho:>8}{skill:>8}{contrast:>10}{n:>7}", "by", ""));
    }
    for group in &evaluation.groups {
        let m = &group.metrics;
        let weak = if group.weak() { "  · few rows" } else { "" };
        lines.push(format!(
            "{:<8} {:<NAME$} {:>7}  {:<18}{:>7}{:>8}{:>8}{:>10}{:>7}{weak}",
            group.by,
            one_line(&group.name, NAME),
            figure(m.mae),
            within(&group.intervals, "mae"),
            figure(m.bias),
            figure(m.spearman),
            figure(m.skill),
            figure(m.contrast_ordered),
            m.n
        ));
    }
    if !evaluation.causes.is_empty() {
        lines.push(String::new());
        lines.push("answers that went wrong, by cause".to_owned());
        lines.extend(evaluation.causes.iter().map(|(cause, n)| format!("  {n:>5} × {cause}")));
    }
    if evaluation.cot.n > 0 {
        lines.push(String::new());
        lines.extend(evaluation.cot.lines());
    }
    lines.push(String::new());
    lines.push(evaluation.verdict_words());
    lines.extend(evaluation.verdict.lines.iter().map(|line| format!("  {line}")));
    for finding in evaluation.findings.iter().filter(|f| f.failed()) {
        lines.push(format!("! {}: {} → {}", finding.guard, finding.saw, finding.remedy));
    }
    lines
}

fn within(intervals: &Intervals, key: &str) -> String {
    intervals.get(key).map_or_else(String::new, |(low, high)| format!("[{low:.3}, {high:.3}]"))
}

/// The number of rows, pairs or groups that a figure is over.
fn counted(m: &Metrics, key: &str) -> usize {
    match key {
        "contrast_ordered" | "contrast_by_2" => m.contrast_pairs,
        "rho_within_profile" => m.rho_within_profile_groups,
        "rho_within_article" => m.rho_within_article_groups,
        "bias" | "spearman" => m.n - m.parse_failures,
        _ => m.n,
    }
}
