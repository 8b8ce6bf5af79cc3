//! The Articles tab: what is judged, and how each reader's teacher scored it.
//!
//! Owns the list, its filter and the page of one article. Plain words of the filter are looked for in title, source and
//! summary; `source:official` asks for a source type, `profile:texas_nurse` for articles that score at least
//! [`RELEVANT`] for that reader. Every term must hold; the beginning of a type or reader is enough while it is typed.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::common::{empty_list, findings, list_title, matches, next_step};
use super::{Look, TabState};
use crate::domain::{Article, Phase, one_line, safe_text};
use crate::engine::{ArticlesView, Snapshot};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::{heat, pane, text};

/// From this score on an article counts as relevant to a reader: just above the middle of the scale.
const RELEVANT: f64 = 5.5;

fn hit(view: &ArticlesView, index: usize, filter: &str) -> bool {
    let article = &view.rows[index];
    filter.split_whitespace().all(|term| {
        if let Some(kind) = term.strip_prefix("source:") {
            article.source_type.to_string().starts_with(kind)
        } else if let Some(reader) = term.strip_prefix("profile:") {
            let scores = view.scores.get(index).map_or(&[][..], Vec::as_slice);
            reader.is_empty()
                || scores.iter().any(|(id, score)| *score >= RELEVANT && id.as_str().to_lowercase().starts_with(reader))
        } else {
            matches(term, &[&article.title, &article.source, &article.summary])
        }
    })
}

/// Indices of the rows that pass the filter.
fn shown(snapshot: &Snapshot, tab: &TabState) -> Vec<usize> {
    let view = &snapshot.articles;
    (0..view.rows.len()).filter(|index| hit(view, *index, &tab.filter)).collect()
}

pub fn rows(snapshot: &Snapshot, tab: &TabState) -> usize {
    shown(snapshot, tab).len()
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Articles);
    let view = &look.snapshot.articles;
    let found = shown(look.snapshot, look.tab);
    if found.is_empty() {
        let run = "There are no articles yet: run this phase to read the recipe's own, or import some with 'stratos articles import FILE'.";
        return empty_list(frame, area, look, "Articles", &next_step(look.snapshot, Phase::Articles, run, run));
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail);
    let selected = look.tab.selected.min(found.len() - 1);
    if let Some(left) = left {
        let title = list_title("Articles", look, found.len(), view.rows.len());
        let title = format!("{title} · {} selected", view.selected);
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        let list = List { header: "", total: found.len(), selected };
        list.draw(frame, inner, look.theme, |index, columns| row(look, found[index], columns));
    }
    if let Some(right) = right {
        let article = &view.rows[found[selected]];
        let inner = pane::pane(frame, right, look.theme, article.id.as_str(), look.tab.detail);
        let lines = detail(look, article, found[selected], inner.width.into());
        text::page(frame, inner, look.theme, lines, look.tab.scroll);
    }
}

fn row(look: &Look<'_>, index: usize, columns: usize) -> Line<'static> {
    let view = &look.snapshot.articles;
    let article = &view.rows[index];
    // Selected articles come first in the view.
    let selected = index < view.selected;
    let mark = if selected { "● " } else { "○ " };
    let source = if columns >= 48 { 16 } else { 0 };
    let title = columns.saturating_sub(2 + source + 2 + 8 + 2);
    let title = text::pad(&one_line(&article.title, 300), title);
    let source = text::pad(&one_line(&article.source, 60), source);
    let line = format!("{mark}{title}  {source}  {:<8}", article.source_type);
    Line::styled(text::cut(&line, columns), look.theme.style(if selected { Role::Text } else { Role::Dim }))
}

fn detail(look: &Look<'_>, article: &Article, index: usize, columns: usize) -> Vec<Line<'static>> {
    let (theme, view) = (look.theme, &look.snapshot.articles);
    let mut lines = text::wrapped(theme, Role::Strong, &one_line(&article.title, 1000), columns);
    let or_dash = |value: &str| if value.is_empty() { "—".to_owned() } else { one_line(value, 1000) };
    let source = format!("{} ({})", or_dash(&article.source), article.source_type);
    lines.extend(text::field_wrapped(theme, "source", &source, columns));
    if let Some(published) = &article.published {
        lines.extend(text::field_wrapped(theme, "published", &one_line(published, 60), columns));
    }
    for (name, value) in [("category", article.category.clone()), ("keywords", article.keywords.join(", "))] {
        if !value.is_empty() {
            lines.extend(text::field_wrapped(theme, name, &one_line(&value, 300), columns));
        }
    }
    lines.extend(text::field_wrapped(theme, "url", &or_dash(&article.url), columns));
    if !article.traits.is_empty() {
        lines.extend(text::field_wrapped(theme, "traits", &one_line(&article.traits.join(", "), 400), columns));
    }
    lines.push(Line::default());
    lines.extend(text::wrapped(theme, Role::Text, &safe_text(&article.summary), columns));
    lines.push(Line::default());
    lines.extend(scores(look, view, index, columns));
    lines
}

fn scores(look: &Look<'_>, view: &ArticlesView, index: usize, columns: usize) -> Vec<Line<'static>> {
    let known = view.scores.get(index).map_or(&[][..], Vec::as_slice);
    if known.is_empty() {
        let words = "No scores yet: the teacher gives them in Distill.";
        return text::wrapped(look.theme, Role::Dim, words, columns);
    }
    let of = |reader| known.iter().find(|(id, _)| id == reader).map(|(_, score)| *score);
    let cells: Vec<(&str, Option<f64>)> = view.readers.iter().map(|reader| (reader.as_str(), of(reader))).collect();
    let mut lines = vec![Line::styled("Teacher's scores", look.theme.style(Role::Strong))];
    lines.extend(heat::strip(look.theme, &cells, columns));
    lines
}
