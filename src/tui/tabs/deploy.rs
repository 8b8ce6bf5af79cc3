//! The Deploy tab: what was released, what is served, what it last said.
//!
//! Owns the layout of these. Scoring and serving are the engine's.

mod actions;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{Look, Tab, TabState, wants_nothing};
use crate::domain::{Phase, UnixMillis};
use crate::engine::{ReleaseView, Snapshot};
use crate::tui::charts::parts::{empty, fact, fit, line, list, matches, notices, pane, prose, row_width, span, split};
use crate::tui::theme::Role;

pub const TAB: Tab = Tab { phase: Phase::Deploy, pages: &["releases"], actions: actions::ACTIONS, rows, draw, wants: wants_nothing };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(look: &Look<'_>) -> usize {
    let (snapshot, tab) = (look.snapshot, look.tab);
    shown(snapshot, tab).count()
}

fn shown<'a>(snapshot: &'a Snapshot, tab: &'a TabState) -> impl Iterator<Item = &'a ReleaseView> {
    snapshot.deploy.releases.iter().filter(|r| matches(&tab.filter, &[&r.name, &r.model, &r.verdict]))
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = notices(frame, area, look, Phase::Deploy);
    let deploy = &look.snapshot.deploy;
    if deploy.releases.is_empty() && deploy.last_score.is_empty() {
        let next = "Nothing is released yet: run this phase to release the best checkpoint.";
        empty(frame, area, look, Phase::Deploy, next);
        return;
    }
    let releases: Vec<&ReleaseView> = shown(look.snapshot, look.tab).collect();
    let (left, right) = split(area, look);
    if let Some(area) = left {
        let width = row_width(area);
        let rows = releases.iter().map(|r| row(r, look, width)).collect();
        list(frame, area, look, &format!("releases ({})", deploy.releases.len()), None, rows);
    }
    if let Some(area) = right {
        let lines = detail(look, releases.get(look.tab.selected).copied());
        pane(frame, area, look, "served", lines, look.tab.detail);
    }
}

/// Cells of the columns beside the verdict.
const NAME: usize = 14;
const CREATED: usize = 16;

fn row(release: &ReleaseView, look: &Look<'_>, width: usize) -> Line<'static> {
    let (mark, role) = if release.live { ("● live ", Role::Good) } else { ("○      ", Role::Dim) };
    let verdict = width.saturating_sub(NAME + CREATED + 9);
    Line::from(vec![
        span(mark, look, role),
        span(fit(&release.name, NAME), look, Role::Text),
        span(format!(" {} ", date(release.created)), look, Role::Dim),
        span(fit(&release.verdict, verdict), look, Role::Text),
    ])
}

fn detail(look: &Look<'_>, selected: Option<&ReleaseView>) -> Vec<Line<'static>> {
    let deploy = &look.snapshot.deploy;
    let mut lines = vec![match &deploy.served {
        Some(served) => fact("served now", served, look),
        None => line("nothing is served: run this phase to serve a release", look, Role::Warn),
    }];
    if !deploy.last_score.is_empty() {
        lines.push(line("", look, Role::Text));
        lines.push(line("last article scored", look, Role::Strong));
        lines.extend(deploy.last_score.iter().flat_map(|text| prose(text, look, Role::Text)));
    }
    if let Some(r) = selected {
        lines.push(line("", look, Role::Text));
        lines.push(line(format!("release {}", fit(&r.name, NAME)), look, Role::Strong));
        let facts = [("model", &r.model), ("runtime", &r.runtime), ("verdict", &r.verdict), ("path", &r.path)];
        lines.extend(facts.map(|(name, value)| fact(name, value, look)));
        lines.push(fact("created", &date(r.created), look));
    }
    lines
}

/// "2026-01-31 12:30" in UTC, as wide as [`CREATED`].
fn date(at: UnixMillis) -> String {
    let text = jiff::Timestamp::from_millisecond(at.0).map(|t| t.strftime("%Y-%m-%d %H:%M").to_string());
    fit(&text.unwrap_or_else(|_| "—".into()), CREATED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tabs::TabState;
    use crate::tui::testing::Stage;
    use crate::tui::charts::fixture::{busy, expect, nothing, with_finding};

    #[test]
    fn releases_show_which_one_is_live_and_the_last_score_is_harmless() {
        let words =
            ["releases (2)", "● live r2", "r1", "r2 · model abc123 · candle", "SCORE: 8.5 | REASON: [5ma tender", "2025-06-15"];
        expect(Phase::Deploy, &busy(), &TabState::default(), &words);
        let detail = TabState { detail: true, scroll: 400, ..TabState::default() };
        expect(Phase::Deploy, &busy(), &detail, &["last article scored"]);
    }

    #[test]
    fn a_filter_counts_what_it_shows() {
        let tab = TabState { filter: "r1".into(), ..TabState::default() };
        assert_eq!(Stage::of(&busy(), &tab).rows(TAB.phase), 1);
        assert_eq!(Stage::of(&busy(), &TabState::default()).rows(TAB.phase), 2);
    }

    #[test]
    fn an_empty_tab_says_what_to_do() {
        expect(Phase::Deploy, &nothing(), &TabState::default(), &["Deploy is locked"]);
        expect(Phase::Deploy, &Snapshot::default(), &TabState::default(), &["run this phase to release"]);
    }

    #[test]
    fn a_failed_guard_stands_on_top() {
        let mut snapshot = nothing();
        with_finding(&mut snapshot, Phase::Deploy, Some("a demo"));
        expect(Phase::Deploy, &snapshot, &TabState::default(), &["few-rows", "overridden: a demo"]);
    }
}
