//! Page pairs: articles on which two readers differ most. They teach that the reader decides.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::examples::turn;
use crate::domain::{ProfileId, Role as Speaker, one_line};
use crate::engine::{Answer, ContrastivePair, DatasetIndex, Query};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{empty_list, list_title, matches};
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::{heat, pane, text};

pub(super) fn found<'a>(look: &Look<'a>) -> Vec<&'a ContrastivePair> {
    let Some(index) = super::index(look) else { return Vec::new() };
    let hit = |p: &&ContrastivePair| matches(&look.tab.filter, &[p.article.as_str(), p.high.0.as_str(), p.low.0.as_str()]);
    index.pairs.iter().filter(hit).collect()
}

fn example(pair: &ContrastivePair, reader: &ProfileId) -> Query {
    Query::Example(format!("{}|{reader}", pair.article))
}

pub(super) fn wants(look: &Look<'_>) -> Vec<Query> {
    let found = found(look);
    let pair = found.get(look.tab.selected);
    pair.map_or_else(Vec::new, |pair| vec![example(pair, &pair.high.0), example(pair, &pair.low.0)])
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, index: &DatasetIndex) {
    let found = found(look);
    if found.is_empty() {
        let words = format!("No two readers are further apart than {} on any article.", index.stats.contrastive_delta);
        return empty_list(frame, area, look, "Contrastive pairs", &words);
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    let selected = look.tab.selected.min(found.len() - 1);
    if let Some(left) = left {
        let title = list_title("Articles, widest first", look, found.len(), index.pairs.len());
        let title = format!("{title} · {} pairs in all", index.stats.contrastive_pairs);
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        let name = i16::try_from(usize::from(inner.width).saturating_sub(27).clamp(16, 72) / 3).unwrap_or(8);
        let cells = |cells: [&str; 6]| text::columns(&cells.into_iter().zip([-4, 4, name, 4, name, name]).collect::<Vec<_>>());
        let header = cells(["gap", "high", "reader", "low", "reader", "article"]);
        List { header: &header, total: found.len(), selected }.draw(frame, inner, look.theme, |at, columns| {
            let p = found[at];
            let figures = [p.gap(), p.high.1, p.low.1].map(|n| format!("{n:.1}"));
            let line = cells([&figures[0], &figures[1], p.high.0.as_str(), &figures[2], p.low.0.as_str(), p.article.as_str()]);
            Line::styled(text::cut(&line, columns), look.theme.style(Role::Text))
        });
    }
    if let Some(right) = right {
        draw_pair(frame, right, look, found[selected]);
    }
}

/// What both were asked alike, then each one's answer.
fn draw_pair(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, pair: &ContrastivePair) {
    let inner = pane::pane(frame, area, look.theme, &one_line(pair.article.as_str(), 80), look.tab.detail);
    let columns = usize::from(inner.width);
    let mut lines = Vec::new();
    for (reader, score) in [&pair.high, &pair.low] {
        let mut head = Line::from(heat::score(look.theme, *score));
        head.push_span(ratatui::text::Span::styled(format!(" {reader}"), look.theme.style(Role::Strong)));
        lines.push(head);
        match look.shelf.get(&example(pair, reader)) {
            Some(Answer::Example(view)) => lines.extend(turn(look, &view.example, Speaker::Assistant, columns)),
            _ => {
                let query = example(pair, reader);
                let words = look.shelf.failed(&query).map_or_else(|| "reading…".to_owned(), |why| one_line(why, 300));
                lines.extend(text::wrapped(look.theme, Role::Dim, &words, columns));
            }
        }
        lines.push(Line::default());
    }
    if let Some(Answer::Example(view)) = look.shelf.get(&example(pair, &pair.high.0)) {
        lines.push(Line::styled("the article as it was put to the first", look.theme.style(Role::Dim)));
        lines.extend(turn(look, &view.example, Speaker::User, columns));
    }
    text::page(frame, inner, look.theme, lines, &look.tab.scroll);
}
