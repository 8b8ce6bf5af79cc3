//! Page guards: every check of the data, those that passed too, with what each saw.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::domain::{Phase, one_line, safe_text};
use crate::engine::FindingView;
use crate::guards;
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{empty_list, list_title, matches, next_step};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::{pane, text};

/// Number of a guard of the data: 3 of "D3"; other guards of this phase come after them.
fn number(guard: &str) -> u32 {
    guard.strip_prefix('D').and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

fn outcome(view: &FindingView) -> (&'static str, &'static str, Role) {
    match (view.finding.failed(), &view.overridden, view.stops) {
        (false, ..) => ("✓", "passed", Role::Good),
        (true, Some(_), _) => ("○", "overridden", Role::Dim),
        (true, None, true) => ("✗", "stops", Role::Bad),
        (true, None, false) => ("!", "warns", Role::Warn),
    }
}

/// Checks of the data, whichever phase ran them; what failed and stops comes first.
pub(super) fn found<'a>(look: &Look<'a>) -> Vec<&'a FindingView> {
    let of_data = |f: &&FindingView| f.phase == Phase::Dataset || number(&f.finding.guard) < u32::MAX;
    let hit = |f: &&FindingView| matches(&look.tab.filter, &[&f.finding.guard, &f.finding.saw, outcome(f).1]);
    let mut found: Vec<&FindingView> = look.snapshot.findings.iter().filter(of_data).filter(hit).collect();
    let open = |f: &FindingView| f.finding.failed() && f.overridden.is_none();
    found.sort_by_key(|f| (!(open(f) && f.stops), !open(f), number(&f.finding.guard)));
    found
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let found = found(look);
    if found.is_empty() {
        let run = "No check of the data has run yet: run this phase, and each says here what it saw.";
        return empty_list(frame, area, look, "Guards", &next_step(look.snapshot, Phase::Dataset, run, run));
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    let selected = look.tab.selected.min(found.len() - 1);
    if let Some(left) = left {
        let title = list_title("Guards", look, found.len(), look.snapshot.findings.len());
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        List { header: "", total: found.len(), selected }.draw(frame, inner, look.theme, |at, columns| {
            let view = found[at];
            let (sign, word, role) = outcome(view);
            let head = text::columns(&[(sign, 1), (&one_line(&view.finding.guard, 20), 4), (word, 10)]);
            let line = format!("{head}  {}", one_line(&view.finding.saw, 300));
            Line::styled(text::cut(&line, columns), look.theme.style(role))
        });
    }
    if let Some(right) = right {
        draw_one(frame, right, look, found[selected]);
    }
}

fn draw_one(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &FindingView) {
    let (sign, word, role) = outcome(view);
    let guard = one_line(&view.finding.guard, 20);
    let inner = pane::pane(frame, area, look.theme, &format!("{guard} · {word}"), look.tab.detail);
    let (theme, columns) = (look.theme, usize::from(inner.width));
    let mut lines = text::wrapped(theme, role, &format!("{sign} {}", safe_text(&view.finding.saw)), columns);
    if !view.finding.remedy.is_empty() {
        lines.extend(text::wrapped(theme, Role::Text, &format!("→ {}", safe_text(&view.finding.remedy)), columns));
    }
    if let Some(reason) = &view.overridden {
        lines.extend(text::wrapped(theme, Role::Dim, &format!("overridden: {}", safe_text(reason)), columns));
    }
    lines.push(Line::default());
    if let Some(known) = guards::guard(&view.finding.guard) {
        lines.extend(text::field_wrapped(theme, "prevents", known.prevents, columns));
        lines.extend(text::field_wrapped(theme, "happened", known.happened, columns));
    }
    lines.extend(text::field_wrapped(theme, "of", &format!("{} {}", view.phase, view.subject.short()), columns));
    text::page(frame, inner, theme, lines, &look.tab.scroll);
}
