//! The operator's own score in the place of a rejected trace's.
//!
//! Owns the two inputs; whether the score is one of the recipe's is the engine's to say.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::input::Input;
use super::{Step, popup, row};
use crate::domain::{PairKey, Remedy, one_line};
use crate::engine::Command;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};

#[derive(Debug, Clone)]
pub struct Fix {
    pair: PairKey,
    was: Option<f64>,
    score: Input,
    reason: Input,
    at_reason: bool,
    refused: Option<&'static str>,
}

impl Fix {
    pub fn new(pair: PairKey, was: Option<f64>) -> Self {
        Self { pair, was, score: Input::default(), reason: Input::default(), at_reason: false, refused: None }
    }

    pub fn paste(&mut self, text: &str) {
        if self.at_reason { self.reason.paste(text) } else { self.score.paste(text) }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        self.refused = None;
        match dialog(key) {
            DialogKey::Esc => return Step::Close,
            DialogKey::Next | DialogKey::Previous | DialogKey::Up | DialogKey::Down => self.at_reason = !self.at_reason,
            DialogKey::Enter if !self.at_reason => self.at_reason = true,
            DialogKey::Enter => return self.send(),
            _ => {
                let input = if self.at_reason { &mut self.reason } else { &mut self.score };
                input.key(key);
            }
        }
        Step::Stay
    }

    fn send(&mut self) -> Step {
        let score = self.score.text().trim().replace(',', ".").parse::<f64>().ok().filter(|s| s.is_finite());
        let reason = self.reason.text().trim().to_owned();
        let Some(score) = score else {
            (self.refused, self.at_reason) = (Some("write a score, such as 3.5"), false);
            return Step::Stay;
        };
        if reason.is_empty() {
            self.refused = Some("write why, in a sentence that the student can be taught");
            return Step::Stay;
        }
        Step::Send(Command::Remedy { pair: self.pair.clone(), choice: Remedy::Fix { score, reason, keeps_think: false } })
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let inside = popup(frame, area, (74, 8), "A score of your own", theme);
        let was = self.was.map(|s| format!(", scored {s:.1}")).unwrap_or_default();
        let head = format!("{}{was}", one_line(&self.pair.to_string(), 60));
        frame.render_widget(Line::styled(head, theme.style(Role::Strong)), row(inside, 0));
        let fields = [("score:", &self.score, !self.at_reason), ("reason:", &self.reason, self.at_reason)];
        for (nth, (label, input, focused)) in fields.into_iter().enumerate() {
            let line = row(inside, 2 + u16::try_from(nth).unwrap_or_default());
            let skip = 8.min(line.width);
            frame.render_widget(Line::styled(label, theme.style(Role::Strong)), line);
            input.draw(frame, Rect { x: line.x + skip, width: line.width - skip, ..line }, theme, focused);
        }
        let (foot, role) = match self.refused {
            Some(why) => (why, Role::Bad),
            None => ("tab other field   enter keeps   esc leaves it", Role::Dim),
        };
        frame.render_widget(Line::styled(foot, theme.style(role)), row(inside, inside.height.saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;

    fn press(fix: &mut Fix, keys: &str) -> Step {
        let mut last = Step::Stay;
        for c in keys.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            last = fix.key(&KeyEvent::new(code, KeyModifiers::NONE));
        }
        last
    }

    fn fix() -> Fix {
        Fix::new(PairKey { article: "a".parse().expect("id"), profile: "p".parse().expect("id") }, Some(9.0))
    }

    #[test]
    fn a_score_and_a_reason_become_a_remedy() {
        let step = press(&mut fix(), "3,5\nNot her field.\n");
        let Step::Send(Command::Remedy { choice: Remedy::Fix { score, reason, .. }, .. }) = step else { panic!("{step:?}") };
        assert_eq!((score, reason.as_str()), (3.5, "Not her field."));
    }

    #[test]
    fn without_a_number_or_a_reason_nothing_is_sent() {
        for keys in ["high\nBecause.\n", "3.5\n\n", "\n\n"] {
            let mut dialog = fix();
            assert!(matches!(press(&mut dialog, keys), Step::Stay), "{keys}");
            assert!(dialog.refused.is_some(), "{keys}");
        }
    }
}
