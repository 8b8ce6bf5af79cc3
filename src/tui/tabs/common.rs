//! What every tab says alike: failed guard findings on top, and one sentence where there is nothing to draw yet.
//!
//! Owns those sentences and the words of a filter. Lists, panes and pages are the widgets'; keys are the shell's, so no
//! sentence here names one.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::Look;
use crate::domain::{Phase, PhaseState, UnixMillis, one_line, safe_text};
use crate::engine::{Query, Snapshot};
use crate::tui::theme::Role;
use crate::tui::widgets::text;
use crate::tui::widgets::{pane, text::wrapped};

/// Draws the phase's failed findings on top of the tab and gives the area below; they take at most a third of it.
pub fn findings(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, phase: Phase) -> Rect {
    if area.is_empty() {
        return area;
    }
    let columns = usize::from(area.width);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for view in look.snapshot.findings.iter().filter(|f| f.phase == phase && f.finding.failed()) {
        let (mark, role) = match (&view.overridden, view.stops) {
            (Some(_), _) => ("○", Role::Dim),
            (None, true) => ("✗ stops", Role::Bad),
            (None, false) => ("! warns", Role::Warn),
        };
        let saw = format!("{mark} {}: {}", view.finding.guard, safe_text(&view.finding.saw));
        lines.extend(wrapped(look.theme, role, &saw, columns));
        if !view.finding.remedy.is_empty() {
            lines.extend(wrapped(look.theme, Role::Text, &format!("  → {}", safe_text(&view.finding.remedy)), columns));
        }
        if let Some(reason) = &view.overridden {
            lines.extend(wrapped(look.theme, Role::Dim, &format!("  overridden: {}", safe_text(reason)), columns));
        }
    }
    if lines.is_empty() {
        return area;
    }
    let (top, rest) = pane::take_top(area, lines.len().min(usize::from(area.height / 3).max(1)));
    text::from_top(frame, top, look.theme, lines);
    rest
}

/// One sentence on what to do next: the phase's own reason where it has one, otherwise `done` for a finished phase and
/// `run` before it.
pub fn next_step(snapshot: &Snapshot, phase: Phase, run: &str, done: &str) -> String {
    match snapshot.phases.get(phase.index()).map(|view| &view.state) {
        Some(PhaseState::Locked(why)) => format!("{} is locked: {}", phase.title(), safe_text(why)),
        Some(PhaseState::NeedsApproval(why)) => format!("{} waits for you: {}", phase.title(), safe_text(why)),
        Some(PhaseState::Stale(why)) => format!("{} is out of date, run it again: {}", phase.title(), safe_text(why)),
        Some(PhaseState::Running) => format!("{} is running; what it finds appears here.", phase.title()),
        Some(PhaseState::Done) => done.to_owned(),
        Some(PhaseState::Ready) | None => run.to_owned(),
    }
}

/// Draws one sentence in a pane that has nothing else to show.
pub fn sentence(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, words: &str) {
    let inner = pane::pane(frame, area, look.theme, title, look.tab.detail);
    if !inner.is_empty() {
        text::from_top(frame, inner, look.theme, wrapped(look.theme, Role::Text, words, inner.width.into()));
    }
}

/// [`sentence`] where the library's answer is not there: it is being read, or why it cannot be.
pub fn waiting(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, query: &Query) {
    let words = look.shelf.failed(query).map_or_else(|| "Reading…".to_owned(), |why| one_line(why, 400));
    sentence(frame, area, look, title, &words);
}

/// [`sentence`] for a list: the filter is the reason if there is one.
pub fn empty_list(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, words: &str) {
    if look.tab.filter.trim().is_empty() {
        sentence(frame, area, look, title, words);
    } else {
        let filter = one_line(&look.tab.filter, 60);
        sentence(frame, area, look, title, &format!("Nothing matches '{filter}'; change the filter or clear it."));
    }
}

/// "Articles 3/118"; with a filter "Articles 3/20 of 118 · filter 'x'".
pub fn list_title(name: &str, look: &Look<'_>, shown: usize, total: usize) -> String {
    let at = if shown == 0 { 0 } else { look.tab.selected.min(shown - 1) + 1 };
    if look.tab.filter.trim().is_empty() {
        format!("{name} {at}/{shown}")
    } else {
        format!("{name} {at}/{shown} of {total} · filter '{}'", one_line(&look.tab.filter, 40))
    }
}

/// Every word of the filter stands in one of the texts; the filter is lower case already.
pub fn matches(filter: &str, texts: &[&str]) -> bool {
    filter.split_whitespace().all(|word| texts.iter().any(|text| text.to_lowercase().contains(word)))
}

/// "12 s", "3 min", "5 h", "2 d": enough to see that something is old.
pub fn age(now: UnixMillis, then: UnixMillis) -> String {
    match now.seconds_since(then) as u64 {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s if s < 48 * 3600 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// 1234567 → "1,234,567".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
