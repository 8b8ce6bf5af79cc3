//! The Articles tab: what is judged, and how each reader's scores differ on it.
//!
//! Owns the list, its order and marks, and the page of one article. The list is the library's index, so that it is as fluid
//! at 200,000 articles as at ten; a filter is looked for in titles at once and in summaries a moment later.
//!
//! ```text
//! ┌ Articles 3/118 ───────────────┐┌ a0003 ──────────────┐
//! │› ●✓ Title   Gazette  ·░█  off ││ title, text, scores  │
//! ```

mod actions;
mod detail;

use std::collections::BTreeSet;
use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::common::{empty_list, findings, next_step, sentence};
use super::{Look, Tab};
use crate::domain::{ArticleId, Phase, SourceType, one_line};
use crate::engine::{Answer, ArticleIndex, ArticleSort, Query};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::{heat, pane, text};

pub const TAB: Tab =
    Tab { phase: Phase::Articles, pages: &["articles"], actions: actions::ACTIONS, rows, draw, wants };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State {
    pub sort: ArticleSort,
    /// Marked by their ids, so that marks outlive a filter.
    pub marks: BTreeSet<String>,
}

/// The index and the rows of it that are shown, in order.
struct Shown<'a> {
    index: &'a Arc<ArticleIndex>,
    /// `None`: all of them, as stored.
    rows: Option<&'a [u32]>,
    remark: Option<&'a str>,
    /// What is shown is not yet what was asked for.
    waits: bool,
}

impl Shown<'_> {
    fn len(&self) -> usize {
        self.rows.map_or(self.index.len(), <[u32]>::len)
    }

    /// Row of the index at a place of the list.
    fn at(&self, place: usize) -> Option<usize> {
        let row = match self.rows {
            Some(rows) => *rows.get(place)? as usize,
            None => place,
        };
        // Rows were found in an index that may be older than this one.
        (row < self.index.len()).then_some(row)
    }
}

fn shown<'a>(look: &Look<'a>) -> Option<Shown<'a>> {
    let Some(Answer::ArticleIndex(index)) = look.shelf.get(&Query::ArticleIndex) else { return None };
    let wanted = searches(look);
    if wanted.is_empty() {
        return Some(Shown { index, rows: None, remark: None, waits: false });
    }
    let waits = wanted.iter().any(|query| look.shelf.waits(query));
    // The deep search where it is there, else the quick one, else what was found last.
    let found = wanted.iter().rev().find_map(|query| look.shelf.get(query)).or_else(|| look.shelf.newest_like(&wanted[0]));
    match found {
        Some(Answer::Found(found)) => {
            Some(Shown { index, rows: Some(&found.rows), remark: found.remark.as_deref(), waits })
        }
        _ => Some(Shown { index, rows: None, remark: None, waits: true }),
    }
}

/// The searches that the filter and the order ask for, the quick one first.
fn searches(look: &Look<'_>) -> Vec<Query> {
    let (filter, sort) = (look.tab.filter.trim().to_owned(), look.own.articles.sort);
    if filter.is_empty() && sort == ArticleSort::Order {
        return Vec::new();
    }
    let find = |deep| Query::FindArticles { filter: filter.clone(), sort, deep };
    // Only a plain word can stand in a summary.
    let words = filter.split_whitespace().any(|term| !term.contains(':'));
    if words { vec![find(false), find(true)] } else { vec![find(false)] }
}

fn wants(look: &Look<'_>) -> Vec<Query> {
    let mut wants = vec![Query::ArticleIndex];
    wants.extend(searches(look));
    if let Some(id) = selected_id(look) {
        wants.push(Query::Article(id.clone()));
        if look.tab.detail {
            wants.push(Query::Neighbours(id));
        }
    }
    wants
}

pub fn rows(look: &Look<'_>) -> usize {
    shown(look).map_or(0, |shown| shown.len())
}

/// Id of the article that is selected.
pub fn selected_id(look: &Look<'_>) -> Option<ArticleId> {
    let shown = shown(look)?;
    ArticleId::new(shown.index.id(shown.at(look.tab.selected)?)).ok()
}

/// Its source type.
pub fn selected_type(look: &Look<'_>) -> Option<SourceType> {
    let shown = shown(look)?;
    shown.at(look.tab.selected).map(|row| shown.index.kind(row))
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Articles);
    let Some(shown) = shown(look) else {
        let words = look.shelf.failed(&Query::ArticleIndex).unwrap_or("Reading the articles…");
        return sentence(frame, area, look, "Articles", &one_line(words, 400));
    };
    if shown.len() == 0 && !shown.waits {
        let run = "There are no articles yet: run this phase to read the recipe's own, or import a file of your own.";
        let words = shown.remark.map_or_else(|| next_step(look.snapshot, Phase::Articles, run, run), |r| one_line(r, 300));
        return empty_list(frame, area, look, "Articles", &words);
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    if let Some(left) = left {
        let inner = pane::pane(frame, left, look.theme, &title(look, &shown), !look.tab.detail);
        let list = List { header: "", total: shown.len(), selected: look.tab.selected };
        list.draw(frame, inner, look.theme, |place, columns| match shown.at(place) {
            Some(row) => line(look, shown.index, row, columns),
            None => Line::default(),
        });
    }
    if let Some(right) = right {
        detail::draw(frame, right, look);
    }
}

fn title(look: &Look<'_>, shown: &Shown<'_>) -> String {
    let at = if shown.len() == 0 { 0 } else { look.tab.selected.min(shown.len() - 1) + 1 };
    let mut title = format!("Articles {at}/{}", shown.len());
    if shown.len() < shown.index.len() {
        title = format!("{title} of {}", shown.index.len());
    }
    title = format!("{title} · {} selected", look.snapshot.articles.selected);
    let own = &look.own.articles;
    if own.sort != ArticleSort::Order {
        title = format!("{title} · by {}", own.sort.label());
    }
    if !own.marks.is_empty() {
        title = format!("{title} · {} marked", own.marks.len());
    }
    if shown.waits {
        title.push_str(" · searching…");
    }
    title
}

/// Columns of a source and of a source type.
const SOURCE: usize = 14;
const KIND: usize = 8;

/// "●✓ Title   Gazette   ·░█   official": takes part, marked, title, source, one glyph for each reader's score, type.
fn line(look: &Look<'_>, index: &ArticleIndex, row: usize, columns: usize) -> Line<'static> {
    let part = if index.takes_part(row) { "●" } else { "○" };
    let mark = if look.own.articles.marks.contains(index.id(row)) { "✓" } else { " " };
    let strip: String = index.scores(row).map(|score| score.map_or(' ', heat::glyph)).collect();
    let strip = if columns >= 40 { strip } else { String::new() };
    let strip_width = if strip.is_empty() { 0 } else { text::width(&strip) + 2 };
    let source = if columns >= 56 { SOURCE + 2 } else { 0 };
    let room = columns.saturating_sub(3 + source + strip_width + KIND + 2);
    let mut line = format!("{part}{mark} {}", text::pad(&one_line(index.title(row), 300), room));
    if source > 0 {
        line = format!("{line}  {}", text::pad(&one_line(index.source(row), 60), SOURCE));
    }
    if strip_width > 0 {
        line = format!("{line}  {strip}");
    }
    line = format!("{line}  {:<KIND$}", index.kind(row));
    let role = if index.takes_part(row) { Role::Text } else { Role::Dim };
    Line::styled(text::cut(&line, columns), look.theme.style(role))
}

#[cfg(test)]
mod tests;
