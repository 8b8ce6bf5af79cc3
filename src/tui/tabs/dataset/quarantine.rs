//! Page quarantine: judgements that are not in the dataset, why, and what to do about them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::domain::one_line;
use crate::engine::{Answer, Quarantined, QuarantineView, Query, quarantine_remedy};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{empty_list, list_title, waiting};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::{bar, pane, text};

pub(super) fn query(look: &Look<'_>) -> Query {
    Query::Quarantine(look.tab.filter.trim().to_owned())
}

pub(super) fn view<'a>(look: &Look<'a>) -> Option<&'a QuarantineView> {
    match look.shelf.newest_like(&query(look)) {
        Some(Answer::Quarantine(view)) => Some(view),
        _ => None,
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(view) = view(look) else {
        return waiting(frame, area, look, "Quarantine", &query(look));
    };
    let counts: Vec<(&str, usize)> = view.reasons.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    let area = bar::counted(frame, area, look.theme, &counts, look.tab.detail);
    if view.rows.is_empty() {
        return empty_list(frame, area, look, "Quarantine", "Nothing was left out: every judgement is in the dataset.");
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    let selected = look.tab.selected.min(view.rows.len() - 1);
    if let Some(left) = left {
        let title = list_title("Left out", look, view.rows.len(), view.total);
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        let width = usize::from(inner.width);
        let reason = i16::try_from((width / 3).clamp(12, 36)).unwrap_or(12);
        let cells = |cells: [&str; 3]| text::columns(&cells.into_iter().zip([reason, -5, 160]).collect::<Vec<_>>());
        let header = cells(["reason", "score", "article × reader"]);
        List { header: header.trim_end(), total: view.rows.len(), selected }.draw(frame, inner, look.theme, |at, columns| {
            let row = &view.rows[at];
            let pair = format!("{} × {}", one_line(&row.article, 80), one_line(&row.profile, 60));
            let line = cells([&one_line(&row.reason, 80), &score(row), &pair]);
            Line::styled(text::cut(line.trim_end(), columns), look.theme.style(Role::Text))
        });
    }
    if let Some(right) = right {
        draw_one(frame, right, look, &view.rows[selected]);
    }
}

fn score(row: &Quarantined) -> String {
    row.score.map_or_else(|| "—".to_owned(), |score| format!("{score:.1}"))
}

fn draw_one(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, row: &Quarantined) {
    let inner = pane::pane(frame, area, look.theme, "Why", look.tab.detail);
    let (theme, columns) = (look.theme, usize::from(inner.width));
    let mut lines = text::wrapped(theme, Role::Warn, &one_line(&row.reason, 300), columns);
    lines.extend(text::wrapped(theme, Role::Text, &format!("→ {}", quarantine_remedy(&row.reason)), columns));
    lines.push(Line::default());
    let place = row.file.as_ref().map_or_else(
        || "bought here".to_owned(),
        |f| format!("{} line {} (sha256 {})", one_line(&f.file, 300), f.line, f.sha256.short()),
    );
    let score = score(row);
    for (name, value) in [
        ("article", row.article.as_str()),
        ("reader", &row.profile),
        ("score", &score),
        ("judged by", &row.annotator),
        ("stands in", &place),
    ] {
        lines.extend(text::field_wrapped(theme, name, &one_line(value, 400), columns));
    }
    text::page(frame, inner, theme, lines, &look.tab.scroll);
}
