//! A list of any length with one selected row.
//!
//! Owns which rows are visible and how the selection looks. Formats only the visible rows, so that a frame costs the
//! same for ten rows and for ten thousand; what a row says is the caller's.

use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::text::{cut, pad};
use crate::tui::hits::{self, Hit};
use crate::tui::theme::{Role, Theme};

/// Columns of the marker before each row.
const MARKER: usize = 2;

/// Rows to show of `total` so that `selected` is among them, in the middle where there is a middle.
pub fn visible(selected: usize, total: usize, height: usize) -> Range<usize> {
    let first = selected.saturating_sub(height / 2).min(total.saturating_sub(height));
    first..total.min(first + height)
}

/// A list's rows, its header and its selection.
pub struct List<'a> {
    /// Stands still above the rows; empty: none.
    pub header: &'a str,
    pub total: usize,
    pub selected: usize,
}

impl List<'_> {
    /// Draws the visible rows; `row` gets the index and the columns it may fill.
    pub fn draw<'l>(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme, row: impl Fn(usize, usize) -> Line<'l>) {
        if area.is_empty() {
            return;
        }
        let columns = usize::from(area.width).saturating_sub(MARKER);
        let mut lines: Vec<Line<'_>> = Vec::new();
        if !self.header.is_empty() && area.height > 2 {
            lines.push(Line::styled(cut(&format!("  {}", self.header), area.width.into()), theme.style(Role::Dim)));
        }
        let height = usize::from(area.height) - lines.len();
        let selected = self.selected.min(self.total.saturating_sub(1));
        let top = area.y + (usize::from(area.height) - height) as u16;
        for (line, index) in visible(selected, self.total, height).enumerate() {
            hits::note(Rect { y: top + line as u16, height: 1, ..area }, Hit::Row(index));
            let line = row(index, columns);
            lines.push(if index == selected { chosen(theme, &line, area.width.into()) } else { indented(line) });
        }
        frame.render_widget(Paragraph::new(lines).style(theme.style(Role::Text)), area);
    }
}

/// The selected row in one style over its whole width: colours of single words would hide the selection.
fn chosen(theme: &Theme, line: &Line<'_>, columns: usize) -> Line<'static> {
    let text: String = std::iter::once("› ").chain(line.spans.iter().map(|span| span.content.as_ref())).collect();
    Line::styled(pad(&text, columns), theme.style(Role::Selected))
}

fn indented(mut line: Line<'_>) -> Line<'_> {
    line.spans.insert(0, " ".repeat(MARKER).into());
    line
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    #[test]
    fn the_selection_is_always_among_the_visible_rows() {
        for total in 1..30 {
            for height in 1..12 {
                for selected in 0..total {
                    let rows = visible(selected, total, height);
                    assert!(rows.contains(&selected), "{selected} of {total} in {height}: {rows:?}");
                    assert_eq!(rows.len(), height.min(total));
                }
            }
        }
        assert_eq!(visible(0, 0, 5), 0..0);
        assert!(visible(3, 9, 0).is_empty());
    }

    #[test]
    fn only_visible_rows_are_formatted_and_the_selection_has_a_marker() {
        let formatted = RefCell::new(0);
        let mut terminal = Terminal::new(TestBackend::new(10, 4)).expect("terminal");
        let theme = Theme::load("dark", None, true).expect("theme");
        terminal
            .draw(|frame| {
                List { header: "n", total: 10_000, selected: 5000 }.draw(frame, frame.area(), &theme, |index, _| {
                    *formatted.borrow_mut() += 1;
                    Line::raw(index.to_string())
                });
            })
            .expect("draws");
        assert_eq!(formatted.into_inner(), 3);
        let buffer = terminal.backend().buffer();
        assert_eq!(buffer[(0, 2)].symbol(), "›");
        assert!(buffer[(9, 2)].modifier.contains(ratatui::style::Modifier::REVERSED));
        assert!(!buffer[(2, 1)].modifier.contains(ratatui::style::Modifier::REVERSED));
    }
}
