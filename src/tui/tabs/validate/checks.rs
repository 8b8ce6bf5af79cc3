//! Sanity rows, and the checks of the think blocks.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{name_of, number, sanity as rows_of};
use crate::domain::{one_line, safe_text};
use crate::engine::EvaluationView;
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{empty_list, sentence};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::text::{pad, pad_left, page, wrapped};

/// Columns of a number.
const NUMBER: usize = 8;

pub(super) fn sanity(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let rows = rows_of(view, look);
    let passed = view.sanity.iter().filter(|s| s.passed).count();
    let title = format!("sanity: {passed} of {} passed · {}", view.sanity.len(), name_of(view));
    if rows.is_empty() {
        return empty_list(frame, area, look, &title, "This predictor was asked about no sanity rows.");
    }
    let inner = pane(frame, area, look.theme, &title, true);
    let rest = usize::from(inner.width).saturating_sub(2 + 2 + 1 + 3 * (NUMBER + 1));
    let (article, reader) = (rest * 6 / 10, rest - rest * 6 / 10);
    let text = |name: &str, profile: &str, numbers: [&str; 3]| {
        let [expected, teacher, model] = numbers.map(|n| pad_left(n, NUMBER));
        format!("{} {} {expected} {teacher} {model}", pad(name, article), pad(profile, reader))
    };
    let header = format!("  {}", text("article", "reader", ["expected", "teacher", "model"]));
    let list = List { header: &header, total: rows.len(), selected: look.tab.selected };
    list.draw(frame, inner, look.theme, |at, _| {
        let s = rows[at];
        let (mark, role) = if s.passed { ("✓ ", Role::Good) } else { ("✗ ", Role::Bad) };
        let numbers = [one_line(&s.expected, 20), number(s.teacher, 1), number(s.student, 1)];
        let row = text(&one_line(&s.article, 200), &one_line(&s.profile, 60), [&numbers[0], &numbers[1], &numbers[2]]);
        Line::from(vec![Span::styled(mark, look.theme.style(role)), Span::styled(row, look.theme.style(Role::Text))])
    });
}

pub(super) fn think(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let title = format!("think blocks · {}", name_of(view));
    if view.think.is_empty() {
        return sentence(frame, area, look, &title, "This predictor writes no think block.");
    }
    let inner = pane(frame, area, look.theme, &title, true);
    let columns = usize::from(inner.width);
    let lines = view.think.iter().flat_map(|text| wrapped(look.theme, Role::Text, &safe_text(text), columns)).collect();
    page(frame, inner, look.theme, lines, &look.tab.scroll);
}
