//! The table of figures beside the baselines', and the verdict under it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{figures, interval, name_of};
use crate::domain::{one_line, safe_text};
use crate::engine::{EvaluationView, FigureLine};
use crate::tui::tabs::Look;
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::{WIDE, pane, take_top};
use crate::tui::widgets::text::{pad, pad_left, page, wrapped};

/// Columns of a value, of an interval, of a count.
const VALUE: usize = 7;
const INTERVAL: usize = 15;
const COUNT: usize = 6;
/// Rows that the verdict keeps under the table.
const VERDICT: u16 = 7;
/// Before a baseline's value that is better than the model's.
const WINS: &str = "▲";

struct Columns {
    name: usize,
    baseline: usize,
}

impl Columns {
    fn of(columns: usize, baselines: usize) -> Self {
        let baseline = if columns >= 110 { 16 } else { 8 };
        let fixed = VALUE + INTERVAL + COUNT + 3 + baselines * (baseline + 1);
        Self { name: columns.saturating_sub(fixed).clamp(10, 34), baseline }
    }

    fn model(&self, name: &str, value: &str, within: &str, n: &str) -> String {
        format!("{} {} {} {}", pad(name, self.name), pad_left(value, VALUE), pad_left(within, INTERVAL), pad_left(n, COUNT))
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let rows = figures(view, look);
    let height = u16::try_from(rows.len() + 3).unwrap_or(u16::MAX).min(area.height.saturating_sub(VERDICT));
    let (top, bottom) = if look.tab.detail && area.width < WIDE { (Rect { height: 0, ..area }, area) } else { take_top(area, height.into()) };
    if !top.is_empty() {
        let inner = pane(frame, top, look.theme, &name_of(view), !look.tab.detail);
        let names: Vec<&str> = rows.first().map_or_else(Vec::new, |f| f.baselines.iter().map(|b| b.name.as_str()).collect());
        let columns = Columns::of(usize::from(inner.width).saturating_sub(2), names.len());
        let mut header = columns.model("figure", "model", "95 % interval", "n");
        for name in names {
            header.push(' ');
            header.push_str(&pad_left(&one_line(name, 20), columns.baseline));
        }
        let list = List { header: &header, total: rows.len(), selected: look.tab.selected };
        list.draw(frame, inner, look.theme, |at, _| row(look, rows[at], &columns));
    }
    let inner = pane(frame, bottom, look.theme, "Verdict", look.tab.detail);
    page(frame, inner, look.theme, verdict(look, view, usize::from(inner.width)), &look.tab.scroll);
}

fn row(look: &Look<'_>, figure: &FigureLine, columns: &Columns) -> Line<'static> {
    let style = |role| look.theme.style(role);
    let n = if figure.weak { format!("!{}", figure.n) } else { figure.n.to_string() };
    let model = columns.model(&one_line(&figure.name, 60), &figure.value, &interval(figure.interval), &n);
    let mut spans = vec![Span::styled(model, style(if figure.weak { Role::Dim } else { Role::Text }))];
    for baseline in &figure.baselines {
        let (mark, role) = if baseline.wins { (WINS, Role::Warn) } else { ("", Role::Dim) };
        let value = format!("{mark}{}", one_line(&baseline.value, 12));
        spans.push(Span::styled(format!(" {}", pad_left(&value, columns.baseline)), style(role)));
    }
    Line::from(spans)
}

fn verdict(look: &Look<'_>, view: &EvaluationView, columns: usize) -> Vec<Line<'static>> {
    let say = |role, text: &str| wrapped(look.theme, role, &safe_text(text), columns);
    let mut lines = say(Role::Strong, &view.verdict);
    let wins = view.table.iter().filter(|f| f.baselines.iter().any(|b| b.wins)).count();
    if wins > 0 {
        lines.extend(say(Role::Warn, &format!("{WINS} a baseline is better than the model: so in {wins} of {} figures", view.table.len())));
    }
    lines.extend(view.verdict_lines.iter().flat_map(|text| say(Role::Text, text)));
    lines.extend(view.remarks.iter().flat_map(|text| say(Role::Warn, text)));
    if view.table.iter().any(|f| f.weak) {
        lines.extend(say(Role::Dim, "! too few rows to lean on"));
    }
    for finding in &view.findings {
        lines.extend(say(Role::Warn, &format!("! {}: {}", finding.guard, finding.saw)));
    }
    lines.extend(say(Role::Dim, &format!("answered by {}", view.runtime)));
    lines
}
