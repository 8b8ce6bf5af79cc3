//! A small form: which reader, what title, what summary.
//!
//! Owns the fields; the model is the engine's.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::input::Input;
use super::{Step, popup, row};
use crate::domain::{ProfileId, SourceType};
use crate::engine::Command;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};

const FIELDS: usize = 3;

#[derive(Debug, Clone)]
pub struct Score {
    /// (id, role)
    readers: Vec<(ProfileId, String)>,
    reader: usize,
    title: Input,
    summary: Input,
    field: usize,
    refused: bool,
}

impl Score {
    pub fn new(readers: Vec<(ProfileId, String)>) -> Self {
        Self { readers, reader: 0, title: Input::default(), summary: Input::default(), field: 0, refused: false }
    }

    pub fn paste(&mut self, text: &str) {
        match self.field {
            1 => self.title.paste(text),
            2 => self.summary.paste(text),
            _ => {}
        }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        self.refused = false;
        let readers = self.readers.len().max(1);
        match (dialog(key), self.field) {
            (DialogKey::Esc, _) => return Step::Close,
            (DialogKey::Enter, 2) => return self.send(),
            (DialogKey::Enter | DialogKey::Down | DialogKey::Next, field) => self.field = (field + 1) % FIELDS,
            (DialogKey::Up | DialogKey::Previous, field) => self.field = (field + FIELDS - 1) % FIELDS,
            (DialogKey::Right, 0) => self.reader = (self.reader + 1) % readers,
            (DialogKey::Left, 0) => self.reader = (self.reader + readers - 1) % readers,
            (_, 1) => {
                self.title.key(key);
            }
            (_, 2) => {
                self.summary.key(key);
            }
            _ => {}
        }
        Step::Stay
    }

    fn send(&mut self) -> Step {
        let title = self.title.text().trim().to_owned();
        let Some((profile, _)) = self.readers.get(self.reader).filter(|_| !title.is_empty()) else {
            self.refused = true;
            return Step::Stay;
        };
        Step::Send(Command::Score {
            profile: profile.clone(),
            title,
            summary: self.summary.text().trim().to_owned(),
            source: String::new(),
            source_type: SourceType::default(),
        })
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let inside = popup(frame, area, (76, 8), "Score an article", theme);
        let reader = self.readers.get(self.reader).map_or(String::new(), |(id, role)| format!("◂ {id} ▸  {role}"));
        let label = |field: usize| theme.style(if field == self.field { Role::Strong } else { Role::Dim });
        for (field, name) in ["reader", "title", "summary"].into_iter().enumerate() {
            let line = row(inside, field as u16);
            let mark = if field == self.field { "▸" } else { " " };
            let skip = 11.min(line.width);
            frame.render_widget(Line::styled(format!("{mark} {name:<8}"), label(field)), line);
            let rest = Rect { x: line.x + skip, width: line.width - skip, ..line };
            match field {
                0 => frame.render_widget(Line::raw(reader.as_str()), rest),
                1 => self.title.draw(frame, rest, theme, self.field == 1),
                _ => self.summary.draw(frame, rest, theme, self.field == 2),
            }
        }
        let (foot, role) = if self.refused {
            ("an article needs a title", Role::Bad)
        } else {
            ("tab next field   ← → reader   enter on the summary scores   esc closes", Role::Dim)
        };
        frame.render_widget(Line::styled(foot, theme.style(role)), row(inside, inside.height.saturating_sub(1)));
    }
}
