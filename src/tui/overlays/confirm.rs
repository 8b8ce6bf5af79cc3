//! A question with a few answers, the harmless one first and selected.
//!
//! Owns the choosing; each answer carries what it does.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::{Step, popup, row};
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};

#[derive(Debug, Clone)]
pub struct Confirm {
    pub title: String,
    pub question: String,
    pub answers: Vec<(String, Step)>,
    chosen: usize,
}

impl Confirm {
    /// Esc is the first answer.
    pub fn new(title: impl Into<String>, question: impl Into<String>, answers: Vec<(String, Step)>) -> Self {
        Self { title: title.into(), question: question.into(), answers, chosen: 0 }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        let last = self.answers.len().saturating_sub(1);
        match dialog(key) {
            DialogKey::Esc => return Step::Close,
            DialogKey::Enter => return self.answers.get(self.chosen).map_or(Step::Close, |(_, step)| step.clone()),
            DialogKey::Right | DialogKey::Down | DialogKey::Next => self.chosen = (self.chosen + 1).min(last),
            DialogKey::Left | DialogKey::Up | DialogKey::Previous => self.chosen = self.chosen.saturating_sub(1),
            _ => {}
        }
        Step::Stay
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let inside = popup(frame, area, (64, 8), &self.title, theme);
        let text = Rect { height: inside.height.saturating_sub(2), ..inside };
        frame.render_widget(Paragraph::new(self.question.as_str()).wrap(Wrap { trim: true }), text);
        let mut spans = Vec::new();
        for (nth, (label, _)) in self.answers.iter().enumerate() {
            let chosen = nth == self.chosen;
            let mark = if chosen { "▸" } else { " " };
            let role = if chosen { Role::Selected } else { Role::Text };
            spans.push(Span::styled(format!("{mark} {label} "), theme.style(role)));
            spans.push(Span::raw("  "));
        }
        frame.render_widget(Line::from(spans), row(inside, inside.height.saturating_sub(1)));
    }
}
