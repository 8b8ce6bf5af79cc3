//! The first screen of a workspace in which nothing has run: the eight phases in one sentence each, and how to begin.
//!
//! Owns those sentences. It comes by itself once; the palette finds it again.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Step, popup};
use crate::domain::Phase;
use crate::tui::actions;
use crate::tui::app::App;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::Role;
use crate::tui::widgets::text;

/// What a phase is for; fits 80 columns beside its name.
fn purpose(phase: Phase) -> &'static str {
    match phase {
        Phase::Profiles => "who reads: one reader, one system prompt",
        Phase::Articles => "what they read: import, look, mark",
        Phase::Distill => "a large model judges; you see the price and approve it first",
        Phase::Dataset => "its traces become balanced, split, deduplicated rows",
        Phase::Train => "a small model learns to judge; watch it",
        Phase::Validate => "is it better than doing nothing, and by how much?",
        Phase::Audit => "read think blocks by hand and say what is wrong",
        Phase::Deploy => "a release that answers as what was trained",
    }
}

#[derive(Debug, Clone, Default)]
pub struct Welcome;

impl Welcome {
    pub fn key(key: &KeyEvent, app: &App) -> Step {
        match dialog(key) {
            DialogKey::Esc | DialogKey::Enter => Step::Close,
            // A key that means something does it: the first screen is not in the way.
            _ => match app.keymap().find(key, app.phase()) {
                Some(action) => Step::Act(action),
                None => Step::Stay,
            },
        }
    }

    pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
        let theme = app.theme();
        let inside = popup(frame, area, (78, 20), "Welcome to StratOS", theme);
        let columns = usize::from(inside.width);
        let intro = "From articles and reader profiles to a small local model whose relevance scores you can trust. Eight \
                     phases, from left to right; each says what it needs.";
        let mut lines = text::wrapped(theme, Role::Text, intro, columns);
        lines.push(Line::default());
        for phase in Phase::ALL {
            lines.push(Line::from(vec![
                Span::styled(format!(" {} ", phase.index() + 1), theme.style(Role::Key)),
                Span::styled(format!("{:<10}", phase.title()), theme.style(Role::Strong)),
                Span::styled(purpose(phase), theme.style(Role::Text)),
            ]));
        }
        lines.push(Line::default());
        if app.snapshot().workspace.practice {
            let words = "Teacher or student is the practice one: nothing is bought, and the numbers are for practice.";
            lines.extend(text::wrapped(theme, Role::Accent, words, columns));
        }
        let key = |id: &str| actions::by_id(id).and_then(|action| app.keymap().of(action).first().map(ToString::to_string));
        let begin = [("run-all", "runs everything and asks before it spends"), ("help", "helps"), ("palette", "finds any act")];
        let mut line = Line::default();
        for (id, words) in begin {
            if let Some(key) = key(id) {
                line.push_span(Span::styled(format!("{key} "), theme.style(Role::Key)));
                line.push_span(Span::styled(format!("{words}   "), theme.style(Role::Dim)));
            }
        }
        lines.push(line);
        lines.push(Line::styled("esc closes this", theme.style(Role::Dim)));
        text::from_top(frame, inside, theme, lines);
    }
}
