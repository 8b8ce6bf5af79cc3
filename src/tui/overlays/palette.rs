//! The command palette: finds an action by letters of its name and does it.
//!
//! Owns matching and choosing; an action that cannot be done now is shown with the reason.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::input::Input;
use super::{Step, popup, row};
use crate::tui::actions::{self, Action};
use crate::tui::app::App;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::Role;

#[derive(Debug, Clone, Default)]
pub struct Palette {
    pub input: Input,
    chosen: usize,
}

impl Palette {
    pub fn key(&mut self, key: &KeyEvent, app: &App) -> Step {
        let found = found(self.input.text());
        let last = found.len().saturating_sub(1);
        match dialog(key) {
            DialogKey::Esc => return Step::Close,
            DialogKey::Enter => {
                return match found.get(self.chosen.min(last)) {
                    Some(action) if action.ready(app).is_ok() => Step::Act(action),
                    _ => Step::Stay,
                };
            }
            DialogKey::Down | DialogKey::Next => self.chosen = (self.chosen + 1).min(last),
            DialogKey::Up | DialogKey::Previous => self.chosen = self.chosen.min(last).saturating_sub(1),
            DialogKey::PageDown => self.chosen = (self.chosen + 10).min(last),
            DialogKey::PageUp => self.chosen = self.chosen.min(last).saturating_sub(10),
            _ if self.input.key(key) => self.chosen = 0,
            _ => {}
        }
        Step::Stay
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let theme = app.theme();
        let inside = popup(frame, area, (74, 18), "Commands", theme);
        let ask = row(inside, 0);
        let skip = 2.min(ask.width);
        frame.render_widget(Line::styled(":", theme.style(Role::Key)), ask);
        self.input.draw(frame, Rect { x: ask.x + skip, width: ask.width - skip, ..ask }, theme, true);
        let found = found(self.input.text());
        let chosen = self.chosen.min(found.len().saturating_sub(1));
        let height = (inside.height.saturating_sub(1) as usize).max(1);
        let first = chosen.saturating_sub(height - 1);
        for (nth, action) in found.into_iter().enumerate().skip(first).take(height) {
            let mark = if nth == chosen { "▸" } else { " " };
            let (role, note) = match action.ready(app) {
                Ok(()) => (Role::Text, action.help.to_owned()),
                Err(why) => (Role::Dim, format!("no: {why}")),
            };
            let style = theme.style(if nth == chosen { Role::Selected } else { role });
            let line = Line::from(vec![
                Span::styled(format!("{mark} {:<14}", action.id), style),
                Span::styled(format!("{:<11} ", app.keymap().text(action)), theme.style(Role::Key)),
                Span::styled(note, theme.style(role)),
            ]);
            frame.render_widget(line, row(inside, (nth - first + 1) as u16));
        }
    }
}

/// Actions whose id or label has the letters in this order, tightest match first.
fn found(wanted: &str) -> Vec<&'static Action> {
    let mut hits: Vec<(usize, &'static Action)> = actions::all()
        .filter_map(|action| {
            let best = [action.id, action.label].iter().filter_map(|text| spread(wanted, text)).min()?;
            Some((best, action))
        })
        .collect();
    hits.sort_by_key(|(spread, _)| *spread);
    hits.into_iter().map(|(_, action)| action).collect()
}

/// How far apart the letters of `wanted` stand in `text`; `None` if they do not occur in order.
fn spread(wanted: &str, text: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    let (mut first, mut last) = (None, 0);
    for want in wanted.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let (at, _) = letters.find(|(_, c)| *c == want)?;
        first.get_or_insert(at);
        last = at;
    }
    // A match at the start of a word beats one inside.
    Some((last - first.unwrap_or(0)) * 2 + first.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_find_an_action() {
        assert_eq!(found("pau").first().map(|a| a.id), Some("pause"));
        assert_eq!(found("rall").first().map(|a| a.id), Some("run-all"));
        assert!(found("zzz").is_empty());
        assert_eq!(found("").len(), actions::all().count());
    }
}
