//! A titled, bordered pane, and how list and detail share a tab.
//!
//! Owns frames and their division. The focus is shown by the border's role and by `»` before the title, so that it is
//! seen without colour. What stands inside is the caller's.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Block, BorderType};
use serde::{Deserialize, Serialize};

use super::text::cut;
use crate::tui::hits::{self, Hit};
use crate::tui::theme::{Role, Theme};

/// From this width on, list and detail stand side by side: below, neither would hold a title.
pub const WIDE: u16 = 100;

/// How much of a tab its list has, in hundredths: never so much or so little that one of the two vanishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
pub struct Share(u16);

impl Share {
    pub fn new(hundredths: u16) -> Self {
        Self(hundredths.clamp(20, 80))
    }

    #[must_use]
    pub fn moved(self, by: i16) -> Self {
        Self::new(self.0.saturating_add_signed(by))
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(50)
    }
}

impl From<u16> for Share {
    fn from(hundredths: u16) -> Self {
        Self::new(hundredths)
    }
}

impl From<Share> for u16 {
    fn from(share: Share) -> Self {
        share.0
    }
}

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
///
/// `share`: hundredths of the width that the list has.
pub fn list_and_detail(area: Rect, detail: bool, share: Share) -> (Option<Rect>, Option<Rect>) {
    if area.width >= WIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(share.0), Constraint::Percentage(100 - share.0)]).areas(area);
        hits::note(right, Hit::Detail);
        let line = Rect { x: right.x.saturating_sub(1), width: 2.min(right.width), ..area };
        hits::note(line, Hit::Divider { left: area.x, width: area.width });
        return (Some(left), Some(right));
    }
    if detail {
        hits::note(area, Hit::Detail);
        return (None, Some(area));
    }
    if area.height < SPLIT_ROWS {
        return (Some(area), None);
    }
    let [top, bottom] = Layout::vertical([Constraint::Percentage(share.0), Constraint::Percentage(100 - share.0)]).areas(area);
    hits::note(bottom, Hit::Detail);
    (Some(top), Some(bottom))
}

/// Takes at most `rows` rows from the top: (top, rest).
pub fn take_top(area: Rect, rows: usize) -> (Rect, Rect) {
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(area.height);
    let top = Rect { height: rows, ..area };
    let rest = Rect { y: area.y + rows, height: area.height - rows, ..area };
    (top, rest)
}
