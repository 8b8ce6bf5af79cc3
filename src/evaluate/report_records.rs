//! The parts of a report that come from other records: guards, the dataset's card, settings. Owns their tables.

use super::Evaluation;
use super::report_doc::{Block, Grid, Section};
use super::report_parts::ReportInput;
use crate::dataset::DatasetStats;
use crate::domain::{Finding, one_line};

pub(super) fn guards(input: &ReportInput<'_>) -> Section {
    let mut grid = Grid::new(&["guard", "moment", "outcome", "saw", "remedy"]);
    let mut row = |finding: &Finding, phase: &str, reason: Option<&String>| {
        let outcome = match (finding.failed(), reason) {
            (false, _) => "passed".to_owned(),
            (true, None) => "FAILED".to_owned(),
            (true, Some(reason)) => format!("overridden: {}", one_line(reason, 200)),
        };
        grid.row(vec![finding.guard.clone(), phase.to_owned(), outcome, finding.saw.clone(), finding.remedy.clone()]);
    };
    for finding in &input.evaluation.findings {
        row(finding, "this evaluation", None);
    }
    for guarded in &input.guards {
        row(&guarded.finding, &guarded.phase.to_string(), guarded.override_reason.as_ref());
    }
    let failed = grid.rows.iter().filter(|r| r.get(2).is_some_and(|o| o == "FAILED")).count();
    let overridden = grid.rows.iter().filter(|r| r.get(2).is_some_and(|o| o.starts_with("overridden"))).count();
    let words = format!("{} checks: {failed} failed, {overridden} overridden with a reason.", grid.rows.len());
    Section { title: "Guards".into(), blocks: vec![Block::Text(words), Block::Table(grid)] }
}

pub(super) fn data_card(stats: &DatasetStats) -> Section {
    let lines = stats.lines();
    Section { title: "Data card".into(), blocks: vec![Block::Quote(lines.join("\n"))] }
}

pub(super) fn settings(e: &Evaluation) -> Section {
    let mut grid = Grid::new(&["setting", "value"]);
    for (name, value) in &e.settings {
        grid.row(vec![name.clone(), value.clone()]);
    }
    if grid.rows.is_empty() {
        for (name, value) in [("sampling", e.subject.sampling.clone()), ("seed", e.subject.seed.to_string())] {
            grid.row(vec![name.into(), value]);
        }
    }
    let words = "As recorded with the run, from the effective configuration (guard T18).".to_owned();
    Section { title: "Settings".into(), blocks: vec![Block::Text(words), Block::Table(grid)] }
}
