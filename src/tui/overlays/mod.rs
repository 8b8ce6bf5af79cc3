//! Dialogs above the tabs: a stack, the top one hears the keys.
//!
//! Owns how a dialog tells the shell what to do ([`Step`]) and the frame around each; a dialog changes nothing itself.

pub mod approval;
pub mod confirm;
pub mod editor;
pub mod evaluate;
pub mod filter;
pub mod fix;
pub mod form;
pub mod help;
pub mod input;
pub mod log;
pub mod marks;
pub mod note;
pub mod palette;
pub mod path;
pub mod reason;
pub mod score;
pub mod welcome;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear};

use super::actions::Action;
use super::app::App;
use super::theme::{Role, Theme};
use crate::domain::MarkedSpan;
use crate::engine::{Command, Query};

/// What the shell does after a dialog heard a key.
#[derive(Debug, Clone)]
pub enum Step {
    Stay,
    Close,
    /// Closes, then sends.
    Send(Command),
    /// Closes, then does an action of the table.
    Act(&'static Action),
    /// Closes, stops the job and quits once it has saved.
    Leave,
    /// Closes and quits; the engine works on.
    Quit,
    /// Stays, and hands the text to the operator's own editor.
    Outside(String),
    /// Sets the tab's filter and stays.
    Filter(String),
    /// Sets the tab's filter back and closes.
    Revert(String),
    /// Closes, and keeps a note on the think block that is read.
    Noted(String),
    /// The same for marks in it.
    Marked(Vec<MarkedSpan>),
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one overlay is open at a time; a box would only add a hop")]
pub enum Overlay {
    Help(help::Help),
    Palette(palette::Palette),
    Approval(approval::Approval),
    Confirm(confirm::Confirm),
    Filter(filter::Filter),
    Reason(reason::Reason),
    Editor(editor::Editor),
    Path(path::PathPrompt),
    Log(log::LogPane),
    Welcome(welcome::Welcome),
    Score(score::Score),
    Note(note::Note),
    Marks(marks::Marks),
    Fix(fix::Fix),
    Form(form::Form),
    Evaluate(evaluate::Evaluate),
}

impl Overlay {
    pub fn key(&mut self, key: &KeyEvent, app: &App) -> Step {
        match self {
            Self::Help(help) => help.key(key),
            Self::Palette(palette) => palette.key(key, app),
            Self::Approval(approval) => approval.key(key),
            Self::Confirm(confirm) => confirm.key(key),
            Self::Filter(filter) => filter.key(key),
            Self::Reason(reason) => reason.key(key),
            Self::Editor(editor) => editor.key(key, app),
            Self::Path(path) => path.key(key),
            Self::Log(log) => log.key(key, app),
            Self::Welcome(_) => welcome::Welcome::key(key, app),
            Self::Score(score) => score.key(key),
            Self::Note(note) => note.key(key),
            Self::Marks(marks) => marks.key(key),
            Self::Fix(fix) => fix.key(key),
            Self::Form(form) => form.key(key),
            Self::Evaluate(form) => form.key(key),
        }
    }

    /// Pasted text goes where typed text would.
    pub fn paste(&mut self, text: &str) -> Step {
        match self {
            Self::Help(help) => help.input.paste(text),
            Self::Palette(palette) => palette.input.paste(text),
            Self::Approval(approval) => approval.input.paste(text),
            Self::Confirm(_) => {}
            Self::Filter(filter) => return filter.paste(text),
            Self::Reason(reason) => reason.input.paste(text),
            Self::Editor(editor) => editor.paste(text),
            Self::Path(path) => path.input.paste(text),
            Self::Log(log) => log.input.paste(text),
            Self::Welcome(_) => {}
            Self::Score(score) => score.paste(text),
            Self::Note(note) => note.paste(text),
            Self::Marks(_) => {}
            Self::Fix(fix) => fix.paste(text),
            Self::Form(form) => form.paste(text),
            Self::Evaluate(form) => form.paste(text),
        }
        Step::Stay
    }

    /// What it needs from the library to be drawn.
    pub fn wants(&self) -> Vec<Query> {
        match self {
            Self::Editor(editor) => vec![editor.query()],
            _ => Vec::new(),
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        match self {
            Self::Help(help) => help.draw(frame, area, app),
            Self::Palette(palette) => palette.draw(frame, area, app),
            Self::Approval(approval) => approval.draw(frame, area, app),
            Self::Confirm(confirm) => confirm.draw(frame, area, app.theme()),
            Self::Filter(filter) => filter.draw(frame, area, app.theme()),
            Self::Reason(reason) => reason.draw(frame, area, app.theme()),
            Self::Editor(editor) => editor.draw(frame, area, app),
            Self::Path(path) => path.draw(frame, area, app.theme()),
            Self::Log(log) => log.draw(frame, area, app),
            Self::Welcome(_) => welcome::Welcome::draw(frame, area, app),
            Self::Score(score) => score.draw(frame, area, app.theme()),
            Self::Note(note) => note.draw(frame, area, app.theme()),
            Self::Marks(marks) => marks.draw(frame, area, app.theme()),
            Self::Fix(fix) => fix.draw(frame, area, app.theme()),
            Self::Form(form) => form.draw(frame, area, app.theme()),
            Self::Evaluate(form) => form.draw(frame, area, app.theme()),
        }
    }
}

/// A centred frame of at most `width` × `height`, cleared; returns its inside.
pub(super) fn popup(frame: &mut Frame<'_>, area: Rect, (width, height): (u16, u16), title: &str, theme: &Theme) -> Rect {
    let width = width.min(area.width);
    let height = height.min(area.height);
    let at = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.style(Role::Focus))
        .title(Line::styled(format!(" {title} "), theme.style(Role::Strong)))
        .style(theme.style(Role::Text));
    let inside = block.inner(at);
    frame.render_widget(Clear, at);
    frame.render_widget(block, at);
    inside
}

/// The `nth` line of an area; empty if there is none.
pub(super) fn row(area: Rect, nth: u16) -> Rect {
    if nth >= area.height {
        return Rect { height: 0, ..area };
    }
    Rect { y: area.y + nth, height: 1, ..area }
}
