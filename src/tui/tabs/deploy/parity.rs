//! The parity table of one release: a line for each runtime, and under them why one did not pass.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::super::Look;
use crate::domain::one_line;
use crate::engine::{GateStanding, Parity, ReleaseView, StageLine};
use crate::tui::charts::parts::{line, number, pane, prose, span};
use crate::tui::theme::Role;
use crate::tui::widgets::text::{pad, pad_left};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, release: Option<&ReleaseView>) {
    let Some(release) = release else {
        return pane(frame, area, look, "parity", vec![line("no release is selected", look, Role::Dim)], false);
    };
    let name = one_line(&release.name, 80);
    let Some(gate) = &release.gate else {
        let text = "This release has not been through a gate: press e to hold it against the trained student.";
        return pane(frame, area, look, &format!("parity of {name}"), vec![line(text, look, Role::Text)], false);
    };
    let wanted = gate.lines.len() as u16 + 4;
    let [table, rest] = Layout::vertical([Constraint::Max(wanted), Constraint::Min(3)]).areas(area);
    let columns = usize::from(table.width.saturating_sub(2));
    let mut lines = vec![line(header(columns), look, Role::Dim)];
    lines.extend(gate.lines.iter().map(|stage| row(look, stage, columns)));
    let title = format!("parity of {name} · {} rows · {}", gate.rows, if gate.passed() { "passed" } else { "not passed" });
    pane(frame, table, look, &title, lines, false);
    pane(frame, rest, look, "what it means", words(look, gate), look.tab.detail);
}

/// Columns: name, width, and from which width of the table on it is shown.
const COLUMNS: [(&str, usize, usize); 9] = [
    ("Δ score", 8, 0),
    ("next token", 11, 0),
    ("MAE", 6, 0),
    ("95 %", 13, 96),
    ("ρ", 6, 72),
    ("95 %", 13, 110),
    ("unread", 6, 72),
    ("s/row", 7, 96),
    ("runtime", 30, 130),
];
const NAME: usize = 10;
const STANDING: usize = 11;

fn header(columns: usize) -> String {
    let cells = COLUMNS.iter().filter(|(.., from)| columns >= *from);
    let cells: Vec<String> = cells.map(|(name, width, _)| pad_left(name, *width)).collect();
    format!("{} {} {}", pad("stage", NAME), pad("", STANDING), cells.join(" "))
}

fn row(look: &Look<'_>, stage: &StageLine, columns: usize) -> Line<'static> {
    let (mark, role) = match stage.standing {
        GateStanding::Reference => ("=", Role::Strong),
        GateStanding::Passed => ("✓", Role::Good),
        GateStanding::Failed => ("✗", Role::Bad),
        GateStanding::NotAsked => ("·", Role::Dim),
    };
    let interval = |within: Option<(f64, f64)>| within.map_or_else(String::new, |(low, high)| format!("{low:.2}…{high:.2}"));
    let (same, of) = stage.next;
    let texts = [
        number(stage.delta.map(|(mean, ..)| mean), 2),
        if of == 0 { "—".into() } else { format!("{:.3} n{of}", same as f64 / of as f64) },
        number(stage.mae, 2),
        interval(stage.mae_interval),
        number(stage.rho, 2),
        interval(stage.rho_interval),
        if stage.n == 0 { "—".into() } else { stage.unread.to_string() },
        if stage.n == 0 { "—".into() } else { format!("{:.2}", stage.seconds / stage.n as f64) },
        stage.runtime.as_ref().map(|r| one_line(&r.to_string(), 60)).unwrap_or_default(),
    ];
    let cells = COLUMNS.iter().zip(&texts).filter(|((.., from), _)| columns >= *from);
    let cells: Vec<String> = cells.map(|((_, width, _), text)| pad_left(text, *width)).collect();
    Line::from(vec![
        span(pad(&stage.stage.to_string(), NAME), look, Role::Text),
        span(format!(" {} ", pad(&format!("{mark} {}", stage.standing.label()), STANDING)), look, role),
        span(cells.join(" "), look, Role::Text),
    ])
}

fn words(look: &Look<'_>, gate: &Parity) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for stage in &gate.lines {
        for (guard, why) in &stage.reasons {
            let (text, role) = if guard.is_empty() {
                (format!("· {}: {why}", stage.stage), Role::Dim)
            } else {
                (format!("✗ {guard} {}: {why}", stage.stage), Role::Bad)
            };
            lines.extend(prose(&text, look, role));
        }
    }
    // What stops it beside the table.
    for (guard, saw) in gate.stops.iter().filter(|(guard, _)| !gate.reasons().any(|(_, g, _)| g == guard)) {
        lines.extend(prose(&format!("✗ {guard}: {saw}"), look, Role::Bad));
    }
    let limits = &gate.limits;
    let said = [
        format!("Δ score: after the trained student's own thoughts, mean of rows; at most {}", limits.max_score_delta),
        format!("next token: where the trained student is sure (p > 0.6), the same likeliest one; at least {}", limits.min_greedy),
        format!("MAE, ρ: of freely drawn answers, intervals over articles; a rise of {} beyond chance stops", limits.max_mae_rise),
    ];
    lines.extend(said.map(|text| line(text, look, Role::Dim)));
    lines
}
