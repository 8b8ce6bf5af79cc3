//! The approval dialog: shows exactly what is approved, and asks for the amount where it is large.
//!
//! Owns the wording and the typed amount; whether the plan is still the current one the engine checks again.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use super::input::Input;
use super::{Step, popup, row};
use crate::domain::Usd;
use crate::engine::{ApprovalRequest, Command};
use crate::tui::app::App;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::Role;

/// Above this worst case a slip of a key must not be enough.
const TYPED_ABOVE_CENTS: u64 = 500;

#[derive(Debug, Clone)]
pub struct Approval {
    pub request: ApprovalRequest,
    pub input: Input,
    refused: bool,
}

impl Approval {
    pub fn new(request: ApprovalRequest) -> Self {
        Self { request, input: Input::default(), refused: false }
    }

    /// The amount that must be typed, as it is shown.
    pub fn must_type(&self) -> Option<String> {
        let limit = Usd::new(rust_decimal::Decimal::new(TYPED_ABOVE_CENTS as i64, 2));
        match &self.request {
            ApprovalRequest::Spend { ceiling, .. } if *ceiling > limit => Some(amount(*ceiling)),
            _ => None,
        }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        match dialog(key) {
            DialogKey::Esc => Step::Close,
            DialogKey::Enter => self.enter(),
            _ => {
                self.refused = false;
                self.input.key(key);
                Step::Stay
            }
        }
    }

    fn enter(&mut self) -> Step {
        if self.must_type().is_some_and(|wanted| self.input.text().trim().trim_end_matches('$').trim_end() != wanted) {
            self.refused = true;
            return Step::Stay;
        }
        Step::Send(match self.request.clone() {
            ApprovalRequest::Spend { plan, ceiling, .. } => Command::Approve { plan, ceiling },
            ApprovalRequest::Dataset { dataset, .. } => Command::Acknowledge { dataset },
        })
    }

    fn lines(&self, app: &App) -> (&'static str, Vec<String>) {
        match &self.request {
            ApprovalRequest::Spend { plan, requests, expected, worst, ceiling, .. } => (
                "Approve this plan?",
                vec![
                    format!("plan      {}", plan.short()),
                    format!("requests  {requests}"),
                    format!("expected  {expected}"),
                    format!("worst     {worst}"),
                    format!("ceiling   {ceiling}   what you approve"),
                    String::new(),
                    "The teacher is asked for exactly these requests. Spending stops at the ceiling. Requests can be read on tab 3, page samples.".into(),
                ],
            ),
            ApprovalRequest::Dataset { dataset, rows, .. } => {
                let seen = if app.report_was_shown() {
                    "You say that you have read its statistics: page 1 of tab 4."
                } else {
                    "You say that you have read page 1 of tab 4. It has not been on this screen yet: esc, 4, read, a."
                };
                (
                    "Acknowledge this dataset?",
                    vec![format!("dataset   {}", dataset.short()), format!("rows      {rows}"), String::new(), seen.into()],
                )
            }
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let theme = app.theme();
        let (title, lines) = self.lines(app);
        let inside = popup(frame, area, (70, 14), title, theme);
        let text = Rect { height: inside.height.saturating_sub(3), ..inside };
        let lines: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), text);
        if let Some(wanted) = self.must_type() {
            let role = if self.refused { Role::Bad } else { Role::Strong };
            let ask = format!("type {wanted} to approve: ");
            let line = row(inside, inside.height.saturating_sub(2));
            let skip = (ask.len() as u16).min(line.width);
            frame.render_widget(Line::styled(ask, theme.style(role)), line);
            let rest = Rect { x: line.x + skip, width: line.width - skip, ..line };
            self.input.draw(frame, rest, theme, true);
        }
        let foot = row(inside, inside.height.saturating_sub(1));
        let foot_text = if self.refused { "that is not the amount   esc leaves it" } else { "enter approves   esc leaves it" };
        frame.render_widget(Line::styled(foot_text, theme.style(Role::Dim)), foot);
    }
}

fn amount(usd: Usd) -> String {
    usd.to_string().trim_end_matches(['$', ' ']).to_owned()
}
