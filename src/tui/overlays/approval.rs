//! The approval dialog: shows exactly what is approved, and asks for the amount where it is large.
//!
//! Owns the wording and the typed ceiling; whether the plan is still the current one the engine checks again.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use rust_decimal::Decimal;

use super::input::Input;
use super::{Step, popup, row};
use crate::domain::{Digest, Usd, one_line, safe_text};
use crate::engine::{ApprovalRequest, Command, PlanView};
use crate::tui::app::App;
use crate::tui::keys::{DialogKey, dialog};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::scroll::Scroll;
use crate::tui::widgets::text::{self, field, field_wrapped, wrapped};

/// Above this ceiling a slip of a key must not be enough.
const TYPED_ABOVE_CENTS: i64 = 500;
/// More than this is a slip of the hand, not a ceiling.
const MOST_DOLLARS: i64 = 1_000_000;
const WIDTH: u16 = 76;
/// Ceiling, two rows of what there is to say about it, keys.
const BOTTOM: u16 = 4;

/// What was said about the text that was in the field when enter was pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Refused,
    BelowExpected,
}

#[derive(Debug, Clone)]
pub struct Approval {
    pub request: ApprovalRequest,
    pub input: Amount,
    told: Option<(String, Told)>,
    scroll: Scroll,
}

/// The field of the ceiling. What stood in it at first gives way to the first letter typed or pasted.
#[derive(Debug, Clone, Default)]
pub struct Amount {
    input: Input,
    untouched: bool,
}

impl Amount {
    fn suggesting(text: &str) -> Self {
        Self { input: Input::with(text), untouched: true }
    }

    pub fn paste(&mut self, text: &str) {
        if std::mem::take(&mut self.untouched) {
            self.input = Input::default();
        }
        self.input.paste(text);
    }

    fn key(&mut self, key: &KeyEvent) {
        if std::mem::take(&mut self.untouched) {
            let mut fresh = Input::default();
            fresh.key(key);
            if !fresh.text().is_empty() {
                self.input = fresh;
                return;
            }
        }
        self.input.key(key);
    }

    fn text(&self) -> &str {
        self.input.text().trim()
    }

    /// Plain digits and a point: what can be read in two ways is not taken.
    fn read(&self) -> Option<Usd> {
        let plain = self.text().trim_matches('$').trim();
        if !plain.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let amount: Usd = plain.parse().ok()?;
        (amount.amount() <= Decimal::from(MOST_DOLLARS)).then_some(amount)
    }
}

impl Approval {
    pub fn new(request: ApprovalRequest) -> Self {
        let input = match &request {
            ApprovalRequest::Spend { ceiling, .. } if !is_large(*ceiling) => Amount::suggesting(&digits(*ceiling)),
            _ => Amount::default(),
        };
        Self { request, input, told: None, scroll: Scroll::default() }
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        match dialog(key) {
            DialogKey::Esc => return Step::Close,
            DialogKey::Enter => return self.enter(),
            DialogKey::Up => self.scroll.by(-1),
            DialogKey::Down => self.scroll.by(1),
            _ => self.input.key(key),
        }
        Step::Stay
    }

    fn enter(&mut self) -> Step {
        match self.request.clone() {
            ApprovalRequest::Dataset { dataset, .. } => Step::Send(Command::Acknowledge { dataset }),
            ApprovalRequest::Spend { plan, expected, .. } => {
                let told = match self.input.read() {
                    None => Told::Refused,
                    Some(ceiling) if ceiling >= expected || self.told() == Some(&Told::BelowExpected) => {
                        return Step::Send(Command::Approve { plan, ceiling });
                    }
                    Some(_) => Told::BelowExpected,
                };
                self.told = Some((self.input.text().to_owned(), told));
                Step::Stay
            }
        }
    }

    /// What was said holds for the text it was said about, and no longer.
    fn told(&self) -> Option<&Told> {
        self.told.as_ref().filter(|(text, _)| text == self.input.text()).map(|(_, told)| told)
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, app: &App) {
        let columns = usize::from(WIDTH.min(area.width).saturating_sub(2));
        let bottom = if matches!(self.request, ApprovalRequest::Spend { .. }) { BOTTOM } else { 2 };
        let room = usize::from(area.height.saturating_sub(bottom + 2));
        let mut lines = self.lines(app, columns, true);
        if lines.len() > room {
            lines = self.lines(app, columns, false);
        }
        let scrolls = lines.len() > room;
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(bottom + 2);
        let inside = popup(frame, area, (WIDTH, height), &self.title(), app.theme());
        let above = Rect { height: inside.height.saturating_sub(bottom), ..inside };
        text::page(frame, above, app.theme(), lines, &self.scroll);
        self.draw_bottom(frame, inside, app.theme(), scrolls);
    }

    fn title(&self) -> String {
        match &self.request {
            ApprovalRequest::Spend { what, .. } => format!("Approve the {}?", one_line(what, 30)),
            ApprovalRequest::Dataset { .. } => "Acknowledge this dataset?".into(),
        }
    }

    /// What is approved; `roomy`: with the lines that may be left out on a small screen.
    fn lines(&self, app: &App, columns: usize, roomy: bool) -> Vec<Line<'static>> {
        let theme = app.theme();
        let mut lines = match &self.request {
            ApprovalRequest::Spend { plan, .. } => {
                let view = app.snapshot().distill.plan.as_ref().filter(|view| view.digest == *plan);
                self.spend_lines(theme, plan, view, columns)
            }
            ApprovalRequest::Dataset { dataset, rows, .. } => vec![
                field(theme, "dataset", dataset.short(), Role::Strong),
                field(theme, "rows", &rows.to_string(), Role::Strong),
            ],
        };
        match &self.request {
            ApprovalRequest::Spend { notice, .. } => {
                if let Some(notice) = notice {
                    lines.extend(roomy.then(Line::default));
                    lines.extend(wrapped(theme, Role::Warn, &format!("! {}", safe_text(notice)), columns));
                }
                if roomy {
                    let words = "Exactly these requests are sent. They can be read before: esc, tab 3, page samples.";
                    lines.push(Line::default());
                    lines.extend(wrapped(theme, Role::Text, words, columns));
                    lines.push(Line::default());
                }
            }
            ApprovalRequest::Dataset { .. } => {
                let seen = if app.report_was_shown() {
                    "You say that you have read its statistics: page 1 of tab 4."
                } else {
                    "You say that you have read page 1 of tab 4. It has not been on this screen yet: esc, 4, read, a."
                };
                lines.push(Line::default());
                lines.extend(wrapped(theme, Role::Text, seen, columns));
            }
        }
        lines
    }

    fn spend_lines(&self, theme: &Theme, plan: &Digest, view: Option<&PlanView>, columns: usize) -> Vec<Line<'static>> {
        let ApprovalRequest::Spend { requests, expected, p95, worst, .. } = &self.request else { return Vec::new() };
        let scope = view.map(|view| format!(" · {}", one_line(&view.scope, 120))).unwrap_or_default();
        let mut lines = field_wrapped(theme, "plan", &format!("{}{scope}", plan.short()), columns);
        let teacher = view.map_or_else(
            || "of another plan than the one on tab 3".to_owned(),
            |view| format!("{} · {}", one_line(&view.teacher, 60), one_line(&view.model, 80)),
        );
        lines.extend(field_wrapped(theme, "teacher", &teacher, columns));
        lines.push(field(theme, "requests", &requests.to_string(), Role::Strong));
        lines.push(field(theme, "expected", &money(*expected), Role::Strong));
        lines.push(field(theme, "95 %", &money(*p95), Role::Strong));
        lines.push(field(theme, "worst", &money(*worst), Role::Strong));
        let Some(view) = view else { return lines };
        if view.approved.is_some() || view.spent > Usd::ZERO {
            let ceiling = view.approved.map_or_else(String::new, |c| format!(" of {} approved before", money(c)));
            lines.extend(field_wrapped(theme, "spent", &format!("{}{ceiling}", money(view.spent)), columns));
        }
        lines.extend(field_wrapped(theme, "price", &one_line(&view.estimate.price.line(), 300), columns));
        for remark in &view.estimate.remarks {
            lines.extend(wrapped(theme, Role::Warn, &format!("! {}", one_line(remark, 300)), columns));
        }
        lines
    }

    fn draw_bottom(&self, frame: &mut Frame<'_>, inside: Rect, theme: &Theme, scrolls: bool) {
        let up = |rows: u16| row(inside, inside.height.saturating_sub(rows));
        let mut foot = "esc leaves it".to_owned();
        if let ApprovalRequest::Spend { .. } = &self.request {
            let ask = up(BOTTOM);
            let skip = 13.min(ask.width);
            frame.render_widget(Line::styled("ceiling in $", theme.style(Role::Strong)), ask);
            self.input.input.draw(frame, Rect { x: ask.x + skip, width: ask.width - skip, ..ask }, theme, true);
            let (words, role) = self.words();
            for (line, at) in wrapped(theme, role, &words, inside.width.into()).into_iter().zip([up(3), up(2)]) {
                frame.render_widget(line, at);
            }
            if let Some(amount) = self.input.read() {
                foot = format!("enter approves up to {} $   {foot}", digits(amount));
            }
        } else {
            foot = format!("enter says so   {foot}");
        }
        let more = if scrolls { "   ↑ ↓ scroll" } else { "" };
        frame.render_widget(Line::styled(format!("{foot}{more}"), theme.style(Role::Dim)), up(1));
    }

    /// What there is to say about the ceiling in the field.
    fn words(&self) -> (String, Role) {
        let ApprovalRequest::Spend { expected, worst, ceiling, .. } = &self.request else {
            return (String::new(), Role::Text);
        };
        match (self.told(), self.input.read()) {
            (Some(Told::Refused), _) if self.input.text().is_empty() => {
                let words = format!("! An amount must be typed, e.g. {}; nothing is sent without one.", digits(*ceiling));
                (words, Role::Bad)
            }
            (Some(Told::Refused), _) => {
                let text = text::cut(self.input.text(), 20);
                let words = format!("! '{text}' is no amount from 0 to {MOST_DOLLARS} dollars like 12.50; nothing was sent.");
                (words, Role::Bad)
            }
            (Some(Told::BelowExpected), Some(amount)) => {
                let words = format!(
                    "! {} $ is below what is expected ({}); the run will stop there. Enter again approves it all the same.",
                    digits(amount),
                    money(*expected)
                );
                (words, Role::Warn)
            }
            (_, Some(amount)) if amount > *worst => {
                (format!("Spending stops there; it cannot reach more than {}.", money(*worst)), Role::Text)
            }
            (_, Some(_)) => ("Spending stops there. Another amount may be typed.".into(), Role::Text),
            (_, None) => {
                let words = format!("Type the most this may cost; {} would usually be enough.", digits(*ceiling));
                (words, Role::Text)
            }
        }
    }
}

fn is_large(ceiling: Usd) -> bool {
    ceiling.amount() > Decimal::new(TYPED_ABOVE_CENTS, 2)
}

/// The amount to its last digit, as it is typed and sent: "1.90", "0.0042".
fn digits(usd: Usd) -> String {
    let amount = usd.amount().normalize();
    if amount.scale() > 2 { amount.to_string() } else { format!("{amount:.2}") }
}

/// An amount for reading: to the cent, or to two digits where it is less than a cent, which must not look like nothing.
pub fn money(usd: Usd) -> String {
    let amount = usd.amount();
    let rounded = if amount > Decimal::ZERO && amount < Decimal::new(1, 2) {
        amount.round_sf(2).unwrap_or(amount)
    } else {
        amount.round_dp(2)
    };
    format!("{} $", digits(Usd::new(rounded)))
}

#[cfg(test)]
mod tests;
