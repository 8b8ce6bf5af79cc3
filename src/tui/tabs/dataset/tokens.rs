//! Page tokens: how long the examples are, where the limit stands, and what does not fit.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::scrolled;
use crate::domain::one_line;
use crate::engine::DatasetIndex;
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{grouped, sentence};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::{bar, text};

/// Rows that are named; the rest are counted.
const NAMED: usize = 40;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, index: &DatasetIndex) {
    if index.stats.tokens.is_none() {
        return sentence(frame, area, look, "Tokens", "An older version built this dataset without counting tokens: build it again.");
    }
    scrolled(frame, area, look, "Tokens an example", |columns| {
        let mut lines = figures(look.theme, index, columns);
        lines.push(Line::default());
        lines.extend(histogram(look.theme, index, columns));
        lines.extend(too_long(look.theme, index, columns));
        lines
    });
}

fn figures(theme: &Theme, index: &DatasetIndex, columns: usize) -> Vec<Line<'static>> {
    let Some(tokens) = &index.stats.tokens else { return Vec::new() };
    let cells = |cells: [&str; 5]| text::columns(&cells.into_iter().zip([10, -7, -7, -7, -7]).collect::<Vec<_>>());
    let mut lines = vec![Line::styled(text::cut(&cells(["", "p50", "p95", "p99", "max"]), columns), theme.style(Role::Dim))];
    for (name, q) in [("whole", tokens.total), ("prompt", tokens.prompt), ("answer", tokens.completion)] {
        let figures = [q.p50, q.p95, q.p99, q.max].map(|n| grouped(n as u64));
        let line = cells([name, &figures[0], &figures[1], &figures[2], &figures[3]]);
        lines.push(Line::styled(text::cut(&line, columns), theme.style(Role::Text)));
    }
    let (words, role) = match tokens.limit {
        Some(limit) => {
            let over = index.rows.iter().filter(|row| row.tokens > limit).count();
            let (sign, role) = if over == 0 { ("✓", Role::Good) } else { ("✗", Role::Bad) };
            let more = grouped(tokens.recommended_max as u64);
            let limit = grouped(limit as u64);
            (format!("{sign} {over} of {} would be cut at the limit of {limit}; p99 and a tenth are {more}", tokens.rows), role)
        }
        None => {
            (format!("no limit is known; p99 and a tenth are {}", grouped(tokens.recommended_max as u64)), Role::Text)
        }
    };
    lines.extend(text::wrapped(theme, role, &words, columns));
    lines
}

/// The limit stands between the bars that it parts; a bar beyond it has ✗ before it, one that it goes through has !.
fn histogram(theme: &Theme, index: &DatasetIndex, columns: usize) -> Vec<Line<'static>> {
    let Some(tokens) = &index.stats.tokens else { return Vec::new() };
    let most = tokens.bins.iter().map(|bin| bin.rows).max().unwrap_or(0);
    let length = columns.saturating_sub(2 + 15 + 2 + 7 + 2).min(100);
    let border = |limit: usize| {
        let words = format!("── limit {} ", grouped(limit as u64));
        let rest = columns.min(100).saturating_sub(text::width(&words));
        Line::styled(text::cut(&format!("{words}{}", "─".repeat(rest)), columns), theme.style(Role::Warn))
    };
    let (mut lines, mut drawn) = (Vec::new(), false);
    for bin in &tokens.bins {
        let (sign, role) = match tokens.limit {
            Some(limit) if bin.from > limit => ("✗", Role::Bad),
            Some(limit) if bin.to > limit + 1 => ("!", Role::Warn),
            _ => (" ", Role::Gauge),
        };
        if let Some(limit) = tokens.limit.filter(|_| !drawn && sign != " ") {
            lines.push(border(limit));
            drawn = true;
        }
        let range = format!("{}–{}", grouped(bin.from as u64), grouped(bin.to.saturating_sub(1) as u64));
        let head = text::columns(&[(&range, -15), (&grouped(bin.rows as u64), -7)]);
        lines.push(Line::from(vec![
            Span::styled(format!("{sign} {head}  "), theme.style(if sign == " " { Role::Text } else { role })),
            Span::styled(bar::bar(bin.rows as f64, most as f64, length), theme.style(role)),
        ]));
    }
    if let Some(limit) = tokens.limit.filter(|_| !drawn) {
        lines.push(border(limit));
    }
    lines
}

fn too_long(theme: &Theme, index: &DatasetIndex, columns: usize) -> Vec<Line<'static>> {
    let Some(tokens) = index.stats.tokens.as_ref().filter(|tokens| !tokens.over_long.is_empty()) else { return Vec::new() };
    let head = format!("{} rows stand out by their length:", tokens.over_long.len());
    let mut lines = vec![Line::default()];
    lines.extend(text::wrapped(theme, Role::Warn, &head, columns));
    for (id, n) in tokens.over_long.iter().take(NAMED) {
        let line = text::columns(&[(&grouped(*n as u64), -8), (&one_line(id, 200), 60)]);
        lines.push(Line::styled(text::cut(line.trim_end(), columns), theme.style(Role::Text)));
    }
    if tokens.over_long.len() > NAMED {
        let more = format!("and {} more; 'stratos dataset stats' names them", tokens.over_long.len() - NAMED);
        lines.push(Line::styled(text::cut(&more, columns), theme.style(Role::Dim)));
    }
    lines
}
