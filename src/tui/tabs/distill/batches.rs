//! Page batches: what is out at the provider, how far it is, and when it ends at the latest.
//!
//! Owns the words for a batch's state; the states themselves are the ledger's. Ids, notes and states are untrusted text.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::super::common::{age, empty_list, list_title, matches, next_step};
use super::super::{Look, TabState};
use crate::domain::{Phase, UnixMillis, one_line, safe_text};
use crate::engine::{BatchView, Snapshot};
use super::actions::open_batches;
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::list::List;
use crate::tui::widgets::text::{field_wrapped, wrapped};
use crate::tui::widgets::{pane, text};

const UNKNOWN: &str = "may exist at the provider; it is looked for before anything else is sent";

/// Fewest rows at which the selected batch stands under the list.
const SPLIT_ROWS: u16 = 12;

pub(super) fn found<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a BatchView> {
    let hit = |b: &&BatchView| matches(&tab.filter, &[&b.remote, &b.state, &b.note]);
    snapshot.distill.batches.iter().filter(hit).collect()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let found = found(look.snapshot, look.tab);
    if found.is_empty() {
        let run = "No batches were sent yet: approve the cost preview, then run this phase.";
        let words = next_step(look.snapshot, Phase::Distill, run, "Done without a batch: every answer was here already.");
        return empty_list(frame, area, look, "Batches", &words);
    }
    let summary = summary(look, area.width.into());
    let (top, area) = pane::take_top(area, summary.len().min(usize::from(area.height / 4).max(1)));
    text::from_top(frame, top, look.theme, summary);
    let selected = look.tab.selected.min(found.len() - 1);
    if look.tab.detail {
        return draw_one(frame, area, look, found[selected]);
    }
    if area.height < SPLIT_ROWS {
        return draw_list(frame, area, look, &found);
    }
    // Three rows are the frame and the header.
    let rows = u16::try_from(found.len()).unwrap_or(u16::MAX).saturating_add(3).min(area.height / 2);
    let [list, one] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
    draw_list(frame, list, look, &found);
    draw_one(frame, one, look, found[selected]);
}

/// "3 open, oldest 2 h; all end within 23 h: the provider gives them up then"
fn summary(look: &Look<'_>, columns: usize) -> Vec<Line<'static>> {
    let open = open_batches(look.snapshot);
    let Some(oldest) = open.iter().map(|b| b.created).min() else {
        let ended = format!("none open, {} ended", look.snapshot.distill.batches.len());
        return vec![Line::styled(ended, look.theme.style(Role::Dim))];
    };
    let expiries: Vec<UnixMillis> = open.iter().filter_map(|b| b.expires).collect();
    let end = match expiries.iter().max() {
        None => "the provider has not told when it gives them up".to_owned(),
        Some(last) if expiries.len() == open.len() => {
            format!("all end {}: the provider gives them up at their expiry", within(look.now, *last))
        }
        Some(last) => {
            format!("{} end {}, of the others no expiry is told", expiries.len(), within(look.now, *last))
        }
    };
    let words = format!("{} open, oldest {}; {end}", open.len(), age(look.now, oldest));
    let mut lines = wrapped(look.theme, Role::Strong, &words, columns);
    let unknown = open.iter().filter(|b| is_unknown(b)).count();
    if unknown > 0 {
        lines.extend(wrapped(look.theme, Role::Warn, &format!("! {unknown} unknown: {UNKNOWN}"), columns));
    }
    lines
}

fn within(now: UnixMillis, then: UnixMillis) -> String {
    if then <= now { "now".into() } else { format!("within {}", age(then, now)) }
}

pub(super) fn is_unknown(batch: &BatchView) -> bool {
    batch.state == "unknown"
}

/// "12/40"; some providers count nothing before the end.
fn progress(batch: &BatchView) -> String {
    if batch.state == "submitted" && batch.answered == 0 && batch.watched.is_some() {
        return "no progress told".into();
    }
    format!("{}/{}", batch.answered, batch.requests)
}

fn heard(now: UnixMillis, batch: &BatchView) -> String {
    batch.watched.map_or_else(|| "never".into(), |at| format!("{} ago", age(now, at)))
}

fn expiry(now: UnixMillis, batch: &BatchView) -> String {
    match (batch.ended, batch.expires) {
        (Some(_), _) => "—".into(),
        (None, None) => "not told".into(),
        (None, Some(at)) if at <= now => "due".into(),
        (None, Some(at)) => format!("in {}", age(at, now)),
    }
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, found: &[&BatchView]) {
    let title = list_title("Batches", look, found.len(), look.snapshot.distill.batches.len());
    let inner = pane::pane(frame, area, look.theme, &title, true);
    // Beside the other columns; below that width it stands in the detail alone.
    let remote = i16::try_from(usize::from(inner.width).saturating_sub(74).min(48)).unwrap_or(0);
    let cells = |cells: [&str; 7]| {
        let widths = [-4, 13, -16, -6, -10, -9, remote];
        let shown = if remote < 9 { 6 } else { 7 };
        let pairs: Vec<(&str, i16)> = cells.into_iter().zip(widths).take(shown).collect();
        text::columns(&pairs)
    };
    let header = cells(["id", "state", "answered", "age", "heard", "expires", "remote"]);
    let list = List { header: &header, total: found.len(), selected: look.tab.selected };
    list.draw(frame, inner, look.theme, |index, columns| {
        let b = found[index];
        let (state, remote) = (one_line(&b.state, 40), one_line(&b.remote, 80));
        let (progress, old) = (progress(b), age(look.now, b.created));
        let (heard, expiry) = (heard(look.now, b), expiry(look.now, b));
        let line = cells([&b.id.to_string(), &state, &progress, &old, &heard, &expiry, &remote]);
        let role = match b.ended {
            Some(_) => Role::Dim,
            None if is_unknown(b) => Role::Warn,
            None => Role::Text,
        };
        Line::styled(text::cut(&line, columns), look.theme.style(role))
    });
}

fn draw_one(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, batch: &BatchView) {
    let title = format!("Batch {} · {}", batch.id, one_line(&batch.state, 40));
    let inner = pane::pane(frame, area, look.theme, &title, look.tab.detail);
    let lines = one(look.theme, look.now, batch, inner.width.into());
    text::page(frame, inner, look.theme, lines, &look.tab.scroll);
}

fn one(theme: &Theme, now: UnixMillis, batch: &BatchView, columns: usize) -> Vec<Line<'static>> {
    let remote = format!("{} · plan {} · attempt {}", one_line(&batch.remote, 200), batch.plan.short(), batch.attempt);
    let answered = match progress(batch) {
        told if told.contains('/') => format!("{told} answered"),
        silent => format!("{} asked, {silent}", batch.requests),
    };
    let mut lines = field_wrapped(theme, "remote", &remote, columns);
    let sent = format!("{answered}; sent {} ago", age(now, batch.created));
    lines.extend(field_wrapped(theme, "requests", &sent, columns));
    let heard = format!("heard {}", heard(now, batch));
    let last = match (batch.ended, batch.expires) {
        (Some(at), _) => format!("{heard}; ended {} ago", age(now, at)),
        (None, Some(at)) if at <= now => format!("{heard}; past its expiry, the provider gives it up"),
        (None, Some(at)) => format!("{heard}; expires in {}", age(at, now)),
        (None, None) => format!("{heard}; no expiry told"),
    };
    lines.extend(field_wrapped(theme, "provider", &last, columns));
    if is_unknown(batch) {
        lines.extend(wrapped(theme, Role::Warn, &format!("It {UNKNOWN}."), columns));
    }
    if !batch.note.trim().is_empty() {
        lines.extend(field_wrapped(theme, "note", &safe_text(&batch.note), columns));
    }
    lines
}
