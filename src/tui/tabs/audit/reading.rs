//! Reading one pair: the block that is judged, the other author's, the article, the reader. Each scrolls on its own.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Draft, Pane, current, noted, reading};
use crate::domain::{Author, Profile, one_line};
use crate::engine::{AuditBlock, AuditReading, Part, Query};
use crate::tui::hits::{self, Hit};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::sentence;
use crate::tui::theme::Role;
use crate::tui::widgets::pane::{pane, take_top};
use crate::tui::widgets::passage::Passage;
use crate::tui::widgets::text::{page, wrapped};

/// From this width on, both authors' blocks stand side by side.
const SIDE_BY_SIDE: u16 = 96;

/// Rows from which article and reader have panes of their own below the blocks.
const TWO_STOREYS: u16 = 22;

/// Narrower or lower than this there is room for the focused pane alone.
const ONE_PANE: (u16, u16) = (60, 6);

/// The whole reading: what is judged, and everything beside it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(found) = reading(look) else { return waiting(frame, area, look) };
    let head = head(look, found, area.width);
    let rows = head.len().min(usize::from(area.height) / 4);
    let (top, rest) = take_top(area, rows);
    frame.render_widget(Paragraph::new(head), top);
    for (which, area) in layout(rest, look.own.audit.pane) {
        one(frame, area, look, found, which);
    }
}

/// The block alone, below or beside the queue.
pub(super) fn preview(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    match reading(look) {
        Some(found) => one(frame, area, look, found, Pane::Block),
        None => waiting(frame, area, look),
    }
}

fn waiting(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let failed = current(look).and_then(|pair| look.shelf.failed(&Query::AuditReading(pair)));
    sentence(frame, area, look, "think block", &one_line(failed.unwrap_or("Reading the block…"), 300));
}

/// Which panes are where. The focused one is always among them.
fn layout(area: Rect, focus: Pane) -> Vec<(Pane, Rect)> {
    if area.width < ONE_PANE.0 || area.height < ONE_PANE.1 {
        return vec![(focus, area)];
    }
    if area.width >= SIDE_BY_SIDE && area.height >= TWO_STOREYS {
        let [upper, lower] = Layout::vertical([Constraint::Percentage(64), Constraint::Min(0)]).areas(area);
        let half = |area| Layout::horizontal([Constraint::Percentage(50), Constraint::Min(0)]).areas::<2>(area);
        let ([block, other], [article, reader]) = (half(upper), half(lower));
        return vec![(Pane::Block, block), (Pane::Other, other), (Pane::Article, article), (Pane::Reader, reader)];
    }
    let [left, right] = Layout::horizontal([Constraint::Percentage(58), Constraint::Min(0)]).areas(area);
    let beside = if focus == Pane::Block { Pane::Article } else { focus };
    vec![(Pane::Block, left), (beside, right)]
}

/// What is known of the verdict, in one line or two.
fn head(look: &Look<'_>, found: &AuditReading, columns: u16) -> Vec<Line<'static>> {
    let author = look.own.audit.author;
    let Some(block) = found.block(author) else {
        return wrapped(look.theme, Role::Warn, &format!("the {author} was not asked about {}", found.pair), columns.into());
    };
    let (glyph, role, words) = match &block.standing {
        _ if block.repeat => ("?", Role::Accent, "comes back blind: judge it as if for the first time".to_owned()),
        None => ("·", Role::Strong, "unread".to_owned()),
        Some(s) if s.verdict.rejects() => {
            let remedy = s.remedy.as_ref().map(|r| format!("; it {}", r.words())).unwrap_or_default();
            (
                s.verdict.glyph(),
                Role::Bad,
                format!("{}{}", s.verdict, if author == Author::Teacher { remedy } else { String::new() }),
            )
        }
        Some(s) => (s.verdict.glyph(), Role::Good, s.verdict.to_string()),
    };
    let mut spans = vec![
        Span::styled(format!("{glyph} {words}"), look.theme.style(role)),
        Span::styled(format!(" · {}", one_line(&found.pair.to_string(), 80)), look.theme.style(Role::Dim)),
    ];
    if let Some(Draft { note, marks, .. }) = noted(look) {
        if !marks.is_empty() {
            spans.push(Span::styled(format!(" · {} marked", marks.len()), look.theme.style(Role::Text)));
        }
        if !note.is_empty() {
            spans.push(Span::styled(format!(" · “{}”", one_line(&note, 120)), look.theme.style(Role::Text)));
        }
    }
    let mut lines = vec![Line::from(spans)];
    if let Some(breach) = &block.anatomy.breach {
        lines.push(Line::styled(format!("! the block {breach}"), look.theme.style(Role::Warn)));
    }
    lines
}

fn one(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, found: &AuditReading, which: Pane) {
    let own = &look.own.audit;
    let focus = look.tab.detail && own.pane == which;
    let scroll = if own.pane == which { &look.tab.scroll } else { &own.scrolls[which as usize] };
    let author = if which == Pane::Other { own.author.other() } else { own.author };
    let title = match which {
        Pane::Block | Pane::Other => block_title(found.block(author), author, which == Pane::Block),
        Pane::Article => format!("article {}", found.pair.article),
        Pane::Reader => format!("reader {}", found.pair.profile),
    };
    let inner = pane(frame, area, look.theme, &one_line(&title, 200), focus);
    hits::note(area, Hit::Pane(which as usize));
    let columns = usize::from(inner.width);
    let lines = match which {
        Pane::Block | Pane::Other => block_lines(look, found.block(author), author, which, columns),
        Pane::Article => article_lines(look, found, columns),
        Pane::Reader => reader_lines(look, &found.profile, columns),
    };
    page(frame, inner, look.theme, lines, scroll);
}

/// "▶ teacher 9.1 Critical · rehearsal/rehearsal-prism-1"
fn block_title(block: Option<&AuditBlock>, author: Author, judged: bool) -> String {
    let mark = if judged { "▶ " } else { "" };
    match block {
        None => format!("{mark}{author} — not asked"),
        Some(b) => {
            let score = b.score.map_or_else(|| "no score".to_owned(), |s| format!("{s:.1} {}", b.band));
            format!("{mark}{author} {score} · {}", b.source)
        }
    }
}

fn block_lines(look: &Look<'_>, block: Option<&AuditBlock>, author: Author, which: Pane, columns: usize) -> Vec<Line<'static>> {
    let say = |words: &str, role| wrapped(look.theme, role, words, columns);
    let Some(block) = block else {
        return say(&format!("The {author} was not asked about this pair."), Role::Dim);
    };
    let marks = match which {
        Pane::Block => noted(look).map(|d| d.marks).unwrap_or_default(),
        _ => block.standing.as_ref().map(|s| s.spans.clone()).unwrap_or_default(),
    };
    let mut lines = Vec::new();
    if block.think.is_empty() {
        lines.extend(say("There is no think block.", Role::Warn));
    } else {
        let passage = Passage { marks: &marks, ..Passage::new(&block.think, &block.anatomy.parts) };
        lines.extend(passage.lines(look.theme, columns).into_iter().map(|l| l.line));
    }
    lines.push(Line::default());
    let score = block.score.map_or_else(|| "—".to_owned(), |s| format!("{s:.1}"));
    lines.extend(say(&format!("SCORE: {score} | REASON: {}", one_line(&block.reason, 600)), Role::Strong));
    lines.extend(block.defect.iter().flat_map(|why| say(&format!("no score can be read: {why}"), Role::Bad)));
    lines
}

fn passage(look: &Look<'_>, text: &str, parts: &[Part], columns: usize) -> Vec<Line<'static>> {
    Passage::new(text, parts).lines(look.theme, columns).into_iter().map(|l| l.line).collect()
}

fn article_lines(look: &Look<'_>, found: &AuditReading, columns: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = passage(look, &found.title.text, &found.title.parts, columns);
    for line in &mut lines {
        *line = std::mem::take(line).patch_style(look.theme.style(Role::Strong));
    }
    let published = found.published.as_deref().map(|d| format!(" · {d}")).unwrap_or_default();
    let from = format!("{} · {}{published}", one_line(&found.source, 80), found.source_type);
    lines.extend(wrapped(look.theme, Role::Dim, &one_line(&from, 200), columns));
    lines.extend(passage(look, &found.summary.text, &found.summary.parts, columns));
    lines
}

fn reader_lines(look: &Look<'_>, profile: &Profile, columns: usize) -> Vec<Line<'static>> {
    let clean = |items: &[String]| one_line(&items.join(", "), 2_000);
    let level = format!("{}, {}", profile.seniority, profile.motivation);
    let rows = [
        ("role", one_line(&profile.role, 300)),
        ("place", one_line(&profile.location, 300)),
        ("level", level),
        ("◆ follows", clean(&profile.tracked)),
        ("◇ interests", clean(&profile.interests)),
        ("context", one_line(&profile.context, 2_000)),
        ("about", one_line(&profile.description, 2_000)),
    ];
    let filled = rows.into_iter().filter(|(_, value)| !value.is_empty());
    filled.flat_map(|(label, value)| crate::tui::widgets::text::field_wrapped(look.theme, label, &value, columns)).collect()
}
