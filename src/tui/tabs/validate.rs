//! The Validate tab: is it better than doing nothing, and where is it wrong?
//!
//! Owns the layout of the four pages. The numbers, their intervals and the verdict come finished from the engine.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::audit::labelled;
use super::{Look, Tab, TabState, wants_nothing};
use crate::domain::{Phase, one_line};
use crate::engine::{MetricRow, PredictionView, SanityRow, Snapshot};
use crate::tui::charts::bar;
use crate::tui::charts::parts::{empty, fit, line, list, matches, notices, number, pane, prose, row_width, span, split};
use crate::tui::theme::Role;

pub const TAB: Tab = Tab { phase: Phase::Validate, pages: &["metrics", "sanity", "think", "worst"], actions: &[], rows, draw, wants: wants_nothing };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(look: &Look<'_>) -> usize {
    let (snapshot, tab) = (look.snapshot, look.tab);
    match tab.page {
        0 => metrics(snapshot, tab).count(),
        1 => sanity(snapshot, tab).count(),
        2 => readers(snapshot, tab).count(),
        _ => worst(snapshot, tab).count(),
    }
}

fn metrics<'a>(snapshot: &'a Snapshot, tab: &'a TabState) -> impl Iterator<Item = &'a MetricRow> {
    snapshot.validate.table.iter().filter(|m| matches(&tab.filter, &[&m.name]))
}

fn sanity<'a>(snapshot: &'a Snapshot, tab: &'a TabState) -> impl Iterator<Item = &'a SanityRow> {
    snapshot.validate.sanity.iter().filter(|s| matches(&tab.filter, &[&s.article, &s.profile]))
}

fn readers<'a>(snapshot: &'a Snapshot, tab: &'a TabState) -> impl Iterator<Item = &'a (String, usize, f64)> {
    snapshot.validate.by_profile.iter().filter(|r| matches(&tab.filter, &[&r.0]))
}

fn worst<'a>(snapshot: &'a Snapshot, tab: &'a TabState) -> impl Iterator<Item = &'a PredictionView> {
    snapshot.validate.worst.iter().filter(|p| matches(&tab.filter, &[&p.title, p.pair.profile.as_str()]))
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = notices(frame, area, look, Phase::Validate);
    let Some(subject) = &look.snapshot.validate.subject else {
        let next = "Nothing is evaluated yet: run this phase to score the held-out rows with the best checkpoint.";
        empty(frame, area, look, Phase::Validate, next);
        return;
    };
    match look.tab.page {
        0 => draw_metrics(frame, area, look, subject),
        1 => draw_sanity(frame, area, look),
        2 => draw_think(frame, area, look),
        _ => draw_worst(frame, area, look),
    }
}

/// Cells of the columns of numbers, of intervals and of counts.
const NUMBER: usize = 8;
const INTERVAL: usize = 13;
const COUNT: usize = 4;

fn draw_metrics(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, subject: &str) {
    let validate = &look.snapshot.validate;
    // Header and borders of the table take three rows; the verdict keeps at least five.
    let table = u16::try_from(validate.table.len()).unwrap_or(u16::MAX).saturating_add(3);
    let table = table.min(area.height.saturating_sub(5));
    let [top, bottom] = Layout::vertical([Constraint::Length(table), Constraint::Min(0)]).areas(area);

    let names: Vec<&str> = validate.table.first().map_or_else(Vec::new, |m| m.baselines.iter().map(|b| b.0.as_str()).collect());
    let columns = Columns::of(row_width(top), names.len());
    let mut header = columns.measured("metric", "model", "95 % interval", "n");
    for name in names {
        header.push(' ');
        header.push_str(&right(name, columns.baseline));
    }
    let rows = metrics(look.snapshot, look.tab).map(|m| metric_row(m, &columns, look)).collect();
    list(frame, top, look, "metrics", Some(header), rows);

    let mut lines = vec![line(one_line(&validate.verdict, 300), look, Role::Strong)];
    lines.extend(validate.verdict_lines.iter().flat_map(|text| prose(text, look, Role::Text)));
    lines.push(line(format!("of {}", one_line(subject, 300)), look, Role::Dim));
    pane(frame, bottom, look, "verdict", lines, look.tab.detail);
}

/// Widths of the metrics table's columns that depend on the room.
struct Columns {
    name: usize,
    baseline: usize,
}

impl Columns {
    fn of(width: usize, baselines: usize) -> Self {
        let baseline = if width >= 96 { 14 } else { 8 };
        let fixed = NUMBER + INTERVAL + COUNT + 3 + baselines * (baseline + 1) + WEAK.len();
        Self { name: width.saturating_sub(fixed).clamp(8, 30), baseline }
    }

    fn measured(&self, name: &str, model: &str, interval: &str, n: &str) -> String {
        format!("{} {} {} {}", fit(name, self.name), right(model, NUMBER), right(interval, INTERVAL), right(n, COUNT))
    }
}

/// Beside a metric that rests on too few rows.
const WEAK: &str = " few rows";

fn metric_row(metric: &MetricRow, columns: &Columns, look: &Look<'_>) -> Line<'static> {
    let mut text = columns.measured(&metric.name, &metric.model, &metric.interval, &metric.n.to_string());
    for (_, value) in &metric.baselines {
        text.push(' ');
        text.push_str(&right(value, columns.baseline));
    }
    if metric.weak {
        text.push_str(WEAK);
    }
    line(text, look, if metric.weak { Role::Dim } else { Role::Text })
}

/// [`fit`], aligned to the right.
fn right(text: &str, width: usize) -> String {
    let left = fit(text, width);
    let kept = left.trim_end();
    format!("{}{kept}", " ".repeat(left.len() - kept.len()))
}

fn draw_sanity(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let width = row_width(area);
    let rest = width.saturating_sub(2 + 3 + 3 * (NUMBER + 1));
    let (article, reader) = (rest * 6 / 10, rest - rest * 6 / 10);
    let columns = |name: &str, profile: &str, numbers: [&str; 3]| {
        let [expected, teacher, student] = numbers.map(|text| right(text, NUMBER));
        format!("{} {} {expected} {teacher} {student}", fit(name, article), fit(profile, reader))
    };
    let header = format!("  {}", columns("article", "reader", ["expected", "teacher", "student"]));
    let row = |s: &SanityRow| {
        let (mark, role) = if s.passed { ("✓ ", Role::Good) } else { ("✗ ", Role::Bad) };
        let numbers = [s.expected.as_str(), &number(s.teacher, 1), &number(s.student, 1)];
        Line::from(vec![span(mark, look, role), span(columns(&s.article, &s.profile, numbers), look, Role::Text)])
    };
    let all = &look.snapshot.validate.sanity;
    let title = format!("sanity: {} of {} passed", all.iter().filter(|s| s.passed).count(), all.len());
    list(frame, area, look, &title, Some(header), sanity(look.snapshot, look.tab).map(row).collect());
}

fn draw_think(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let validate = &look.snapshot.validate;
    let (readers_area, checks) = split(area, look);
    if let Some(area) = readers_area {
        let width = row_width(area);
        let name = (width / 2).min(28);
        let cells = width.saturating_sub(name + 14).min(30);
        let largest = validate.by_profile.iter().map(|r| r.2).filter(|mae| mae.is_finite()).fold(0.0, f64::max);
        let row = |(reader, n, mae): &(String, usize, f64)| {
            let share = if largest > 0.0 { mae / largest } else { 0.0 };
            Line::from(vec![
                span(format!("{} {n:>5} {:>6} ", fit(reader, name), number(Some(*mae), 2)), look, Role::Text),
                span(bar(share, cells), look, Role::Gauge),
            ])
        };
        let header = format!("{} {:>5} {:>6}", fit("reader", name), "n", "MAE");
        list(frame, area, look, "error by reader", Some(header), readers(look.snapshot, look.tab).map(row).collect());
    }
    if let Some(area) = checks {
        let lines = validate.think.iter().flat_map(|text| prose(text, look, Role::Text)).collect();
        pane(frame, area, look, "think blocks", lines, look.tab.detail);
    }
}

fn draw_worst(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let predictions: Vec<&PredictionView> = worst(look.snapshot, look.tab).collect();
    let (left, detail) = split(area, look);
    if let Some(area) = left {
        let title = row_width(area).saturating_sub(3 * (NUMBER + 1));
        let columns = |name: &str, numbers: [&str; 3]| {
            let [teacher, student, off] = numbers.map(|text| right(text, NUMBER));
            format!("{} {teacher} {student} {off}", fit(name, title))
        };
        let row = |p: &&PredictionView| {
            let off = number(p.predicted.map(|predicted| predicted - p.truth), 1);
            line(columns(&p.title, [&number(Some(p.truth), 1), &number(p.predicted, 1), &off]), look, Role::Text)
        };
        let header = columns("article", ["teacher", "student", "off by"]);
        list(frame, area, look, "worst disagreements", Some(header), predictions.iter().map(row).collect());
    }
    if let Some(area) = detail {
        let Some(p) = predictions.get(look.tab.selected) else { return };
        let mut lines = vec![line(one_line(&p.title, 300), look, Role::Strong)];
        let scores = format!("teacher {} · student {}", number(Some(p.truth), 1), number(p.predicted, 1));
        lines.push(line(scores, look, Role::Accent));
        lines.extend(labelled(&p.output, look));
        pane(frame, area, look, &p.pair.to_string(), lines, look.tab.detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tabs::TabState;
    use crate::tui::testing::Stage;
    use crate::tui::charts::fixture::{busy, drawn, expect, nothing, with_finding};

    const HERE: Phase = Phase::Validate;

    fn page(page: usize) -> TabState {
        TabState { page, ..TabState::default() }
    }

    #[test]
    fn metrics_show_intervals_baselines_and_which_rest_on_few_rows() {
        let words = [
            "95 % interval",
            "constant",
            "lexical",
            "0.70–0.92",
            "2.10",
            "1.90",
            "MAE of cri",
            "few rows",
            "better than every",
            "0.81 against 1.40",
        ];
        expect(HERE, &busy(), &page(0), &words);
        assert_eq!(Stage::of(&busy(), &page(0)).rows(TAB.phase), 2);
    }

    #[test]
    fn sanity_rows_say_who_expected_what_and_pass_or_fail_by_glyph() {
        let words = ["1 of 2 passed", "✓ Tender for pumps", "✗ Tender", "kuwait_cpeg", "≥ 7", "8.5", "8.0", "—"];
        expect(HERE, &busy(), &page(1), &words);
    }

    #[test]
    fn think_checks_stand_with_the_error_by_reader() {
        expect(HERE, &busy(), &page(2), &["38 of 40 name", "kuwait_cpeg", "oman_nurse", "1.50", "█"]);
    }

    #[test]
    fn the_worst_disagreements_show_the_output_without_its_escape_sequences() {
        let words = ["Tender [2Jfor pumps", "-6.5", "PROFILE: x", "SCORE: 2.0", "a-1 × kuwait_cpeg"];
        expect(HERE, &busy(), &page(3), &words);
        expect(HERE, &busy(), &TabState { detail: true, scroll: u16::MAX, ..page(3) }, &["SCORE: 2.0"]);
    }

    #[test]
    fn the_selected_row_is_marked_without_colour() {
        let text = drawn(HERE, &busy(), &TabState { selected: 1, ..page(1) }, (80, 24));
        assert!(text.contains("▸ ✗ Tender"), "{text}");
    }

    #[test]
    fn a_filter_counts_what_it_shows_on_every_page() {
        let counts: Vec<usize> = (0..4).map(|p| Stage::of(&busy(), &TabState { filter: "oman".into(), ..page(p) }).rows(TAB.phase)).collect();
        assert_eq!(counts, [0, 0, 1, 0]);
    }

    #[test]
    fn an_empty_tab_says_what_is_missing_under_the_failed_guards() {
        let mut snapshot = nothing();
        with_finding(&mut snapshot, HERE, Some("a demo"));
        for p in 0..4 {
            expect(HERE, &snapshot, &page(p), &["Validate is locked", "few-rows", "overridden: a demo"]);
        }
    }
}
