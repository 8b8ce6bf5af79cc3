//! The help: every action with its keys and its sentence; typing searches.
//!
//! Owns search and scrolling; the words are the action table's.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::input::Input;
use super::{Step, popup, row};
use crate::domain::Phase;
use crate::tui::actions::{self, Action, Where};
use crate::tui::app::App;
use crate::tui::keymap::Keymap;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};

#[derive(Debug, Clone, Default)]
pub struct Help {
    pub input: Input,
    scroll: u16,
}

impl Help {
    pub fn key(&mut self, key: &KeyEvent) -> Step {
        let end = actions::all().count() as u16;
        match dialog(key) {
            DialogKey::Esc | DialogKey::Enter => return Step::Close,
            DialogKey::Down => self.scroll = (self.scroll + 1).min(end),
            DialogKey::Up => self.scroll = self.scroll.saturating_sub(1),
            DialogKey::PageDown => self.scroll = (self.scroll + 10).min(end),
            DialogKey::PageUp => self.scroll = self.scroll.saturating_sub(10),
            _ if self.input.key(key) => self.scroll = 0,
            _ => {}
        }
        Step::Stay
    }

    /// Actions that every typed word occurs in.
    fn found(&self, keymap: &Keymap) -> Vec<&'static Action> {
        let wanted = self.input.text().to_lowercase();
        let text = |a: &'static Action| format!("{} {} {} {}", a.id, keymap.text(a), a.label, a.help).to_lowercase();
        actions::all().filter(|action| wanted.split_whitespace().all(|word| text(action).contains(word))).collect()
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let theme = app.theme();
        let inside = popup(frame, area, (80, area.height.saturating_sub(2).min(46)), "Help", theme);
        let search = row(inside, 0);
        let skip = 8.min(search.width);
        frame.render_widget(Line::styled("search:", theme.style(Role::Dim)), search);
        self.input.draw(frame, Rect { x: search.x + skip, width: search.width - skip, ..search }, theme, true);
        let lines: Vec<Line<'_>> =
            self.found(app.keymap()).into_iter().map(|action| line(action, app.phase(), app.keymap(), theme)).collect();
        let list = Rect { y: inside.y + 1.min(inside.height), height: inside.height.saturating_sub(2), ..inside };
        let furthest = (lines.len() as u16).saturating_sub(list.height);
        let more = furthest > 0;
        frame.render_widget(Paragraph::new(lines).scroll((self.scroll.min(furthest), 0)), list);
        let foot = if more { "↑ ↓ pgup pgdn scroll   esc closes" } else { "esc closes" };
        frame.render_widget(Line::styled(foot, theme.style(Role::Dim)), row(inside, inside.height.saturating_sub(1)));
    }
}

fn line(action: &'static Action, here: Phase, keymap: &Keymap, theme: &Theme) -> Line<'static> {
    let role = if action.valid_on(here) { Role::Text } else { Role::Dim };
    let place = match action.on {
        Where::Anywhere => String::new(),
        Where::Tab(phase) => format!(" [tab {}]", phase.index() + 1),
    };
    Line::from(vec![
        Span::styled(format!("{:<12} ", keymap.text(action)), theme.style(Role::Key)),
        Span::styled(action.help, theme.style(role)),
        Span::styled(place, theme.style(Role::Dim)),
    ])
}
