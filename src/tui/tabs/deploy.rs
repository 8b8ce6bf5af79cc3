//! The Deploy tab: what was released, whether it answers as trained, what is served, what it last said.
//!
//! Owns the layout of these. Scoring and serving are the engine's.

mod actions;
mod parity;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{Look, Tab, TabState, wants_nothing};
use crate::domain::{Phase, UnixMillis, one_line};
use crate::engine::{DriftLevel, Parity, ReleaseView, Snapshot};
use crate::tui::charts::parts::{empty, fact, fit, line, list, matches, notices, pane, prose, row_width, span, split};
use crate::tui::theme::Role;

pub const TAB: Tab =
    Tab { phase: Phase::Deploy, pages: &["releases", "parity"], actions: actions::ACTIONS, rows, draw, wants: wants_nothing };

const PARITY: usize = 1;

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(look: &Look<'_>) -> usize {
    shown(look.snapshot, look.tab).count()
}

fn shown<'a>(snapshot: &'a Snapshot, tab: &'a TabState) -> impl Iterator<Item = &'a ReleaseView> {
    snapshot.deploy.releases.iter().filter(|r| matches(&tab.filter, &[&r.name, &r.model, &r.verdict]))
}

/// The release that keys of this tab mean.
pub(super) fn selected<'a>(look: &Look<'a>) -> Option<&'a ReleaseView> {
    shown(look.snapshot, look.tab).nth(look.tab.selected)
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = notices(frame, area, look, Phase::Deploy);
    let deploy = &look.snapshot.deploy;
    if deploy.releases.is_empty() && deploy.last_score.is_empty() {
        let next = "Nothing is released yet: run this phase to release the best checkpoint.";
        empty(frame, area, look, Phase::Deploy, next);
        return;
    }
    let release = selected(look);
    if look.tab.page == PARITY {
        return parity::draw(frame, area, look, release);
    }
    let (left, right) = split(area, look);
    if let Some(area) = left {
        let width = row_width(area);
        let rows = shown(look.snapshot, look.tab).map(|release| row(release, look, width)).collect();
        list(frame, area, look, &format!("releases ({})", deploy.releases.len()), None, rows);
    }
    if let Some(area) = right {
        pane(frame, area, look, "served", detail(look, release), look.tab.detail);
    }
}

/// Cells of the columns beside the name.
const GATE: usize = 10;
const CREATED: usize = 16;

fn row(release: &ReleaseView, look: &Look<'_>, width: usize) -> Line<'static> {
    let (mark, role) = match (release.live, look.snapshot.deploy.back.as_deref() == Some(&release.name)) {
        (true, _) => ("● live ", Role::Good),
        (false, true) => ("‹ back ", Role::Text),
        (false, false) => ("○      ", Role::Dim),
    };
    let (gate, gate_role) = gate_words(release);
    let name = width.saturating_sub(GATE + CREATED + 9);
    Line::from(vec![
        span(mark, look, role),
        span(fit(&tail(&one_line(&release.name, 120), name), name), look, Role::Text),
        span(format!(" {}", fit(gate, GATE)), look, gate_role),
        span(format!(" {}", date(release.created)), look, Role::Dim),
    ])
}

/// The end of a name that is too long: number and digest tell releases apart, the recipe does not.
fn tail(name: &str, columns: usize) -> String {
    let count = name.chars().count();
    if count <= columns || columns < 2 {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(count - (columns - 1)).collect::<String>())
}

fn gate_words(release: &ReleaseView) -> (&'static str, Role) {
    match release.gate.as_ref().map(Parity::passed) {
        Some(true) => ("✓ passed", Role::Good),
        Some(false) => ("✗ failed", Role::Bad),
        None => ("— no gate", Role::Dim),
    }
}

fn detail(look: &Look<'_>, selected: Option<&ReleaseView>) -> Vec<Line<'static>> {
    let deploy = &look.snapshot.deploy;
    let mut lines = vec![match &deploy.served {
        Some(served) => fact("served now", served, look),
        None => line("nothing is served: run this phase to serve a release", look, Role::Warn),
    }];
    if let Some(back) = &deploy.back {
        lines.push(fact("b goes back to", back, look));
    }
    if let Some(drift) = &deploy.drift {
        let (mark, role) = match drift.level {
            DriftLevel::Steady => ("✓", Role::Good),
            DriftLevel::CannotTell => ("·", Role::Dim),
            DriftLevel::Watch => ("!", Role::Warn),
            DriftLevel::Drifted => ("✗", Role::Bad),
        };
        let text = format!("{mark} {}", one_line(&drift.line, 200));
        lines.push(Line::from(vec![span(fit("drift", 15), look, Role::Dim), span(text, look, role)]));
    }
    if !deploy.last_score.is_empty() {
        lines.push(line("", look, Role::Text));
        lines.push(line("last article scored", look, Role::Strong));
        lines.extend(deploy.last_score.iter().flat_map(|text| prose(text, look, Role::Text)));
    }
    if let Some(release) = selected {
        lines.push(line("", look, Role::Text));
        lines.extend(of_release(look, release));
    }
    lines
}

fn of_release(look: &Look<'_>, release: &ReleaseView) -> Vec<Line<'static>> {
    let mut lines = vec![line(format!("release {}", one_line(&release.name, 80)), look, Role::Strong)];
    let facts =
        [("model", &release.model), ("runtime", &release.runtime), ("verdict", &release.verdict), ("path", &release.path)];
    lines.extend(facts.map(|(name, value)| fact(name, value, look)));
    let forms: Vec<String> = release.forms.iter().map(|(form, bytes)| format!("{form} {}", mib(*bytes))).collect();
    lines.push(fact("forms", if forms.is_empty() { "the trained student only".into() } else { forms.join(", ") }.as_str(), look));
    match &release.gate {
        Some(gate) => {
            lines.push(fact("gate", &gate.headline(), look));
            let (mark, role) = if gate.overridden { ("!", Role::Warn) } else { ("✗", Role::Bad) };
            let stops = gate.stops.iter().map(|(guard, saw)| format!("{mark} {guard}: {saw}"));
            lines.extend(stops.flat_map(|text| prose(&text, look, role)));
        }
        None => lines.push(fact("gate", "never asked: e asks it now", look)),
    }
    lines.push(fact("created", &date(release.created), look));
    lines
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// "2026-01-31 12:30" in UTC, as wide as [`CREATED`].
fn date(at: UnixMillis) -> String {
    let text = jiff::Timestamp::from_millisecond(at.0).map(|t| t.strftime("%Y-%m-%d %H:%M").to_string());
    fit(&text.unwrap_or_else(|_| "—".into()), CREATED)
}

#[cfg(test)]
mod tests;
