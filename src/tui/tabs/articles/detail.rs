//! The page of one article: its text, its scores across all readers with who gave them, and its near-duplicates.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::selected_id;
use crate::domain::{Article, one_line, safe_text};
use crate::engine::{Answer, ArticleView, Query};
use crate::tui::tabs::Look;
use crate::tui::theme::Role;
use crate::tui::widgets::{heat, pane, text};

/// From this many columns on the reasons stand behind the scores.
const REASONS: usize = 60;

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(id) = selected_id(look) else {
        pane::pane(frame, area, look.theme, "Article", look.tab.detail);
        return;
    };
    let inner = pane::pane(frame, area, look.theme, id.as_str(), look.tab.detail);
    let columns = usize::from(inner.width);
    let query = Query::Article(id.clone());
    let lines = if let Some(Answer::Article(view)) = look.shelf.get(&query) {
        let mut lines = article(look, &view.article, columns);
        lines.extend(scores(look, view, columns));
        lines.extend(neighbours(look, &Query::Neighbours(id), columns));
        lines
    } else {
        let words = look.shelf.failed(&query).map_or_else(|| "reading…".to_owned(), |why| one_line(why, 300));
        text::wrapped(look.theme, Role::Dim, &words, columns)
    };
    text::page(frame, inner, look.theme, lines, &look.tab.scroll);
}

fn article(look: &Look<'_>, article: &Article, columns: usize) -> Vec<Line<'static>> {
    let theme = look.theme;
    let mut lines = text::wrapped(theme, Role::Strong, &one_line(&article.title, 1000), columns);
    let or_dash = |value: &str| if value.is_empty() { "—".to_owned() } else { one_line(value, 1000) };
    let source = format!("{} ({})", or_dash(&article.source), article.source_type);
    lines.extend(text::field_wrapped(theme, "source", &source, columns));
    let fields = [
        ("published", article.published.clone().unwrap_or_default()),
        ("category", article.category.clone()),
        ("keywords", article.keywords.join(", ")),
        ("written for", article.targets.join(", ")),
        ("traits", article.traits.join(", ")),
    ];
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        lines.extend(text::field_wrapped(theme, name, &one_line(value, 400), columns));
    }
    lines.extend(text::field_wrapped(theme, "url", &or_dash(&article.url), columns));
    lines.push(Line::default());
    lines.extend(text::wrapped(theme, Role::Text, &safe_text(&article.summary), columns));
    lines.push(Line::default());
    lines
}

fn scores(look: &Look<'_>, view: &ArticleView, columns: usize) -> Vec<Line<'static>> {
    let theme = look.theme;
    if view.scores.is_empty() {
        return text::wrapped(theme, Role::Dim, "No scores yet: the teacher gives them in Distill.", columns);
    }
    let mut givers: Vec<&str> = view.scores.iter().map(|s| s.by.as_str()).collect();
    givers.sort_unstable();
    givers.dedup();
    let heading = format!("Scores, the newest of each reader, by {}", one_line(&givers.join(", "), 120));
    let mut lines = text::wrapped(theme, Role::Strong, &heading, columns);
    if columns < REASONS {
        let cells: Vec<(&str, Option<f64>)> = view.scores.iter().map(|s| (s.reader.as_str(), Some(s.score))).collect();
        lines.extend(heat::strip(theme, &cells, columns));
        return lines;
    }
    let name = view.scores.iter().map(|s| text::width(s.reader.as_str())).max().unwrap_or(0).min(24);
    for score in &view.scores {
        let reader = text::pad(score.reader.as_str(), name);
        let reason = one_line(&score.reason, 300);
        let rest = text::cut(&format!(" {reader}  {reason}"), columns.saturating_sub(6));
        let mut line = Line::from(heat::score(theme, score.score));
        line.push_span(ratatui::text::Span::styled(rest, theme.style(Role::Text)));
        lines.push(line);
    }
    lines
}

/// Looked for only while the page has the focus: it means comparing with every article.
fn neighbours(look: &Look<'_>, query: &Query, columns: usize) -> Vec<Line<'static>> {
    let theme = look.theme;
    let mut lines = vec![Line::default()];
    let dim = |words: &str| text::wrapped(theme, Role::Dim, words, columns);
    match look.shelf.get(query) {
        Some(Answer::Neighbours(found)) if found.is_empty() => lines.extend(dim("No near-duplicates.")),
        Some(Answer::Neighbours(found)) => {
            lines.push(Line::styled(format!("Near-duplicates: {}", found.len()), theme.style(Role::Warn)));
            for other in found.iter() {
                let words = format!("{} {} · {}", other.id, one_line(&other.title, 200), other.why);
                lines.extend(text::wrapped(theme, Role::Text, &words, columns));
            }
        }
        _ if look.shelf.waits(query) => lines.extend(dim("Looking for near-duplicates…")),
        _ => match look.shelf.failed(query) {
            Some(why) => lines.extend(dim(&one_line(why, 300))),
            None => lines.extend(dim("Near-duplicates are looked for when this page has the focus.")),
        },
    }
    lines
}
