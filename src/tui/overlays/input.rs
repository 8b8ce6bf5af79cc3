//! One line of text the operator types.
//!
//! Owns editing and drawing of the line; what the text means is its dialog's. Control characters never get in.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::Rect;
use tui_textarea::{CursorMove, TextArea};

use crate::domain::one_line;
use crate::tui::theme::{Role, Theme};

/// Longest text taken; a paste beyond it is cut.
const MAX_CHARS: usize = 4000;

#[derive(Debug, Clone, Default)]
pub struct Input {
    area: TextArea<'static>,
}

impl Input {
    pub fn with(text: &str) -> Self {
        let mut input = Self::default();
        input.paste(text);
        input
    }

    pub fn text(&self) -> &str {
        self.area.lines().first().map_or("", String::as_str)
    }

    pub fn paste(&mut self, text: &str) {
        let room = MAX_CHARS.saturating_sub(self.text().chars().count());
        if room > 0 {
            self.area.insert_str(one_line(text, room));
        }
    }

    /// True if the text changed.
    pub fn key(&mut self, key: &KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::ALT) {
            return false;
        }
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if ctrl => self.area.delete_line_by_head(),
            KeyCode::Char('w') if ctrl => self.area.delete_word(),
            KeyCode::Char('a') if ctrl => self.jump(CursorMove::Head),
            KeyCode::Char('e') if ctrl => self.jump(CursorMove::End),
            KeyCode::Char(_) if ctrl => false,
            KeyCode::Char(letter) if !letter.is_control() && self.text().chars().count() < MAX_CHARS => {
                self.area.insert_char(letter);
                true
            }
            // At the edges of the only line the text area would do nothing; it never joins lines.
            KeyCode::Backspace => self.area.delete_char(),
            KeyCode::Delete => self.area.delete_next_char(),
            KeyCode::Left => self.jump(CursorMove::Back),
            KeyCode::Right => self.jump(CursorMove::Forward),
            KeyCode::Home => self.jump(CursorMove::Head),
            KeyCode::End => self.jump(CursorMove::End),
            _ => false,
        }
    }

    fn jump(&mut self, to: CursorMove) -> bool {
        self.area.move_cursor(to);
        false
    }

    /// The cursor is reversed where the line has the focus.
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme, focused: bool) {
        let mut shown = self.area.clone();
        shown.set_style(theme.style(Role::Text));
        shown.set_cursor_line_style(theme.style(Role::Text));
        let cursor = if focused { Role::Selected } else { Role::Text };
        shown.set_cursor_style(theme.style(cursor));
        if !area.is_empty() {
            frame.render_widget(&shown, area);
        }
    }
}
