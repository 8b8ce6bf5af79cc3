//! Overriding a failed stop guard: which one, and the reason that is kept with it.
//!
//! Owns the choice and the text; an empty reason is not sent.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use super::input::Input;
use super::{Step, popup, row};
use crate::engine::{Command, FindingView};
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};

/// Words a reason must have at least: "ok" explains nothing to who reads it later.
const MIN_WORDS: usize = 3;

#[derive(Debug, Clone)]
pub struct Reason {
    findings: Vec<FindingView>,
    chosen: usize,
    pub input: Input,
    refused: bool,
}

impl Reason {
    pub fn new(findings: Vec<FindingView>) -> Self {
        Self { findings, chosen: 0, input: Input::default(), refused: false }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        let last = self.findings.len().saturating_sub(1);
        self.refused = false;
        match dialog(key) {
            DialogKey::Esc => return Step::Close,
            DialogKey::Enter => {
                let Some(view) = self.findings.get(self.chosen) else { return Step::Close };
                let reason = self.input.text().trim().to_owned();
                if reason.split_whitespace().count() >= MIN_WORDS {
                    let (guard, subject) = (view.finding.guard.clone(), view.subject.clone());
                    return Step::Send(Command::Override { guard, subject, reason });
                }
                self.refused = true;
            }
            DialogKey::Down => self.chosen = (self.chosen + 1).min(last),
            DialogKey::Up => self.chosen = self.chosen.saturating_sub(1),
            _ => {
                self.input.key(key);
            }
        }
        Step::Stay
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let inside = popup(frame, area, (74, 14), "Override a guard", theme);
        let Some(view) = self.findings.get(self.chosen) else { return };
        let count = format!("guard {} ({} of {})", view.finding.guard, self.chosen + 1, self.findings.len());
        let text = vec![
            Line::styled(count, theme.style(Role::Strong)),
            Line::styled(format!("saw: {}", view.finding.saw), theme.style(Role::Warn)),
            Line::raw(format!("remedy: {}", view.finding.remedy)),
            Line::styled(format!("holds for {} only", view.subject.short()), theme.style(Role::Dim)),
        ];
        let top = Rect { height: inside.height.saturating_sub(3), ..inside };
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), top);
        let line = row(inside, inside.height.saturating_sub(2));
        let skip = 8.min(line.width);
        frame.render_widget(Line::styled("reason:", theme.style(Role::Strong)), line);
        self.input.draw(frame, Rect { x: line.x + skip, width: line.width - skip, ..line }, theme, true);
        let many = if self.findings.len() > 1 { "↑ ↓ other guard   " } else { "" };
        let (foot, role) = if self.refused {
            ("write why, in three words or more".to_owned(), Role::Bad)
        } else {
            (format!("{many}enter overrides   esc leaves it"), Role::Dim)
        };
        frame.render_widget(Line::styled(foot, theme.style(role)), row(inside, inside.height.saturating_sub(1)));
    }
}
