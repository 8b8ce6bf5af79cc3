//! Jobs and the log: what ran, how it ended, and everything the engine said, followed as it comes.
//!
//! Owns level, filter and place in the log; the lines are the snapshot's.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

use super::input::Input;
use super::{Step, row};
use crate::domain::one_line;
use crate::engine::{JobView, Level, LogLine};
use crate::tui::app::App;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::{pane, text};

/// Jobs shown; the newest first.
const JOBS: u16 = 6;
/// Lines that a page key moves by.
const PAGE: usize = 10;

#[derive(Debug, Clone)]
pub struct LogPane {
    /// Words that a line must have.
    pub input: Input,
    least: Level,
    /// Lines up from the newest one; 0 follows.
    up: usize,
}

impl Default for LogPane {
    fn default() -> Self {
        Self { input: Input::default(), least: Level::Info, up: 0 }
    }
}

impl LogPane {
    pub fn key(&mut self, key: &KeyEvent, app: &App) -> Step {
        let furthest = self.found(app).len().saturating_sub(1);
        match dialog(key) {
            DialogKey::Esc | DialogKey::Enter => return Step::Close,
            DialogKey::Next => {
                self.least = match self.least {
                    Level::Info => Level::Warn,
                    Level::Warn => Level::Error,
                    Level::Error => Level::Info,
                };
                self.up = 0;
            }
            DialogKey::Up => self.up = (self.up + 1).min(furthest),
            DialogKey::Down => self.up = self.up.saturating_sub(1),
            DialogKey::PageUp => self.up = (self.up + PAGE).min(furthest),
            DialogKey::PageDown => self.up = self.up.saturating_sub(PAGE),
            DialogKey::Switch => self.up = 0,
            _ if self.input.key(key) => self.up = 0,
            _ => {}
        }
        Step::Stay
    }

    /// Lines of the level that have every word, oldest first.
    fn found<'a>(&self, app: &'a App) -> Vec<&'a LogLine> {
        let wanted = self.input.text().to_lowercase();
        let hit = |line: &&LogLine| {
            let text = line.text.to_lowercase();
            line.level >= self.least && wanted.split_whitespace().all(|word| text.contains(word))
        };
        app.snapshot().log.iter().filter(hit).collect()
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        frame.render_widget(Clear, area);
        let theme = app.theme();
        let body = Rect { height: area.height.saturating_sub(2), ..area };
        let [top, bottom] = Layout::vertical([Constraint::Length(JOBS + 2), Constraint::Min(3)]).areas(body);
        jobs(frame, top, app);
        self.lines(frame, bottom, app);
        let ask = row(area, area.height.saturating_sub(2));
        let skip = 8.min(ask.width);
        frame.render_widget(Line::styled("filter:", theme.style(Role::Dim)), ask);
        self.input.draw(frame, Rect { x: ask.x + skip, width: ask.width - skip, ..ask }, theme, true);
        let foot = "tab least level   ↑ ↓ pgup pgdn scroll   ctrl-t follow   esc close";
        frame.render_widget(Line::styled(foot, theme.style(Role::Dim)), row(area, area.height.saturating_sub(1)));
    }

    fn lines(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let theme = app.theme();
        let found = self.found(app);
        let least = match self.least {
            Level::Info => "everything",
            Level::Warn => "warnings and errors",
            Level::Error => "errors",
        };
        let following = if self.up == 0 { "following".to_owned() } else { format!("{} below", self.up) };
        let inner = pane::pane(frame, area, theme, &format!("Log · {least} · {} lines · {following}", found.len()), true);
        let columns = usize::from(inner.width);
        let mut shown: Vec<Line<'_>> = Vec::new();
        for line in found.iter().rev().skip(self.up) {
            let lines = log_line(theme, line, app, columns);
            let room = usize::from(inner.height).saturating_sub(shown.len());
            shown.extend(lines.into_iter().rev().take(room));
            if shown.len() >= usize::from(inner.height) {
                break;
            }
        }
        shown.reverse();
        if shown.is_empty() {
            shown = text::wrapped(theme, Role::Dim, "Nothing was said that fits.", columns);
        }
        text::from_top(frame, inner, theme, shown);
    }
}

fn log_line(theme: &Theme, line: &LogLine, app: &App, columns: usize) -> Vec<Line<'static>> {
    let (mark, role) = match line.level {
        Level::Info => ("i", Role::Text),
        Level::Warn => ("!", Role::Warn),
        Level::Error => ("✗", Role::Bad),
    };
    let words = format!("{mark} {} ago  {}", age(app, line), one_line(&line.text, 2000));
    text::wrapped(theme, role, &words, columns)
}

fn age(app: &App, line: &LogLine) -> String {
    crate::tui::tabs::age(app.now(), line.at)
}

fn jobs(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let theme = app.theme();
    let live = app.live_job();
    let ended = app.snapshot().jobs.iter().rev();
    let all: Vec<&JobView> = live.into_iter().chain(ended).collect();
    let inner = pane::pane(frame, area, theme, &format!("Jobs · {} since the engine began", all.len()), false);
    if all.is_empty() {
        return text::from_top(frame, inner, theme, vec![Line::styled("No job has run yet.", theme.style(Role::Dim))]);
    }
    let row_of = |job: &&JobView| {
        let role = if job.state.is_live() { Role::Accent } else { Role::Text };
        let took = if job.state.is_live() {
            format!("since {}", crate::tui::tabs::age(app.now(), job.started))
        } else {
            format!("{:.0} s", job.heartbeat.seconds_since(job.started))
        };
        let why = match &job.state {
            crate::engine::JobState::Failed { reason, .. } => one_line(reason, 200),
            _ => one_line(&job.message, 200),
        };
        Line::from(vec![
            Span::styled(format!("{:>3} {:<9} {:<9} ", job.id, job.phase.title(), job.state.label()), theme.style(role)),
            Span::styled(format!("{took:<12} {why}"), theme.style(Role::Dim)),
        ])
    };
    text::from_top(frame, inner, theme, all.iter().take(JOBS.into()).map(row_of).collect());
}
