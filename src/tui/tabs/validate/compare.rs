//! Two runs on the rows that both judged: better, worse or cannot tell, by figure, band and reader, and what else differs.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{interval, number};
use crate::domain::{one_line, safe_text};
use crate::engine::{Answer, ComparisonView, Outcome, Query};
use crate::tui::tabs::Look;
use crate::tui::theme::Role;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::text::{pad, pad_left, page, wrapped};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, query: &Query) {
    let inner = pane(frame, area, look.theme, "A against B, on common rows", look.tab.detail);
    let columns = usize::from(inner.width);
    let lines = match (look.shelf.get(query), look.shelf.failed(query)) {
        (Some(Answer::EvaluationsCompared(view)), _) => told(look, view, columns),
        (_, Some(why)) => wrapped(look.theme, Role::Bad, &format!("✗ {}", one_line(why, 600)), columns),
        _ => wrapped(look.theme, Role::Dim, "Comparing row by row…", columns),
    };
    page(frame, inner, look.theme, lines, &look.tab.scroll);
}

fn sign(outcome: Outcome) -> (&'static str, Role) {
    match outcome {
        Outcome::Better => ("▲ better", Role::Good),
        Outcome::Worse => ("▼ worse", Role::Warn),
        Outcome::CannotTell => ("? cannot tell", Role::Dim),
    }
}

fn told(look: &Look<'_>, view: &ComparisonView, columns: usize) -> Vec<Line<'static>> {
    let say = |role, text: &str| wrapped(look.theme, role, &safe_text(text), columns);
    let c = &view.comparison;
    let Some(other) = c.others.first() else { return say(Role::Dim, "There is nothing to compare.") };
    let (word, role) = sign(other.outcome);
    let mixed = if other.mixed { " (figures speak for both)" } else { "" };
    let mut lines = say(role, &format!("B is {word}{mixed}"));
    lines.extend(say(Role::Text, &format!("A {} · {}", one_line(&c.first.predictor, 60), c.first.digest.short())));
    lines.extend(say(Role::Text, &format!("B {} · {}", one_line(&other.run.predictor, 60), other.run.digest.short())));
    let out = other.only_first + other.only_other + other.other_truth;
    let nearer = &other.paired.nearer;
    let rows = format!(
        "{} common rows, {out} left out; A nearer to the truth in {}, B in {}, {} equal",
        other.common, nearer.a, nearer.b, nearer.ties
    );
    lines.extend(say(Role::Text, &rows));
    lines.push(Line::default());
    let header = format!("{} {} {}", pad("B − A", NAME), pad_left("by", 8), pad_left("95 % interval", 17));
    lines.push(Line::styled(header, look.theme.style(Role::Dim)));
    for d in &other.paired.differences {
        lines.push(row(look, &d.metric.replace('_', " "), d.difference, d.interval, d.outcome));
    }
    let tests = format!("p over {} tests corrected after Holm; intervals by bootstrap over {} clusters", c.tests, other.paired.clusters);
    lines.extend(say(Role::Dim, &tests));
    for by in ["band", "reader"] {
        lines.push(Line::default());
        lines.push(Line::styled(format!("error by {by}, B − A; below 0 B is better"), look.theme.style(Role::Strong)));
        for part in view.parts.iter().filter(|p| p.by == by) {
            let name = format!("{} n {}", one_line(&part.name, 60), part.n);
            lines.push(row(look, &name, Some(part.difference), part.interval, part.outcome));
        }
    }
    lines.extend(say(Role::Dim, "Parts are not corrected for how many they are."));
    lines.push(Line::default());
    let settings = if other.changed.is_empty() { "no setting differs" } else { "settings that differ, A → B" };
    lines.extend(say(Role::Strong, settings));
    let value = |v: &Option<String>| v.as_deref().map_or_else(|| "—".to_owned(), |v| one_line(v, 80));
    for change in &other.changed {
        lines.extend(say(Role::Text, &format!("{}: {} → {}", one_line(&change.name, 60), value(&change.first), value(&change.other))));
    }
    for finding in other.findings.iter().filter(|f| f.failed()) {
        lines.extend(say(Role::Warn, &format!("! {}: {}", finding.guard, finding.saw)));
    }
    lines
}

/// Columns of what differs.
const NAME: usize = 24;

fn row(look: &Look<'_>, name: &str, by: Option<f64>, within: Option<(f64, f64)>, outcome: Outcome) -> Line<'static> {
    let (word, role) = sign(outcome);
    let by = by.map_or_else(|| number(None, 3), |d| format!("{d:+.3}"));
    let text = format!("{} {} {}  {word}", pad(name, NAME), pad_left(&by, 8), pad_left(&interval(within), 17));
    Line::styled(text, look.theme.style(role))
}
