//! Page rejects: how many answers were refused and why, and one of them as the teacher gave it.
//!
//! Owns its list and its detail; what a reject is, the engine decides.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::super::Look;
use super::super::common::{empty_list, list_title, next_step, waiting};
use crate::domain::{Phase, one_line, safe_text};
use crate::engine::{Answer, Query, RejectRow, RejectsView};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::text::wrapped;
use crate::tui::widgets::{bar, pane, text};

/// Nothing is asked before there is a plan.
fn query(look: &Look<'_>) -> Option<Query> {
    let plan = look.snapshot.distill.plan.as_ref()?.digest.clone();
    Some(Query::Rejects { plan, filter: look.tab.filter.trim().to_owned() })
}

pub(super) fn view<'a>(look: &Look<'a>) -> Option<&'a RejectsView> {
    match look.shelf.newest_like(&query(look)?) {
        Some(Answer::Rejects(view)) => Some(view),
        _ => None,
    }
}

fn selected<'a>(look: &Look<'a>) -> Option<&'a RejectRow> {
    let rows = &view(look)?.rows;
    rows.get(look.tab.selected.min(rows.len().saturating_sub(1)))
}

pub(super) fn wants(look: &Look<'_>) -> Vec<Query> {
    query(look).into_iter().chain(selected(look).map(|row| Query::Reject(row.clone()))).collect()
}

/// The answer that is selected, once it was read.
pub(super) fn selected_text(look: &Look<'_>) -> Option<String> {
    match look.shelf.get(&Query::Reject(selected(look)?.clone())) {
        Some(Answer::Reject(raw)) => Some(raw.to_string()),
        _ => None,
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(view) = view(look) else {
        if let Some(query) = query(look) {
            return waiting(frame, area, look, "Rejects", &query);
        }
        let run = "No answers yet: approve the cost preview, then run this phase.";
        return empty_list(frame, area, look, "Rejects", &next_step(look.snapshot, Phase::Distill, run, "No answer was rejected."));
    };
    let area = bar::counted(frame, area, look.theme, &view.kinds, look.tab.detail);
    if view.rows.is_empty() {
        return empty_list(frame, area, look, "Rejects", "No answer was rejected.");
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    if let Some(left) = left {
        let title = list_title("Rejects", look, view.rows.len(), view.total);
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        let list = List { header: "", total: view.rows.len(), selected: look.tab.selected };
        list.draw(frame, inner, look.theme, |index, columns| {
            let r = &view.rows[index];
            let line = format!("#{} {}  {}", r.attempt, one_line(&r.pair.to_string(), 120), one_line(&r.reason, 200));
            Line::styled(text::cut(&line, columns), look.theme.style(Role::Text))
        });
    }
    if let (Some(right), Some(row)) = (right, selected(look)) {
        draw_one(frame, right, look, row);
    }
}

fn draw_one(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, row: &RejectRow) {
    let inner = pane::pane(frame, area, look.theme, "Whole answer", look.tab.detail);
    let columns = inner.width.into();
    let head = format!("{}, attempt {}, plan {}", one_line(&row.pair.to_string(), 300), row.attempt, row.plan.short());
    let mut lines = wrapped(look.theme, Role::Strong, &head, columns);
    lines.extend(wrapped(look.theme, Role::Warn, &one_line(&row.reason, 1000), columns));
    lines.push(Line::default());
    let query = Query::Reject(row.clone());
    let (raw, role) = match look.shelf.get(&query) {
        Some(Answer::Reject(raw)) if raw.trim().is_empty() => ("(the answer is empty)".to_owned(), Role::Dim),
        Some(Answer::Reject(raw)) => (safe_text(raw), Role::Text),
        _ => (look.shelf.failed(&query).map_or_else(|| "reading…".to_owned(), |why| one_line(why, 300)), Role::Dim),
    };
    lines.extend(wrapped(look.theme, role, &raw, columns));
    text::page(frame, inner, look.theme, lines, &look.tab.scroll);
}
