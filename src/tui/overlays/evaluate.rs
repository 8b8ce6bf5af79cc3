//! A form for another evaluation: who predicts, on which rows, how many, and why where the seal is opened.
//!
//! Owns the fields; what names mean and whether they are there is the engine's.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::input::Input;
use super::{Step, popup, row};
use crate::domain::one_line;
use crate::engine::{Command, Errand, EvaluationRequest, RowsChoice, SamplingChoice};
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::text;

const PREDICTORS: [&str; 6] = ["student", "base", "server", "constant", "profile-median", "lexical"];
const ROWS: [&str; 3] = ["held-out", "train", "sealed"];
const NAMES: [&str; 5] = ["predictor", "rows", "at most", "sampling", "why"];
/// Words that a reason for opening the seal has at least.
const MIN_WORDS: usize = 3;

#[derive(Debug, Clone)]
pub struct Evaluate {
    predictor: Input,
    rows: Input,
    limit: Input,
    low: bool,
    why: Input,
    field: usize,
    refused: Option<String>,
    /// How often the seal was opened; `None`: there is none.
    openings: Option<usize>,
}

/// The name after or before this one; the first where another text stands there.
fn turned(names: &[&str], now: &str, by: usize) -> Input {
    let at = names.iter().position(|name| *name == now).map_or(0, |at| (at + by) % names.len());
    Input::with(names[at])
}

impl Evaluate {
    pub fn new(openings: Option<usize>) -> Self {
        Self {
            predictor: Input::with(PREDICTORS[0]),
            rows: Input::with(ROWS[0]),
            limit: Input::default(),
            low: false,
            why: Input::default(),
            field: 0,
            refused: None,
            openings,
        }
    }

    fn input(&mut self) -> Option<&mut Input> {
        match self.field {
            0 => Some(&mut self.predictor),
            1 => Some(&mut self.rows),
            2 => Some(&mut self.limit),
            4 => Some(&mut self.why),
            _ => None,
        }
    }

    pub fn paste(&mut self, text: &str) {
        if let Some(input) = self.input() {
            input.paste(text);
        }
    }

    fn is_sealed(&self) -> bool {
        self.rows.text().trim() == "sealed"
    }

    /// The reason is asked for where the seal is opened, and nowhere else.
    fn fields(&self) -> usize {
        if self.is_sealed() { NAMES.len() } else { NAMES.len() - 1 }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        self.refused = None;
        let fields = self.fields();
        match (dialog(key), self.field) {
            (DialogKey::Esc, _) => return Step::Close,
            (DialogKey::Enter, _) => match self.request() {
                Ok(request) => return Step::Send(Command::Errand { errand: Errand::Evaluate { request } }),
                Err(why) => self.refused = Some(why),
            },
            (DialogKey::Down | DialogKey::Next, field) => self.field = (field + 1) % fields,
            (DialogKey::Up | DialogKey::Previous, field) => self.field = (field + fields - 1) % fields,
            (DialogKey::Switch | DialogKey::Right, 0) => self.predictor = turned(&PREDICTORS, self.predictor.text(), 1),
            (DialogKey::Left, 0) => self.predictor = turned(&PREDICTORS, self.predictor.text(), PREDICTORS.len() - 1),
            (DialogKey::Switch | DialogKey::Right, 1) => self.rows = turned(&ROWS, self.rows.text(), 1),
            (DialogKey::Left, 1) => self.rows = turned(&ROWS, self.rows.text(), ROWS.len() - 1),
            (DialogKey::Switch | DialogKey::Right | DialogKey::Left, 3) => self.low = !self.low,
            _ => {
                if let Some(input) = self.input() {
                    input.key(key);
                }
            }
        }
        Step::Stay
    }

    /// What is asked for, or in a sentence why it cannot be.
    fn request(&self) -> Result<EvaluationRequest, String> {
        let limit = match self.limit.text().trim() {
            "" => None,
            text => Some(text.parse().ok().filter(|n| *n > 0).ok_or("'at most' is a number of rows, or empty for all")?),
        };
        let rows: RowsChoice = self.rows.text().trim().parse().map_err(|e: crate::engine::RequestError| e.to_string())?;
        let why = self.why.text().trim();
        if rows == RowsChoice::Sealed && why.split_whitespace().count() < MIN_WORDS {
            return Err("say why the seal is opened, in three words or more; the opening is counted and kept".into());
        }
        Ok(EvaluationRequest {
            predictor: self.predictor.text().trim().parse().map_err(|e: crate::engine::RequestError| e.to_string())?,
            why: (rows == RowsChoice::Sealed).then(|| why.to_owned()),
            rows,
            sampling: if self.low { SamplingChoice::Low } else { SamplingChoice::Served },
            limit,
            ..EvaluationRequest::default()
        })
    }

    fn hint(&self) -> (String, Role) {
        if let Some(why) = &self.refused {
            return (one_line(why, 300), Role::Bad);
        }
        if self.is_sealed() {
            let words = match self.openings {
                None => "There is no seal yet: 'stratos dataset seal' makes one.".to_owned(),
                Some(n) => format!("The seal was opened {n} times; each opening makes its rows worth less. This one is counted."),
            };
            return (words, Role::Warn);
        }
        let words = match self.field {
            0 => "Also gguf:PATH, folder:PATH, teacher:NAME, file:PATH, typed.",
            1 => "Also file:PATH, typed. Rows of 'train' prove nothing.",
            2 => "So many rows, drawn by band; empty: all.",
            _ => "As the recipe serves, or at its lowest temperature.",
        };
        (words.into(), Role::Dim)
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let inside = popup(frame, area, (76, 11), "Evaluate", theme);
        for (field, name) in NAMES.into_iter().enumerate().take(self.fields()) {
            let line = row(inside, field as u16);
            let focus = field == self.field;
            let mark = if focus { "▸" } else { " " };
            let skip = 13.min(line.width);
            let role = if focus { Role::Strong } else { Role::Dim };
            frame.render_widget(Line::styled(format!("{mark} {name:<10}"), theme.style(role)), line);
            let rest = Rect { x: line.x + skip, width: line.width - skip, ..line };
            match field {
                0 => self.predictor.draw(frame, rest, theme, focus),
                1 => self.rows.draw(frame, rest, theme, focus),
                2 => self.limit.draw(frame, rest, theme, focus),
                3 => frame.render_widget(Line::raw(if self.low { "◂ low ▸" } else { "◂ served ▸" }), rest),
                _ => self.why.draw(frame, rest, theme, focus),
            }
        }
        let (hint, role) = self.hint();
        let below = Rect { y: inside.y + 6.min(inside.height), height: 2.min(inside.height.saturating_sub(6)), ..inside };
        text::from_top(frame, below, theme, text::wrapped(theme, role, &hint, below.width.into()));
        let foot = "tab next field   ← → turn   enter evaluates   esc leaves it";
        frame.render_widget(Line::styled(foot, theme.style(Role::Dim)), row(inside, inside.height.saturating_sub(1)));
    }
}
