//! A titled, bordered pane, and how list and detail share a tab.
//!
//! Owns frames and their division. The focus is shown by the border's role and by `»` before the title, so that it is
//! seen without colour. What stands inside is the caller's.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Block, BorderType};

use super::text::cut;
use crate::tui::theme::{Role, Theme};

/// From this width on, list and detail stand side by side: below, neither would hold a title.
pub const WIDE: u16 = 100;

/// Fewest rows at which a list over its detail still shows something of both.
const SPLIT_ROWS: u16 = 12;

/// Draws the frame and gives the area inside, which may be empty.
pub fn pane(frame: &mut Frame<'_>, area: Rect, theme: &Theme, title: &str, focus: bool) -> Rect {
    if area.is_empty() {
        return area;
    }
    let mark = if focus { "» " } else { "" };
    let title = cut(&format!(" {mark}{title} "), usize::from(area.width).saturating_sub(2));
    let role = if focus { Role::Focus } else { Role::Border };
    let kind = if focus { BorderType::Thick } else { BorderType::Plain };
    let title_role = if focus { Role::Focus } else { Role::Strong };
    let block = Block::bordered()
        .border_type(kind)
        .border_style(theme.style(role))
        .title(ratatui::text::Span::styled(title, theme.style(title_role)));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

/// Areas of a list and of its detail. Wide: side by side. Narrow: the detail alone when it has the focus, otherwise the
/// list over the detail, or the list alone where there is no room for both.
pub fn list_and_detail(area: Rect, detail: bool) -> (Option<Rect>, Option<Rect>) {
    if area.width >= WIDE {
        let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area);
        return (Some(left), Some(right));
    }
    if detail {
        return (None, Some(area));
    }
    if area.height < SPLIT_ROWS {
        return (Some(area), None);
    }
    let [top, bottom] = Layout::vertical([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area);
    (Some(top), Some(bottom))
}

/// Takes at most `rows` rows from the top: (top, rest).
pub fn take_top(area: Rect, rows: usize) -> (Rect, Rect) {
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(area.height);
    let top = Rect { height: rows, ..area };
    let rest = Rect { y: area.y + rows, height: area.height - rows, ..area };
    (top, rest)
}
