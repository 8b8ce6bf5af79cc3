//! The queue: what is to be read, most telling first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::place;
use crate::domain::{Author, one_line};
use crate::engine::{AUDIT_TARGET, AuditIndex, AuditRow};
use crate::tui::tabs::Look;
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::{pane, take_top};
use crate::tui::widgets::text::{cut, pad, width, wrapped};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, index: &AuditIndex, waits: bool) {
    let inner = pane(frame, area, look.theme, &title(look, index, waits), !look.tab.detail);
    let mut head = wrapped(look.theme, Role::Dim, &progress(look, index), usize::from(inner.width));
    if let Some(error) = &index.filter_error {
        head.extend(wrapped(look.theme, Role::Bad, &one_line(error, 200), usize::from(inner.width)));
    }
    let rows = head.len().min(usize::from(inner.height) / 3);
    head.truncate(rows);
    let (top, rest) = take_top(inner, rows);
    frame.render_widget(ratatui::widgets::Paragraph::new(head), top);
    if index.rows.is_empty() {
        let filter = one_line(&look.tab.filter, 60);
        let words = format!("Nothing matches '{filter}'; change the filter or clear it.");
        frame.render_widget(ratatui::widgets::Paragraph::new(wrapped(look.theme, Role::Text, &words, rest.width.into())), rest);
        return;
    }
    let selected = place(look).unwrap_or(look.tab.selected);
    let list = List { header: "", total: index.rows.len(), selected };
    list.draw(frame, rest, look.theme, |at, columns| row(look, &index.rows[at], columns));
}

/// "Queue 3/118 of 400 · teacher's blocks · 'band:critical'"
fn title(look: &Look<'_>, index: &AuditIndex, waits: bool) -> String {
    let shown = index.rows.len();
    let at = if shown == 0 { 0 } else { place(look).unwrap_or(look.tab.selected).min(shown - 1) + 1 };
    let mut title = format!("Queue {at}/{shown}");
    if shown < index.total {
        title = format!("{title} of {}", index.total);
    }
    title = format!("{title} · {}'s blocks", look.own.audit.author);
    if !look.tab.filter.trim().is_empty() {
        title = format!("{title} · '{}'", one_line(&look.tab.filter, 40));
    }
    if waits {
        title.push_str(" · looking…");
    }
    title
}

/// "12 of 50 read · by disagreement: widest |teacher − student| first"
fn progress(look: &Look<'_>, index: &AuditIndex) -> String {
    let target = AUDIT_TARGET.min(index.total.max(1));
    format!("{} of {target} read · by {}: {}", index.read, look.own.audit.order, index.basis)
}

/// Columns of a band's name, and of two scores.
const BAND: usize = 9;
const SCORES: usize = 12;

/// "✓ Title … nurse  Critical   9.1   6.0"
fn row(look: &Look<'_>, row: &AuditRow, columns: usize) -> Line<'static> {
    let author = look.own.audit.author;
    let head = &row.head;
    let (glyph, role) = match row.verdict(author) {
        _ if row.repeat => ("?", Role::Accent),
        None => ("·", Role::Text),
        Some(verdict) => (verdict.glyph(), if verdict.rejects() { Role::Bad } else { Role::Good }),
    };
    let score = |s: Option<f64>| s.map_or_else(|| "—".to_owned(), |s| format!("{s:.1}"));
    let student = if head.student_failed { "none".into() } else { score(head.student) };
    let scores = format!("{:>5} {student:>5}", score(Some(head.teacher)));
    let remedy = match (author, row.remedy) {
        (Author::Teacher, Some("fix")) => " =",
        (Author::Teacher, Some("retry")) => " ↺",
        _ => "",
    };
    let band = if columns >= 44 { pad(&one_line(&head.band, 20), BAND) } else { String::new() };
    let reader = if columns >= 66 { pad(&one_line(&head.role, 60), 18) } else { String::new() };
    let room = columns.saturating_sub(2 + width(&band) + 1 + width(&reader) + 1 + SCORES + 2);
    let text = format!("{glyph} {} {reader} {band} {scores}{remedy}", pad(&one_line(&head.title, 300), room));
    Line::styled(cut(&text, columns), look.theme.style(role))
}
