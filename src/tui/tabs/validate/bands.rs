//! Confusion of bands: where rows of a band were put, in shares of the row and in counts.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::name_of;
use crate::domain::one_line;
use crate::engine::EvaluationView;
use crate::tui::tabs::Look;
use crate::tui::theme::Role;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::text::{pad, pad_left, page, wrapped};

/// Fewer rows in a band than this say little of it.
const FEW: usize = 30;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let title = format!("truth ↓ by prediction → · {}", name_of(view));
    let inner = pane(frame, area, look.theme, &title, true);
    let columns = usize::from(inner.width);
    let count = view.bands.len() + 2;
    let name = (columns / 5).clamp(8, 20);
    let cell = (columns.saturating_sub(name) / count.max(1)).saturating_sub(1).clamp(4, 16);
    let style = |role| look.theme.style(role);
    let mut head = pad("", name);
    for band in view.bands.iter().map(String::as_str).chain(["unreadable", "n"]) {
        head.push(' ');
        head.push_str(&pad_left(&one_line(band, 30), cell));
    }
    let mut lines = vec![Line::styled(head, style(Role::Dim))];
    for (at, counts) in view.confusion.iter().enumerate() {
        let n: usize = counts.iter().sum();
        let title = one_line(view.bands.get(at).map_or("", String::as_str), 30);
        let mut shares = vec![Span::styled(pad(&title, name), style(Role::Strong))];
        let mut plain = pad("", name);
        for (column, hits) in counts.iter().enumerate() {
            let share = if n == 0 { "—".to_owned() } else { format!("{:.0} %", 100.0 * *hits as f64 / n as f64) };
            let (mark, role) = match (column == at, *hits) {
                (true, _) => ("=", Role::Strong),
                (false, 0) => ("", Role::Dim),
                _ if column >= view.bands.len() || column.abs_diff(at) > 1 => ("!", Role::Warn),
                _ => ("", Role::Text),
            };
            shares.push(Span::styled(format!(" {}", pad_left(&format!("{mark}{share}"), cell)), style(role)));
            plain.push(' ');
            plain.push_str(&pad_left(&hits.to_string(), cell));
        }
        let weak = if n < FEW { format!("!{n}") } else { n.to_string() };
        shares.push(Span::styled(format!(" {}", pad_left(&weak, cell)), style(Role::Text)));
        lines.push(Line::from(shares));
        lines.push(Line::styled(plain, style(Role::Dim)));
    }
    lines.push(Line::default());
    let legend = "= in its own band; ! further than the next band, or unreadable; !n too few rows. Under each share the count.";
    lines.extend(wrapped(look.theme, Role::Dim, legend, columns));
    page(frame, inner, look.theme, lines, &look.tab.scroll);
}
