//! Page rejects: how many answers were refused and why, and one of them whole.
//!
//! Owns its list and its detail; what a reject is, the engine decides.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::super::common::{empty_list, list_title, matches, next_step};
use super::super::{Look, TabState};
use crate::domain::{Phase, one_line, safe_text};
use crate::engine::{RejectView, Snapshot};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::text::wrapped;
use crate::tui::widgets::{bar, pane, text};

pub(super) fn found<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a RejectView> {
    snapshot.distill.rejected.iter().filter(|r| matches(&tab.filter, &[&r.pair, &r.reason])).collect()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let view = &look.snapshot.distill;
    let found = found(look.snapshot, look.tab);
    let most = view.rejects.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let counts: Vec<Line<'static>> = view
        .rejects
        .iter()
        .map(|(kind, n)| {
            let text = text::columns(&[(&one_line(kind, 60), 28), (&n.to_string(), -6)]);
            Line::styled(format!(" {text}  {}", bar::bar(*n as f64, most as f64, 20)), look.theme.style(Role::Warn))
        })
        .collect();
    let rows = if look.tab.detail { 0 } else { counts.len().min(usize::from(area.height / 4)) };
    let (top, area) = pane::take_top(area, rows);
    text::page(frame, top, look.theme, counts, 0);
    if found.is_empty() {
        let run = "No answers yet: approve the cost preview, then run this phase.";
        let words = next_step(look.snapshot, Phase::Distill, run, "No answer was rejected.");
        return empty_list(frame, area, look, "Rejects", &words);
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    let selected = look.tab.selected.min(found.len() - 1);
    if let Some(left) = left {
        let title = list_title("Rejects", look, found.len(), view.rejected.len());
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        List { header: "", total: found.len(), selected }.draw(frame, inner, look.theme, |index, columns| {
            let r = found[index];
            let line = format!("#{} {}  {}", r.attempt, one_line(&r.pair, 120), one_line(&r.reason, 200));
            Line::styled(text::cut(&line, columns), look.theme.style(Role::Text))
        });
    }
    if let Some(right) = right {
        let reject = found[selected];
        let inner = pane::pane(frame, right, look.theme, "Whole answer", look.tab.detail);
        let columns = inner.width.into();
        let head = format!("{}, attempt {}", one_line(&reject.pair, 300), reject.attempt);
        let mut lines = wrapped(look.theme, Role::Strong, &head, columns);
        lines.extend(wrapped(look.theme, Role::Warn, &one_line(&reject.reason, 1000), columns));
        lines.push(Line::default());
        let raw = safe_text(&reject.raw);
        let raw = if raw.trim().is_empty() { "(the answer is empty)" } else { &raw };
        lines.extend(wrapped(look.theme, Role::Text, raw, columns));
        text::page(frame, inner, look.theme, lines, look.tab.scroll);
    }
}
