//! The rows that are farthest off: the article, the reader, and what teacher and student thought, side by side.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::{Part, name_of, number, worst};
use crate::domain::{one_line, safe_text};
use crate::engine::{Answer, AuditReading, EvaluationView, Query, WorstLine};
use crate::tui::tabs::Look;
use crate::tui::tabs::audit::labelled;
use crate::tui::tabs::common::{empty_list, list_title};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::{WIDE, pane, take_top};
use crate::tui::widgets::text::{from_top, pad, pad_left, page, wrap, wrapped};

/// Columns of a score.
const SCORE: usize = 7;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let rows = worst(view, look);
    let title = format!("{} · {}", list_title("worst", look, rows.len(), view.worst.len()), name_of(view));
    if rows.is_empty() {
        return empty_list(frame, area, look, &title, "There are no rows.");
    }
    // Reading takes the whole tab; the list alone has a row for what is under the selection.
    let Some(row) = rows.get(look.tab.selected.min(rows.len() - 1)) else { return };
    if look.tab.detail {
        return reading(frame, area, look, row);
    }
    let share = if area.height >= 30 { area.height / 3 } else { area.height / 2 };
    let (top, bottom) = take_top(area, share.max(6).into());
    let inner = pane(frame, top, look.theme, &title, true);
    let columns = usize::from(inner.width).saturating_sub(2);
    let room = columns.saturating_sub(3 * (SCORE + 1));
    let text = |name: &str, reader: &str, scores: [&str; 3]| {
        let reader_columns = if room >= 50 { room / 3 } else { 0 };
        let reader = if reader_columns > 0 { format!(" {}", pad(reader, reader_columns - 1)) } else { String::new() };
        let [truth, predicted, off] = scores.map(|s| pad_left(s, SCORE));
        format!("{}{reader} {truth} {predicted} {off}", pad(name, room - reader_columns))
    };
    let header = text("article", "reader", ["truth", "model", "off by"]);
    let list = List { header: &header, total: rows.len(), selected: look.tab.selected };
    list.draw(frame, inner, look.theme, |at, _| {
        let w = rows[at];
        let off = w.predicted.map_or_else(|| format!("×{:.1}", w.error), |p| format!("{:+.1}", p - w.truth));
        let scores = [number(Some(w.truth), 1), number(w.predicted, 1), off];
        let row = text(&one_line(&w.title, 200), w.pair.profile.as_str(), [&scores[0], &scores[1], &scores[2]]);
        Line::styled(row, look.theme.style(if w.predicted.is_none() { Role::Warn } else { Role::Text }))
    });
    if !bottom.is_empty() {
        reading(frame, bottom, look, row);
    }
}

/// Both blocks beside each other where there is room, with the article above; else the chosen part.
fn reading(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, row: &WorstLine) {
    let part = look.own.validate.part;
    if area.width < WIDE {
        return one(frame, area, look, row, part);
    }
    let above = (area.height / 3).clamp(0, 12);
    let [top, below] = Layout::vertical([Constraint::Length(above), Constraint::Min(0)]).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(below);
    one(frame, top, look, row, Part::Article);
    one(frame, left, look, row, Part::Teacher);
    one(frame, right, look, row, Part::Student);
}

fn one(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, row: &WorstLine, part: Part) {
    let focus = look.tab.detail && look.own.validate.part == part;
    let known = match look.shelf.get(&Query::AuditReading(row.pair.clone())) {
        Some(Answer::AuditReading(reading)) => Some(reading.as_ref()),
        _ => None,
    };
    let title = match part {
        Part::Student => format!("model {}", number(row.predicted, 1)),
        Part::Teacher => format!("truth {} of {}", number(Some(row.truth), 1), one_line(&row.source, 40)),
        Part::Article => format!("article · {}", row.pair.profile),
    };
    let inner = pane(frame, area, look.theme, &title, focus);
    let columns = usize::from(inner.width);
    let lines = match part {
        Part::Student => student(look, row, columns),
        Part::Teacher => teacher(look, row, known, columns),
        Part::Article => article(look, row, known, columns),
    };
    if focus { page(frame, inner, look.theme, lines, &look.tab.scroll) } else { from_top(frame, inner, look.theme, lines) }
}

/// A think block in lines that fit, its steps emphasised.
fn block(look: &Look<'_>, text: &str, columns: usize) -> Vec<Line<'static>> {
    labelled(&wrap(&safe_text(text), columns).join("\n"), look)
}

fn student(look: &Look<'_>, row: &WorstLine, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(defect) = &row.defect {
        lines.extend(wrapped(look.theme, Role::Bad, &format!("✗ {}", one_line(defect, 300)), columns));
    }
    if row.output.is_empty() {
        lines.extend(wrapped(look.theme, Role::Dim, "This predictor gives a number and writes nothing.", columns));
    }
    lines.extend(block(look, &row.output, columns));
    lines
}

fn teacher(look: &Look<'_>, row: &WorstLine, known: Option<&AuditReading>, columns: usize) -> Vec<Line<'static>> {
    let query = Query::AuditReading(row.pair.clone());
    let Some(block_of) = known.and_then(|k| k.teacher.as_ref()) else {
        let waits = known.is_none() && look.shelf.failed(&query).is_none();
        let words = if waits { "Reading the teacher's block…" } else { "There is no think block of the teacher's for this pair." };
        return wrapped(look.theme, Role::Dim, words, columns);
    };
    let mut lines = block(look, &block_of.think, columns);
    lines.push(Line::default());
    lines.extend(wrapped(look.theme, Role::Strong, &safe_text(&block_of.reason), columns));
    lines
}

fn article(look: &Look<'_>, row: &WorstLine, known: Option<&AuditReading>, columns: usize) -> Vec<Line<'static>> {
    let mut lines = wrapped(look.theme, Role::Strong, &one_line(&row.title, 400), columns);
    let Some(known) = known else { return lines };
    let reader = format!("{} · {}", one_line(&known.profile.role, 80), one_line(&known.profile.location, 80));
    lines.extend(wrapped(look.theme, Role::Accent, &reader, columns));
    lines.extend(wrapped(look.theme, Role::Text, &safe_text(&known.summary.text), columns));
    lines
}
