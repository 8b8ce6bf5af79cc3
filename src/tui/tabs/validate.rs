//! The Validate tab: is it better than doing nothing, and where is it wrong?
//!
//! Owns which stored run is shown and which are compared. Runs and their figures are the library's, so that runs of any
//! predictor are shown, trained student or not; what the figures mean is the engine's.

mod actions;
mod bands;
mod calibration;
mod checks;
mod compare;
mod figures;
mod parts;
mod runs;
mod worst;

pub use actions::selected_text;

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::common::{findings, matches, next_step, sentence};
use super::{Look, Tab};
use crate::domain::{Digest, Phase, one_line};
use crate::engine::{Answer, EvaluationView, FigureLine, PartLine, Query, SanityRow, StoredRun, WorstLine};

pub const TAB: Tab = Tab {
    phase: Phase::Validate,
    pages: &["metrics", "readers", "calibration", "bands", "worst", "sanity", "think", "runs"],
    actions: actions::ACTIONS,
    rows,
    draw,
    wants,
};

const METRICS: usize = 0;
const READERS: usize = 1;
const CALIBRATION: usize = 2;
const BANDS: usize = 3;
const WORST: usize = 4;
const SANITY: usize = 5;
const RUNS: usize = 7;

/// A part of what is read of a row far off; each scrolls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    #[default]
    Student,
    Teacher,
    Article,
}

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State {
    /// The run whose figures are shown; `None`: the newest.
    pub shown: Option<Digest>,
    /// Marked to be compared, the first one first; at most two.
    pub marks: Vec<Digest>,
    /// The comparison stands in the place of the run's own summary.
    pub comparing: bool,
    /// Compare even where two runtimes answered.
    pub across: bool,
    pub part: Part,
}

/// Every stored run that the filter of the page of runs leaves.
fn stored<'a>(look: &Look<'a>) -> Vec<&'a StoredRun> {
    let filter = if look.tab.page == RUNS { look.tab.filter.as_str() } else { "" };
    all_runs(look)
        .iter()
        .filter(|r| matches(filter, &[&r.summary.predictor, &r.summary.rows, &r.summary.runtime, r.id.short()]))
        .collect()
}

fn all_runs<'a>(look: &Look<'a>) -> &'a [StoredRun] {
    match look.shelf.get(&Query::Evaluations) {
        Some(Answer::Evaluations(runs)) => runs,
        _ => &[],
    }
}

/// The run whose figures every page shows: the chosen one as long as it is stored, else the newest.
fn shown(look: &Look<'_>) -> Option<Digest> {
    let runs = all_runs(look);
    let chosen = look.own.validate.shown.as_ref().filter(|id| runs.iter().any(|r| r.id == **id));
    chosen.or_else(|| runs.first().map(|r| &r.id)).cloned()
}

/// Its figures.
fn view<'a>(look: &Look<'a>) -> Option<&'a Arc<EvaluationView>> {
    match look.shelf.get(&Query::Evaluation(shown(look)?)) {
        Some(Answer::Evaluation(view)) => Some(view),
        _ => None,
    }
}

/// The comparison that is asked for.
fn compared(look: &Look<'_>) -> Option<Query> {
    let own = &look.own.validate;
    match own.marks.as_slice() {
        [first, other] if own.comparing => {
            Some(Query::EvaluationsCompared { first: first.clone(), other: other.clone(), across: own.across })
        }
        _ => None,
    }
}

fn figures<'a>(view: &'a EvaluationView, look: &Look<'_>) -> Vec<&'a FigureLine> {
    view.table.iter().filter(|f| matches(&look.tab.filter, &[&f.name])).collect()
}

fn parts<'a>(view: &'a EvaluationView, look: &Look<'_>) -> Vec<&'a PartLine> {
    view.parts.iter().filter(|p| matches(&look.tab.filter, &[&p.by, &p.name])).collect()
}

fn worst<'a>(view: &'a EvaluationView, look: &Look<'_>) -> Vec<&'a WorstLine> {
    view.worst.iter().filter(|w| matches(&look.tab.filter, &[&w.title, w.pair.profile.as_str(), &w.band])).collect()
}

fn sanity<'a>(view: &'a EvaluationView, look: &Look<'_>) -> Vec<&'a SanityRow> {
    view.sanity.iter().filter(|s| matches(&look.tab.filter, &[&s.article, &s.profile])).collect()
}

pub fn rows(look: &Look<'_>) -> usize {
    if look.tab.page == RUNS {
        return stored(look).len();
    }
    let Some(view) = view(look) else { return 0 };
    match look.tab.page {
        METRICS => figures(view, look).len(),
        READERS => parts(view, look).len(),
        CALIBRATION => view.bins.len(),
        WORST => worst(view, look).len(),
        SANITY => sanity(view, look).len(),
        _ => 0,
    }
}

fn wants(look: &Look<'_>) -> Vec<Query> {
    let mut wants = vec![Query::Evaluations];
    wants.extend(shown(look).map(Query::Evaluation));
    match look.tab.page {
        WORST => {
            let row = view(look).and_then(|view| worst(view, look).get(look.tab.selected).map(|w| w.pair.clone()));
            wants.extend(row.map(Query::AuditReading));
        }
        RUNS => wants.extend(compared(look)),
        _ => {}
    }
    wants
}

/// "student on held-out · 118 rows · run 0a1b2c3d4e5f"
fn name_of(view: &EvaluationView) -> String {
    let (predictor, rows) = (one_line(&view.predictor, 40), one_line(&view.rows, 30));
    format!("{predictor} on {rows} · {} rows · run {}", view.n, view.id.short())
}

/// "0.812 … 1.034", empty where there is none.
fn interval(within: Option<(f64, f64)>) -> String {
    within.map_or_else(String::new, |(low, high)| format!("{low:.3} … {high:.3}"))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.filter(|v| v.is_finite()).map_or_else(|| "—".to_owned(), |v| format!("{v:.digits$}"))
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Validate);
    if all_runs(look).is_empty() {
        let none = "Nothing is evaluated yet: run this phase to score the held-out rows, or judge a baseline on them.";
        let words = match look.shelf.failed(&Query::Evaluations) {
            Some(why) => one_line(why, 300),
            None if look.shelf.waits(&Query::Evaluations) => "Reading the stored runs…".into(),
            None => next_step(look.snapshot, Phase::Validate, none, none),
        };
        return sentence(frame, area, look, "Validate", &words);
    }
    if look.tab.page == RUNS {
        return runs::draw(frame, area, look);
    }
    let Some(view) = view(look) else {
        let failed = shown(look).and_then(|id| look.shelf.failed(&Query::Evaluation(id)).map(|why| one_line(why, 300)));
        return sentence(frame, area, look, "Validate", failed.as_deref().unwrap_or("Reading the figures…"));
    };
    if !view.has_rows && (READERS..=WORST).contains(&look.tab.page) {
        let words = "This record is of an older version, which kept no rows: run the phase again to see where it is wrong.";
        return sentence(frame, area, look, &name_of(view), words);
    }
    match look.tab.page {
        METRICS => figures::draw(frame, area, look, view),
        READERS => parts::draw(frame, area, look, view),
        CALIBRATION => calibration::draw(frame, area, look, view),
        BANDS => bands::draw(frame, area, look, view),
        WORST => worst::draw(frame, area, look, view),
        SANITY => checks::sanity(frame, area, look, view),
        _ => checks::think(frame, area, look, view),
    }
}

#[cfg(test)]
mod tests;
