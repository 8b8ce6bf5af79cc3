//! A reader's draft in a text field, with what becomes of it beside: the prompt as the student reads it, its length, what
//! is doubtful, and what changed.
//!
//! Owns the draft; it is read, rendered and compared by the library while it is typed. Saving sends one command.
//!
//! ```text
//! ┌ texas_nurse, changed ──────┐┌ Preview ─────────────┐
//! │ id = "texas_nurse"         ││ 132 words, 181 tokens│
//! │ role = "…"                 ││ ! no context: …      │
//! └ ctrl-s saves … ────────────┘└──────────────────────┘
//! ```

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;
use tui_textarea::{TextArea, WrapMode};

use super::{Step, row};
use crate::domain::{Profile, ProfileId, one_line, safe_text, write_draft};
use crate::engine::{Answer, Command, DraftView, Query};
use crate::tui::app::App;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::scroll::Scroll;
use crate::tui::widgets::{pane, text};

/// From this width on the draft and its preview stand side by side.
const WIDE: u16 = 100;

/// What stands beside the draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Preview,
    Changes,
}

#[derive(Debug, Clone)]
pub struct Editor {
    area: TextArea<'static>,
    /// As it is stored; `None`: a new reader.
    saved: Option<ProfileId>,
    /// The text it began with.
    before: String,
    beside: Beside,
    /// On narrow screens: the side pane covers the draft.
    turned: bool,
    scroll: Scroll,
    /// Esc was pressed on unsaved changes; the next one discards them.
    warned: bool,
}

impl Editor {
    /// On a stored reader.
    pub fn of(profile: &Profile) -> Self {
        let before = write_draft(profile);
        Self::with(&before, before.clone(), Some(profile.id.clone()))
    }

    /// On a text that is not stored: a copy, or a new reader.
    pub fn new(text: &str) -> Self {
        Self::with(text, String::new(), None)
    }

    /// Goes on with a text that was changed elsewhere.
    #[must_use]
    pub fn continued(&self, text: &str) -> Self {
        Self { beside: Beside::Changes, ..Self::with(text, self.before.clone(), self.saved.clone()) }
    }

    fn with(text: &str, before: String, saved: Option<ProfileId>) -> Self {
        let lines = text.lines().map(str::to_owned).collect();
        let (beside, turned, scroll, warned) = (Beside::Preview, false, Scroll::default(), false);
        let mut area = TextArea::new(lines);
        area.set_wrap_mode(WrapMode::WordOrGlyph);
        Self { area, saved, before, beside, turned, scroll, warned }
    }

    pub fn text(&self) -> String {
        let mut text = self.area.lines().join("\n");
        text.push('\n');
        text
    }

    fn changed(&self) -> bool {
        self.text() != self.before
    }

    pub fn query(&self) -> Query {
        Query::Draft { text: self.text(), saved: self.saved.clone() }
    }

    pub fn paste(&mut self, text: &str) {
        self.area.insert_str(safe_text(text));
    }

    pub fn key(&mut self, key: &KeyEvent, app: &App) -> Step {
        let warned = std::mem::take(&mut self.warned);
        match dialog(key) {
            DialogKey::Esc if !self.changed() || warned => return Step::Close,
            DialogKey::Esc => self.warned = true,
            DialogKey::Save => {
                if let Some(Answer::Draft(view)) = app.shelf().get(&self.query())
                    && let Ok(profile) = &view.profile
                {
                    return Step::Send(Command::SaveProfile { profile: Box::new(profile.clone()) });
                }
            }
            DialogKey::Outside => return Step::Outside(self.text()),
            DialogKey::Switch => {
                self.scroll = Scroll::default();
                self.beside = if self.beside == Beside::Preview { Beside::Changes } else { Beside::Preview };
            }
            DialogKey::Next | DialogKey::Previous => self.turned = !self.turned,
            DialogKey::PageDown if self.turned => self.scroll.by(10),
            DialogKey::PageUp if self.turned => self.scroll.by(-10),
            DialogKey::Down if self.turned => self.scroll.by(1),
            DialogKey::Up if self.turned => self.scroll.by(-1),
            _ => {
                self.area.input(*key);
            }
        }
        Step::Stay
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        frame.render_widget(Clear, area);
        let theme = app.theme();
        let body = Rect { height: area.height.saturating_sub(1), ..area };
        if area.width >= WIDE {
            let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(body);
            self.draft(frame, left, theme);
            self.side(frame, right, app);
        } else if self.turned {
            self.side(frame, body, app);
        } else {
            self.draft(frame, body, theme);
        }
        self.foot(frame, row(area, area.height.saturating_sub(1)), app);
    }

    fn draft(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let name = self.saved.as_ref().map_or("a new reader", ProfileId::as_str);
        let state = if self.changed() { "changed" } else { "as stored" };
        let inner = pane::pane(frame, area, theme, &format!("{name}, {state}"), !self.turned);
        if inner.is_empty() {
            return;
        }
        let mut shown = self.area.clone();
        shown.set_style(theme.style(Role::Text));
        shown.set_cursor_line_style(theme.style(Role::Text));
        shown.set_cursor_style(theme.style(Role::Selected));
        frame.render_widget(&shown, inner);
    }

    fn side(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let title = if self.beside == Beside::Preview { "Preview" } else { "Changes since it was saved" };
        let inner = pane::pane(frame, area, app.theme(), title, self.turned);
        let columns = usize::from(inner.width);
        let query = self.query();
        // While the newest text is away the one before it is better than nothing.
        let lines = match app.shelf().newest_like(&query) {
            Some(Answer::Draft(view)) if self.beside == Beside::Preview => preview(app.theme(), view, columns),
            Some(Answer::Draft(view)) => changes(app.theme(), view, columns),
            _ => text::wrapped(app.theme(), Role::Dim, app.shelf().failed(&query).unwrap_or("reading…"), columns),
        };
        text::page(frame, inner, app.theme(), lines, &self.scroll);
    }

    fn foot(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let theme = app.theme();
        let line = if self.warned {
            Line::styled("not saved: ctrl-s saves, esc again discards the changes", theme.style(Role::Warn))
        } else {
            let keys = [
                ("ctrl-s", "save"),
                ("ctrl-o", "$EDITOR"),
                ("ctrl-t", "preview or changes"),
                ("tab", "other pane"),
                ("esc", "close"),
            ];
            let mut line = Line::default();
            for (key, label) in keys {
                line.push_span(Span::styled(key, theme.style(Role::Key)));
                line.push_span(Span::styled(format!(" {label}  "), theme.style(Role::Dim)));
            }
            line
        };
        frame.render_widget(line, area);
    }
}

fn preview(theme: &Theme, view: &DraftView, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Err(why) = &view.profile {
        lines.extend(text::wrapped(theme, Role::Bad, &format!("✗ {}", one_line(why, 400)), columns));
        return lines;
    }
    let tokens = view.tokens.map_or("no tokenizer yet: its dataset is not built".to_owned(), |n| format!("{n} tokens"));
    let part = if view.takes_part { "takes part" } else { "does not take part (see [select])" };
    lines.extend(text::wrapped(theme, Role::Strong, &format!("{} words, {tokens}; {part}", view.words), columns));
    for remark in &view.remarks {
        lines.extend(text::wrapped(theme, Role::Warn, &format!("! {}", one_line(remark, 400)), columns));
    }
    if !view.stale.is_empty() {
        let phases: Vec<&str> = view.stale.iter().map(|phase| phase.title()).collect();
        let words = format!("Saving makes these phases out of date: {}.", phases.join(", "));
        lines.extend(text::wrapped(theme, Role::Accent, &words, columns));
    }
    lines.push(Line::default());
    lines.extend(text::wrapped(theme, Role::Text, &safe_text(&view.system_prompt), columns));
    lines
}

fn changes(theme: &Theme, view: &DraftView, columns: usize) -> Vec<Line<'static>> {
    if view.diff.iter().all(|(sign, _)| *sign == ' ') {
        let words = if view.diff.is_empty() { "Nothing is stored under this id yet." } else { "Nothing has changed." };
        return text::wrapped(theme, Role::Dim, words, columns);
    }
    let line = |(sign, line): &(char, String)| {
        let role = match sign {
            '-' => Role::Warn,
            '+' => Role::Accent,
            _ => Role::Dim,
        };
        Line::styled(text::cut(&format!("{sign} {}", one_line(line, 400)), columns), theme.style(role))
    };
    view.diff.iter().map(line).collect()
}
