//! A question with a few answers, the harmless one first and selected.
//!
//! Owns the choosing; each answer carries what it does.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use unicode_width::UnicodeWidthStr as _;

use super::{Step, popup, row};
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};

#[derive(Debug, Clone)]
pub struct Confirm {
    pub title: String,
    pub question: String,
    pub answers: Vec<(String, Step)>,
    /// What each answer means, in a sentence; empty where the labels say it.
    pub meanings: Vec<String>,
    chosen: usize,
}

impl Confirm {
    /// Esc is the first answer.
    pub fn new(title: impl Into<String>, question: impl Into<String>, answers: Vec<(String, Step)>) -> Self {
        Self { title: title.into(), question: question.into(), answers, meanings: Vec::new(), chosen: 0 }
    }

    /// With a sentence for each answer, in their order.
    #[must_use]
    pub fn explained(mut self, meanings: Vec<String>) -> Self {
        self.meanings = meanings;
        self
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
        let more = if self.meanings.is_empty() { 0 } else { to_u16(self.meanings.len()) + 1 };
        let width = if self.meanings.is_empty() { 64 } else { 76 };
        let inside = popup(frame, area, (width, 8 + more), &self.title, theme);
        let text = Rect { height: inside.height.saturating_sub(2 + more), ..inside };
        frame.render_widget(Paragraph::new(self.question.as_str()).wrap(Wrap { trim: true }), text);
        let label = self.answers.iter().map(|(label, _)| label.width()).max().unwrap_or_default();
        for (nth, (answer, meaning)) in self.answers.iter().zip(&self.meanings).enumerate() {
            let line = Line::from(vec![
                Span::styled(format!("{:<label$}  ", answer.0), theme.style(Role::Strong)),
                Span::styled(meaning.as_str(), theme.style(if nth == self.chosen { Role::Text } else { Role::Dim })),
            ]);
            frame.render_widget(line, row(inside, text.height + to_u16(nth)));
        }
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

fn to_u16(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
