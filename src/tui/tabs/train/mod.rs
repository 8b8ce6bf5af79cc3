//! The Train tab: is it learning, how long yet, does it fit, what does it write?
//!
//! Owns what stands where. Does not keep the curves (the engine does) nor draw marks (charts do).
//!
//! ```text
//! wide:  ┌ loss ───────────────┐┌ run ──┐    narrow:  ┌ loss ───────────────────┐
//!        │                     │├ mach. ┤             │                         │
//!        ├ rate ┬ norm ┬ pace ─┤├ mix ──┤             └─────────────────────────┘
//!        └──────┴──────┴───────┘└ text ─┘             running · last step 2 s ago
//! ```

mod actions;
mod answers;
mod curves;
mod figures;
mod machine;
mod mix;
mod runs;
mod scene;
mod state;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::{Look, Tab};
use crate::domain::{Phase, one_line};
use crate::engine::{Answer, Query, RunLine, TrainView};
use crate::tui::charts::parts::{WIDE, empty, notices};
use crate::tui::theme::Role;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::scroll::Scroll;
use crate::tui::widgets::text::{page, wrapped};
use scene::Scene;
pub use state::State;

/// Columns of the panes beside the charts, and where there is much room.
const PANEL: (u16, u16) = (46, 66);
const MUCH: u16 = 160;
/// Rows that the chart keeps on a narrow screen.
const CHART_ROWS: u16 = 8;
/// Lines of warnings under the chart of a narrow screen.
const WARNED: usize = 2;

pub const TAB: Tab = Tab {
    phase: Phase::Train,
    pages: &["curves", "answers", "machine", "mix", "runs"],
    actions: actions::ACTIONS,
    rows,
    draw,
    wants,
};
/// The page whose rows can be selected.
const RUNS: usize = 4;

fn rows(look: &Look<'_>) -> usize {
    if look.tab.page == RUNS { runs(look).len() } else { 0 }
}

fn wants(look: &Look<'_>) -> Vec<Query> {
    let past = look.own.train.past.iter().cloned().map(Query::Run);
    std::iter::once(Query::Runs).chain(past).collect()
}

/// Every run of the workspace, the newest first.
fn runs<'a>(look: &Look<'a>) -> &'a [RunLine] {
    match look.shelf.get(&Query::Runs) {
        Some(Answer::Runs(runs)) => runs,
        _ => &[],
    }
}

/// Runs that can be drawn beside the one that is shown.
fn earlier<'a>(look: &Look<'a>) -> Vec<&'a str> {
    let shown = look.snapshot.train.run.as_deref();
    runs(look).iter().map(|r| r.run.as_str()).filter(|run| Some(*run) != shown).collect()
}

/// The curves of the run that is drawn beside.
fn past<'a>(look: &Look<'a>) -> Option<&'a TrainView> {
    match look.shelf.get(&Query::Run(look.own.train.past.clone()?)) {
        Some(Answer::Run(run)) => Some(run),
        _ => None,
    }
}

fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let scene = &Scene::of(look, &look.own.train, past(look));
    let area = notices(frame, area, look, Phase::Train);
    if scene.train.run.is_none() && scene.train.loss.is_empty() && scene.job.is_none() {
        let next = "Nothing is trained yet: run this phase, and its curves appear here.";
        return empty(frame, area, look, Phase::Train, next);
    }
    let inner = usize::from(area.width.saturating_sub(2));
    match look.tab.page {
        RUNS => runs::draw(frame, area, look),
        1 => scrolled(frame, area, look, "live answers to held-out prompts", answers::lines(scene, inner)),
        2 => scrolled(frame, area, look, "machine, last five minutes", machine::lines(scene, inner)),
        3 => scrolled(frame, area, look, "mix of bands: read so far, ordered, promised", mix::lines(scene, inner)),
        _ if area.width >= WIDE => wide(frame, area, look, scene),
        _ if look.tab.detail => {
            let mut lines = run_lines(scene, inner);
            lines.push(Line::default());
            lines.extend(machine::lines(scene, inner));
            scrolled(frame, area, look, &run_title(scene), lines);
        }
        _ => narrow(frame, area, scene),
    }
}

fn scrolled(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, lines: Vec<Line<'static>>) {
    let inner = pane(frame, area, look.theme, title, look.tab.detail);
    page(frame, inner, look.theme, lines, &look.tab.scroll);
}

fn run_title(scene: &Scene<'_>) -> String {
    let run = scene.train.run.as_deref().map_or_else(|| "a run begins".to_owned(), |run| format!("run {}", one_line(run, 24)));
    let run = if scene.is_live() && !scene.has_begun() { format!("{run}, the one before") } else { run };
    if scene.practice { format!("{run} · practice") } else { run }
}

/// Heartbeat, crosshair, warnings and figures.
fn run_lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let (text, role) = figures::heartbeat(scene);
    let mut lines = wrapped(scene.theme, role, &text, columns);
    lines.extend(figures::warnings(scene, columns));
    lines.extend(curves::reading(scene).map(|text| wrapped(scene.theme, Role::Accent, &text, columns)).unwrap_or_default());
    lines.extend(figures::lines(scene, columns));
    lines
}

/// Charts on the left; on the right as many panes as have room, the most urgent first.
fn wide(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, scene: &Scene<'_>) {
    let columns = if area.width >= MUCH { PANEL.1 } else { PANEL.0 };
    let [charts, panel] = Layout::horizontal([Constraint::Min(0), Constraint::Length(columns)]).areas(area);
    curves::draw(frame, charts, scene);
    let inner = usize::from(columns.saturating_sub(2));
    let all = [
        (run_title(scene), run_lines(scene, inner)),
        ("machine".to_owned(), machine::lines(scene, inner)),
        ("mix of bands".to_owned(), mix::lines(scene, inner)),
        ("live answers".to_owned(), answers::condensed(scene, inner)),
    ];
    let mut rest = panel;
    for (i, (title, lines)) in all.into_iter().enumerate() {
        let wanted = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
        // A pane that would show a line or two says less than the page of its own.
        if rest.height < wanted.min(5) {
            break;
        }
        let height = wanted.min(rest.height);
        let place = Rect { height, ..rest };
        rest = Rect { y: rest.y + height, height: rest.height - height, ..rest };
        let scroll = if i == 0 { &look.tab.scroll } else { &Scroll::default() };
        let inside = pane(frame, place, look.theme, &title, i == 0 && look.tab.detail);
        page(frame, inside, look.theme, lines, scroll);
    }
}

/// The chart over what matters most, a line each.
fn narrow(frame: &mut Frame<'_>, area: Rect, scene: &Scene<'_>) {
    let columns = usize::from(area.width);
    let (text, role) = figures::heartbeat(scene);
    let text = if scene.practice { format!("practice · {text}") } else { text };
    let mut lines = wrapped(scene.theme, role, &text, columns);
    lines.extend(figures::warnings(scene, columns).into_iter().take(WARNED));
    match curves::reading(scene) {
        Some(text) => lines.extend(wrapped(scene.theme, Role::Accent, &text, columns)),
        None => {
            for (text, role) in figures::condensed(scene) {
                lines.extend(wrapped(scene.theme, role, &text, columns));
            }
        }
    }
    lines.push(machine::condensed(scene, columns));
    lines.push(Line::styled(machine::forecast(scene), scene.theme.style(Role::Dim)));
    let wanted = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let below = wanted.min(area.height.saturating_sub(CHART_ROWS)).max(area.height / 4).min(area.height);
    let [chart, words] = Layout::vertical([Constraint::Min(0), Constraint::Length(below)]).areas(area);
    curves::draw(frame, chart, scene);
    frame.render_widget(Paragraph::new(lines), words);
}

#[cfg(test)]
mod tests;
