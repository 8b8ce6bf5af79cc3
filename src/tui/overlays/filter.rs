//! The filter line at the foot of the screen: live, Enter keeps, Esc reverts.
//!
//! Owns the draft; the filter itself is the tab's.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Clear;

use super::Step;
use super::input::Input;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};

#[derive(Debug, Clone)]
pub struct Filter {
    input: Input,
    before: String,
}

impl Filter {
    pub fn new(before: &str) -> Self {
        Self { input: Input::with(before), before: before.to_owned() }
    }

    fn live(&self) -> Step {
        Step::Filter(self.input.text().to_lowercase())
    }

    pub fn paste(&mut self, text: &str) -> Step {
        self.input.paste(text);
        self.live()
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        match dialog(key) {
            DialogKey::Enter => Step::Close,
            DialogKey::Esc => Step::Revert(self.before.clone()),
            _ if self.input.key(key) => self.live(),
            _ => Step::Stay,
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        if area.is_empty() {
            return;
        }
        let line = Rect { y: area.bottom() - 1, height: 1, ..area };
        frame.render_widget(Clear, line);
        frame.render_widget(Line::styled("/", theme.style(Role::Key)), line);
        let text = Rect { x: line.x.saturating_add(2), width: line.width.saturating_sub(2), ..line };
        let note = "enter keeps, esc reverts";
        let room = (text.width as usize).saturating_sub(note.len() + 1);
        if room > 20 {
            frame.render_widget(Line::styled(note, theme.style(Role::Dim)).right_aligned(), text);
            self.input.draw(frame, Rect { width: room as u16, ..text }, theme, true);
        } else {
            self.input.draw(frame, text, theme, true);
        }
    }
}
