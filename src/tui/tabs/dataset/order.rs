//! Page order: what the first epoch reads first, and whether the sampler keeps its promise.

use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::domain::recipe::OrderStrategy;
use crate::domain::{one_line, safe_text};
use crate::engine::{Answer, DatasetIndex, ExampleRow, Query};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{grouped, sentence};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::{heat, pane, text};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, index: &DatasetIndex) {
    let rows: Vec<&ExampleRow> = index.order.iter().filter_map(|row| index.rows.get(*row as usize)).collect();
    if rows.is_empty() {
        return sentence(frame, area, look, "Order", "No example is trained on: keep more traces and build the dataset again.");
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    if let Some(left) = left {
        let title = format!("Order: the first {} of {} rows of epoch 1", rows.len(), grouped(index.epoch as u64));
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        let mixed = format!("{}: {}", how(index.strategy), mixed(&rows));
        let lines = text::wrapped(look.theme, Role::Strong, &mixed, inner.width.into());
        let (top, rest) = pane::take_top(inner, lines.len().min(usize::from(inner.height / 3)));
        text::from_top(frame, top, look.theme, lines);
        draw_list(frame, rest, look, &rows);
    }
    if let Some(right) = right {
        draw_sampler(frame, right, look);
    }
}

fn how(strategy: OrderStrategy) -> &'static str {
    match strategy {
        OrderStrategy::Curriculum => "clear cases first",
        OrderStrategy::Shuffle => "shuffled",
        OrderStrategy::Weighted => "drawn by weight",
    }
}

/// "the first 40 rows hold 5 of 5 bands and 10 readers; the longest stretch of one reader is 3 rows"
fn mixed(rows: &[&ExampleRow]) -> String {
    let count = |of: fn(&ExampleRow) -> &str| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            *counts.entry(of(row)).or_default() += 1;
        }
        counts.len()
    };
    let stretch = |of: fn(&ExampleRow) -> &str| {
        let (mut longest, mut now, mut last) = (0, 0, "");
        for row in rows {
            now = if of(row) == last { now + 1 } else { 1 };
            (last, longest) = (of(row), longest.max(now));
        }
        longest
    };
    format!(
        "{} bands and {} readers in the first {} rows; in one piece at most {} of a band, {} of a reader",
        count(|row| &row.band),
        count(|row| &row.reader),
        rows.len(),
        stretch(|row| &row.band),
        stretch(|row| &row.reader)
    )
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, rows: &[&ExampleRow]) {
    let list = List { header: "   #   score  band          reader and example", total: rows.len(), selected: look.tab.selected };
    list.draw(frame, area, look.theme, |at, columns| {
        let row = rows[at];
        let style = |role| look.theme.style(role);
        let rest = text::columns(&[(&one_line(&row.band, 40), 12), (&one_line(&row.id, 200), 200)]);
        Line::from(vec![
            Span::styled(format!("{:>4}  ", at + 1), style(Role::Dim)),
            heat::score(look.theme, row.score),
            Span::styled(text::cut(&format!("  {}", rest.trim_end()), columns.saturating_sub(12)), style(Role::Text)),
        ])
    });
}

fn draw_sampler(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let query = Query::Sampler;
    let Some(Answer::Sampler(report)) = look.shelf.get(&query) else {
        let inner = pane::pane(frame, area, look.theme, "Sampler", look.tab.detail);
        let words = look.shelf.failed(&query).map_or_else(|| "drawing every epoch once…".to_owned(), |why| one_line(why, 400));
        return text::from_top(frame, inner, look.theme, text::wrapped(look.theme, Role::Dim, &words, inner.width.into()));
    };
    let (sign, role) = if report.pass { ("✓", Role::Good) } else { ("✗", Role::Bad) };
    let inner = pane::pane(frame, area, look.theme, &format!("Sampler {sign}"), look.tab.detail);
    let columns = usize::from(inner.width);
    let mut lines = text::wrapped(look.theme, role, &format!("{sign} {}", safe_text(&report.words())), columns);
    let facts = format!(
        "{} rows read in {} epochs; {} training rows are never read",
        grouped(report.draws as u64),
        report.epochs,
        grouped(report.never_read as u64)
    );
    lines.extend(text::wrapped(look.theme, Role::Text, &facts, columns));
    lines.push(Line::default());
    let cells = |cells: [&str; 5]| text::columns(&cells.into_iter().zip([12, -6, -7, -8, -7]).collect::<Vec<_>>());
    let head = cells(["band", "rows", "raw", "expected", "read"]);
    lines.push(Line::styled(text::cut(&head, columns), look.theme.style(Role::Dim)));
    for band in &report.bands {
        let shares = [band.raw, band.expected, band.sampled].map(|share| format!("{:.1} %", share * 100.0));
        let line = cells([&one_line(&band.band, 40), &band.rows.to_string(), &shares[0], &shares[1], &shares[2]]);
        lines.push(Line::styled(text::cut(&line, columns), look.theme.style(Role::Text)));
    }
    text::page(frame, inner, look.theme, lines, &look.tab.scroll);
}
