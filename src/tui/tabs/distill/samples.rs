//! Page samples: some of the plan's requests, whole, to be read before they are paid for.
//!
//! Owns its list and its detail; which requests are shown, the plan decides.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::super::common::{empty_list, list_title, matches, next_step};
use super::super::{Look, TabState};
use crate::domain::{Phase, one_line, safe_text};
use crate::engine::{Sample, Snapshot};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::text::wrapped;
use crate::tui::widgets::{pane, text};

pub(super) fn found<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a Sample> {
    let all = snapshot.distill.plan.as_ref().map_or(&[][..], |plan| plan.estimate.samples.as_slice());
    all.iter().filter(|s| matches(&tab.filter, &[&s.pair, &s.text])).collect()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let found = found(look.snapshot, look.tab);
    if found.is_empty() {
        let run = "No requests to read yet: run this phase to make the cost preview.";
        let words = next_step(look.snapshot, Phase::Distill, run, "Every pair is answered; there is no request left to send.");
        return empty_list(frame, area, look, "Samples", &words);
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    let selected = look.tab.selected.min(found.len() - 1);
    if let Some(left) = left {
        let total = look.snapshot.distill.plan.as_ref().map_or(0, |plan| plan.estimate.samples.len());
        let title = list_title("Samples", look, found.len(), total);
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        List { header: "", total: found.len(), selected }.draw(frame, inner, look.theme, |index, columns| {
            Line::styled(text::cut(&one_line(&found[index].pair, 300), columns), look.theme.style(Role::Text))
        });
    }
    if let Some(right) = right {
        let inner = pane::pane(frame, right, look.theme, "Whole request", look.tab.detail);
        let lines = wrapped(look.theme, Role::Text, &safe_text(&found[selected].text), inner.width.into());
        text::page(frame, inner, look.theme, lines, &look.tab.scroll);
    }
}
