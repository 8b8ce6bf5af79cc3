//! A form: a few named fields, each a line of text or a choice, that become one command.
//!
//! Owns filling in and moving about; what the values mean, and why they cannot be, is told by who opens it.

use std::fmt;
use std::sync::Arc;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::input::Input;
use super::{Step, popup, row};
use crate::engine::Command;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::text;

/// Columns of a field's name with its mark.
const NAME: u16 = 15;

#[derive(Debug, Clone)]
pub struct Form {
    title: String,
    /// What comes of it, in a sentence or two.
    hint: String,
    fields: Vec<Field>,
    at: usize,
    refused: Option<String>,
    make: Make,
}

/// One thing to fill in.
#[derive(Debug, Clone)]
pub struct Field {
    name: &'static str,
    value: Value,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a form has a handful of fields; a box would only add a hop")]
enum Value {
    Text(Input),
    Choice { options: Vec<String>, at: usize },
}

/// From the values, in the order of the fields, to a command, or why there is none.
#[derive(Clone)]
struct Make(Arc<Maker>);

/// From the texts of the fields to a command, or what is wrong with them.
type Maker = dyn Fn(&[String]) -> Result<Command, String> + Send + Sync;

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Make")
    }
}

impl Field {
    pub fn text(name: &'static str, value: &str) -> Self {
        Self { name, value: Value::Text(Input::with(value)) }
    }

    /// The first option is chosen.
    pub fn choice<T: Into<String>>(name: &'static str, options: impl IntoIterator<Item = T>) -> Self {
        Self { name, value: Value::Choice { options: options.into_iter().map(Into::into).collect(), at: 0 } }
    }

    fn value(&self) -> String {
        match &self.value {
            Value::Text(input) => input.text().trim().to_owned(),
            Value::Choice { options, at } => options.get(*at).cloned().unwrap_or_default(),
        }
    }
}

impl Form {
    pub fn new(
        title: impl Into<String>,
        hint: impl Into<String>,
        fields: Vec<Field>,
        make: impl Fn(&[String]) -> Result<Command, String> + Send + Sync + 'static,
    ) -> Self {
        Self { title: title.into(), hint: hint.into(), fields, at: 0, refused: None, make: Make(Arc::new(make)) }
    }

    pub fn paste(&mut self, pasted: &str) {
        if let Some(Field { value: Value::Text(input), .. }) = self.fields.get_mut(self.at) {
            input.paste(pasted);
        }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        self.refused = None;
        let (count, last) = (self.fields.len().max(1), self.at + 1 >= self.fields.len());
        match (dialog(key), self.fields.get_mut(self.at).map(|field| &mut field.value)) {
            (DialogKey::Esc, _) => return Step::Close,
            (DialogKey::Save, _) => return self.send(),
            (DialogKey::Enter, _) if last => return self.send(),
            (DialogKey::Enter | DialogKey::Down | DialogKey::Next, _) => self.at = (self.at + 1) % count,
            (DialogKey::Up | DialogKey::Previous, _) => self.at = (self.at + count - 1) % count,
            (DialogKey::Right, Some(Value::Choice { options, at })) => *at = (*at + 1) % options.len().max(1),
            (DialogKey::Left, Some(Value::Choice { options, at })) => {
                *at = (*at + options.len().max(1) - 1) % options.len().max(1);
            }
            (_, Some(Value::Text(input))) => {
                input.key(key);
            }
            _ => {}
        }
        Step::Stay
    }

    fn send(&mut self) -> Step {
        let values: Vec<String> = self.fields.iter().map(Field::value).collect();
        match (self.make.0)(&values) {
            Ok(command) => Step::Send(command),
            Err(why) => {
                self.refused = Some(why);
                Step::Stay
            }
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        const WIDTH: u16 = 76;
        let hint = text::wrapped(theme, Role::Dim, &self.hint, usize::from(WIDTH.min(area.width)).saturating_sub(2));
        let fields = u16::try_from(self.fields.len()).unwrap_or(u16::MAX);
        let height = u16::try_from(hint.len()).unwrap_or(u16::MAX).saturating_add(fields).saturating_add(5);
        let inside = popup(frame, area, (WIDTH, height), &self.title, theme);
        // The fields come first where there is no room for all of it.
        let above = inside.height.saturating_sub(fields + 2);
        text::from_top(frame, Rect { height: above.saturating_sub(1), ..inside }, theme, hint);
        for (nth, field) in (0u16..).zip(&self.fields) {
            let line = row(inside, above + nth);
            let here = usize::from(nth) == self.at;
            let name = Span::styled(
                format!("{} {}", if here { "▸" } else { " " }, field.name),
                theme.style(if here { Role::Strong } else { Role::Dim }),
            );
            frame.render_widget(Line::from(name), line);
            let skip = NAME.min(line.width);
            let rest = Rect { x: line.x + skip, width: line.width - skip, ..line };
            match &field.value {
                Value::Text(input) => input.draw(frame, rest, theme, here),
                Value::Choice { .. } => {
                    let words = text::cut(&format!("◂ {} ▸", field.value()), rest.width.into());
                    frame.render_widget(Line::styled(words, theme.style(Role::Text)), rest);
                }
            }
        }
        let (foot, role) = match &self.refused {
            Some(why) => (why.as_str(), Role::Bad),
            None => ("tab next field   ← → choice   enter on the last does it   esc closes", Role::Dim),
        };
        let foot = Line::styled(text::cut(foot, inside.width.into()), theme.style(role));
        frame.render_widget(foot, row(inside, inside.height.saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn press(form: &mut Form, codes: &[KeyCode]) -> Step {
        let key = |code: &KeyCode| KeyEvent::new(*code, KeyModifiers::NONE);
        codes.iter().map(key).fold(Step::Stay, |_, key| form.key(&key))
    }

    fn form() -> Form {
        let fields = vec![Field::text("id", "7"), Field::choice("what", ["none", "adopt"])];
        Form::new("Settle", "Says what it is.", fields, |values| {
            let submission = values[0].parse().map_err(|_| format!("'{}' is no number", values[0]))?;
            Ok(Command::Settle { submission, adopt: (values[1] == "adopt").then(|| "b".to_owned()) })
        })
    }

    #[test]
    fn enter_goes_through_the_fields_and_sends_at_the_last() {
        let mut form = form();
        assert!(matches!(press(&mut form, &[KeyCode::Enter]), Step::Stay));
        let sent = press(&mut form, &[KeyCode::Right, KeyCode::Enter]);
        assert!(matches!(sent, Step::Send(Command::Settle { submission: 7, adopt: Some(_) })), "{sent:?}");
    }

    #[test]
    fn what_cannot_be_is_said_and_nothing_is_sent() {
        let mut form = form();
        let codes = [KeyCode::Char('x'), KeyCode::Tab, KeyCode::Enter];
        assert!(matches!(press(&mut form, &codes), Step::Stay));
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("terminal");
        terminal.draw(|frame| form.draw(frame, frame.area(), &Theme::default())).expect("draws");
        let drawn: String = terminal.backend().buffer().content().iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(drawn.contains("'7x' is no number") && drawn.contains("◂ none ▸"), "{drawn}");
    }

    #[test]
    fn a_form_is_drawn_at_any_size() {
        for (width, height) in [(1, 1), (3, 9), (20, 4), (200, 60)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("terminal");
            terminal.draw(|frame| form().draw(frame, frame.area(), &Theme::default())).expect("draws");
        }
    }
}
