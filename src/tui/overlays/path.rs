//! A question for a file or an address: what to import.
//!
//! Owns the text; whether the file is there and what it holds is found out by the engine.

use std::path::PathBuf;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::input::Input;
use super::{Step, popup, row};
use crate::engine::Command;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::text;

#[derive(Debug, Clone)]
pub struct PathPrompt {
    title: &'static str,
    /// What may be given, in a sentence.
    hint: &'static str,
    pub input: Input,
    make: fn(PathBuf) -> Command,
}

impl PathPrompt {
    pub fn new(title: &'static str, hint: &'static str, make: fn(PathBuf) -> Command) -> Self {
        Self { title, hint, input: Input::default(), make }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        match dialog(key) {
            DialogKey::Esc => Step::Close,
            DialogKey::Enter => match self.input.text().trim() {
                "" => Step::Stay,
                path => Step::Send((self.make)(PathBuf::from(path))),
            },
            _ => {
                self.input.key(key);
                Step::Stay
            }
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let inside = popup(frame, area, (76, 9), self.title, theme);
        let top = Rect { height: inside.height.saturating_sub(3), ..inside };
        text::from_top(frame, top, theme, text::wrapped(theme, Role::Dim, self.hint, top.width.into()));
        self.input.draw(frame, row(inside, inside.height.saturating_sub(2)), theme, true);
        let foot = Line::styled("enter imports   esc leaves it", theme.style(Role::Dim));
        frame.render_widget(foot, row(inside, inside.height.saturating_sub(1)));
    }
}
