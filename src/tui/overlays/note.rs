//! A note on a think block: a few lines of free text.
//!
//! Owns the editing; what the note belongs to is the tab's.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use tui_textarea::{TextArea, WrapMode};

use super::{Step, popup, row};
use crate::domain::safe_text;
use crate::tui::keys::{DialogKey, dialog, is_line_feed};
use crate::tui::theme::{Role, Theme};

/// Longest note that is taken.
const MAX_CHARS: usize = 4_000;

#[derive(Debug, Clone)]
pub struct Note {
    area: TextArea<'static>,
}

impl Note {
    /// To be written on from its end.
    pub fn new(text: &str) -> Self {
        let mut note = Self { area: TextArea::default() };
        note.area.set_wrap_mode(WrapMode::WordOrGlyph);
        note.paste(text);
        note
    }

    fn text(&self) -> String {
        self.area.lines().join("\n")
    }

    pub fn paste(&mut self, text: &str) {
        let room = MAX_CHARS.saturating_sub(self.text().chars().count());
        let safe: String = safe_text(text).chars().take(room).collect();
        self.area.insert_str(safe);
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        if is_line_feed(key) {
            self.area.insert_newline();
            return Step::Stay;
        }
        match dialog(key) {
            DialogKey::Esc => return Step::Close,
            DialogKey::Enter => return Step::Noted(self.text().trim().to_owned()),
            _ if self.text().chars().count() < MAX_CHARS || crate::tui::keys::letter(key).is_none() => {
                self.area.input(*key);
            }
            _ => {}
        }
        Step::Stay
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let inside = popup(frame, area, (74, 12), "Note", theme);
        let mut shown = self.area.clone();
        shown.set_style(theme.style(Role::Text));
        shown.set_cursor_line_style(theme.style(Role::Text));
        shown.set_cursor_style(theme.style(Role::Selected));
        let text = Rect { height: inside.height.saturating_sub(1), ..inside };
        if !text.is_empty() {
            frame.render_widget(&shown, text);
        }
        let foot = Line::styled("enter keeps   alt-enter new line   esc leaves it as it was", theme.style(Role::Dim));
        frame.render_widget(foot, row(inside, inside.height.saturating_sub(1)));
    }
}
