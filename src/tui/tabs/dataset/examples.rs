//! Page examples: every row of the dataset, and one as the student reads it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::domain::{Role as Speaker, one_line, safe_text};
use crate::engine::{Answer, DatasetIndex, Example, ExampleRow, Found, Query};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{empty_list, list_title};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::{heat, pane, text};

/// Rows that are shown, in order.
pub(super) enum Rows<'a> {
    All(usize),
    Some(&'a Found),
}

impl Rows<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Some(found) => found.rows.len(),
        }
    }

    /// Row of the index at a place of the list.
    pub fn at(&self, place: usize) -> Option<usize> {
        match self {
            Self::All(rows) => (place < *rows).then_some(place),
            Self::Some(found) => found.rows.get(place).map(|row| *row as usize),
        }
    }

    pub fn remark(&self) -> Option<&str> {
        match self {
            Self::All(_) => None,
            Self::Some(found) => found.remark.as_deref(),
        }
    }
}

fn query(look: &Look<'_>) -> Option<Query> {
    let filter = look.tab.filter.trim();
    (!filter.is_empty()).then(|| Query::FindExamples(filter.to_owned()))
}

/// While a filter is on its way, what was found last stays.
pub(super) fn found<'a>(look: &Look<'a>) -> Option<Rows<'a>> {
    let index = super::index(look)?;
    match query(look).map(|query| look.shelf.newest_like(&query)) {
        Some(Some(Answer::Found(found))) => Some(Rows::Some(found)),
        _ => Some(Rows::All(index.rows.len())),
    }
}

pub(super) fn selected<'a>(look: &Look<'a>) -> Option<&'a ExampleRow> {
    super::index(look)?.rows.get(found(look)?.at(look.tab.selected)?)
}

pub(super) fn wants(look: &Look<'_>) -> Vec<Query> {
    query(look).into_iter().chain(selected(look).map(|row| Query::Example(row.id.clone()))).collect()
}

/// The example after this one in the list, or before it; the ends stay.
pub(super) fn neighbour(look: &Look<'_>, id: &str, back: bool) -> Option<String> {
    let (index, found) = (super::index(look)?, found(look)?);
    let here = (0..found.len()).find(|at| found.at(*at).and_then(|row| index.rows.get(row)).is_some_and(|row| row.id == id));
    let to = match here {
        None => 0,
        Some(at) if back => at.saturating_sub(1),
        Some(at) => (at + 1).min(found.len().saturating_sub(1)),
    };
    Some(index.rows.get(found.at(to)?)?.id.clone())
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, index: &DatasetIndex) {
    let found = match found(look) {
        Some(found) if found.len() > 0 => found,
        other => {
            let words = "The dataset has no examples: keep more traces and build it again.";
            if let Some(remark) = other.as_ref().and_then(Rows::remark) {
                return crate::tui::tabs::common::sentence(frame, area, look, "Examples", &one_line(remark, 300));
            }
            return empty_list(frame, area, look, "Examples", words);
        }
    };
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    if let Some(left) = left {
        let title = list_title("Examples", look, found.len(), index.rows.len());
        let waits = query(look).is_some_and(|query| look.shelf.waits(&query));
        let title = if waits { format!("{title} · searching…") } else { title };
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        draw_list(frame, inner, look, index, &found);
    }
    if let Some(right) = right {
        draw_one(frame, right, look);
    }
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, index: &DatasetIndex, found: &Rows<'_>) {
    // Beside a page of details there is no room for how often a row repeats, which stands there.
    let wide = area.width >= 70;
    let (band, taken) = if wide { (12, 47) } else { (8, 35) };
    let id = i16::try_from(usize::from(area.width).saturating_sub(taken).clamp(12, 72)).unwrap_or(12);
    let cells = |cells: [&str; 6]| {
        let widths = [5, id, 6, band, -6, -4];
        text::columns(&cells.into_iter().zip(widths).take(if wide { 6 } else { 5 }).collect::<Vec<_>>())
    };
    let header = cells(["side", "id", "score", "band", "tokens", "×"]);
    let list = List { header: &header, total: found.len(), selected: look.tab.selected };
    list.draw(frame, area, look.theme, |place, columns| {
        let Some(e) = found.at(place).and_then(|row| index.rows.get(row)) else { return Line::default() };
        let side = if e.held_out { "held" } else { "train" };
        let score = format!("{} {:>4.1}", heat::glyph(e.score), e.score);
        let (tokens, repeats) = (e.tokens.to_string(), format!("×{}", e.repeats));
        let line = cells([side, &one_line(&e.id, 200), &score, &one_line(&e.band, 40), &tokens, &repeats]);
        let role = if e.held_out { Role::Accent } else { Role::Text };
        Line::styled(text::cut(&line, columns), look.theme.style(role))
    });
}

fn draw_one(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(row) = selected(look) else {
        pane::pane(frame, area, look.theme, "Example", look.tab.detail);
        return;
    };
    let inner = pane::pane(frame, area, look.theme, &one_line(&row.id, 200), look.tab.detail);
    let columns = usize::from(inner.width);
    let query = Query::Example(row.id.clone());
    let lines = match look.shelf.get(&query) {
        Some(Answer::Example(view)) => {
            let e = &view.example;
            let side = if row.held_out { "held out: never trained on" } else { "trained on" };
            let facts = format!(
                "{side}, read ×{} an epoch; score {:.1} ({}), tier {}, {} words of thought, {} tokens",
                e.repeats,
                e.score,
                one_line(&e.band, 40),
                one_line(&e.tier, 40),
                e.words,
                view.tokens
            );
            let mut lines = text::wrapped(look.theme, Role::Strong, &facts, columns);
            lines.extend(text::wrapped(look.theme, Role::Dim, &format!("by {}", one_line(&view.origin, 300)), columns));
            if e.flagged {
                let words = "! its think block is outside its tier's word range";
                lines.extend(text::wrapped(look.theme, Role::Warn, words, columns));
            }
            for (speaker, name) in [(Speaker::System, "system"), (Speaker::User, "user"), (Speaker::Assistant, "assistant")] {
                lines.push(Line::default());
                lines.push(Line::styled(format!("── {name} ──"), look.theme.style(Role::Key)));
                lines.extend(turn(look, e, speaker, columns));
            }
            lines
        }
        _ => {
            let words = look.shelf.failed(&query).map_or_else(|| "reading…".to_owned(), |why| one_line(why, 300));
            text::wrapped(look.theme, Role::Dim, &words, columns)
        }
    };
    text::page(frame, inner, look.theme, lines, &look.tab.scroll);
}

/// What one side says in an example.
pub(super) fn turn(look: &Look<'_>, example: &Example, speaker: Speaker, columns: usize) -> Vec<Line<'static>> {
    let said = safe_text(example.text(speaker));
    let (said, role) = if said.trim().is_empty() { ("(nothing)", Role::Dim) } else { (said.as_str(), Role::Text) };
    text::wrapped(look.theme, role, said, columns)
}
