//! What the tabs around charts share: notices on top, the sentence of an empty tab, list beside detail, cells of text.
//!
//! Owns their look. Every text that comes in from outside passes through [`fit`] or [`prose`], which disarm it; what a
//! tab lists is the tab's.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, List, ListState, Paragraph, Wrap};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::domain::{Phase, PhaseState, one_line, safe_text};
use crate::tui::tabs::Look;
use crate::tui::theme::Role;

/// From this width on, list and detail stand side by side.
pub const WIDE: u16 = 100;

/// `text` on exactly `width` cells, safe to draw: cut with an ellipsis or padded.
pub fn fit(text: &str, width: usize) -> String {
    let flat = one_line(text, usize::MAX);
    let mut cells = flat.width();
    let mut out = flat;
    if cells > width {
        let room = width.saturating_sub(1);
        let (mut cut, mut used) = (String::new(), 0);
        for c in out.chars() {
            let w = c.width().unwrap_or(0);
            if used + w > room {
                break;
            }
            used += w;
            cut.push(c);
        }
        if width > 0 {
            cut.push('…');
            used += 1;
        }
        (out, cells) = (cut, used);
    }
    out.push_str(&" ".repeat(width.saturating_sub(cells)));
    out
}

/// Lines of a longer text, safe to draw.
pub fn prose(text: &str, look: &Look<'_>, role: Role) -> Vec<Line<'static>> {
    safe_text(text).lines().map(|line| Line::styled(line.to_owned(), look.theme.style(role))).collect()
}

/// A line in one role. For texts of this program; others go through [`fit`] or [`prose`].
pub fn line(text: impl Into<String>, look: &Look<'_>, role: Role) -> Line<'static> {
    Line::styled(text.into(), look.theme.style(role))
}

/// A span in one role.
pub fn span(text: impl Into<String>, look: &Look<'_>, role: Role) -> Span<'static> {
    Span::styled(text.into(), look.theme.style(role))
}

/// A name and its value, in columns.
pub fn fact(name: &str, value: &str, look: &Look<'_>) -> Line<'static> {
    Line::from(vec![span(fit(name, 15), look, Role::Dim), span(one_line(value, 200), look, Role::Text)])
}

/// Draws what the operator must know before anything else (failed guards, a result that is no longer current) and
/// returns the area that is left.
pub fn notices(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, phase: Phase) -> Rect {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for view in look.snapshot.findings.iter().filter(|f| f.phase == phase && f.finding.failed()) {
        let (mark, role) = match (&view.overridden, view.stops) {
            (Some(_), _) => ("!", Role::Warn),
            (None, true) => ("✗ stops:", Role::Bad),
            (None, false) => ("! warns:", Role::Warn),
        };
        let f = &view.finding;
        let mut text = format!("{mark} {}: {}", one_line(&f.guard, 40), one_line(&f.saw, 300));
        if !f.remedy.is_empty() {
            text.push_str(" → ");
            text.push_str(&one_line(&f.remedy, 300));
        }
        if let Some(reason) = &view.overridden {
            text.push_str(" · overridden: ");
            text.push_str(&one_line(reason, 200));
        }
        lines.push(line(text, look, role));
    }
    if let Some(PhaseState::Stale(why)) = state(look, phase) {
        lines.push(line(format!("~ stale: {}; run this phase again", sentence(why)), look, Role::Warn));
    }
    if lines.is_empty() || area.height < 4 {
        return area;
    }
    let wanted: usize = lines.iter().map(|l| height(l, area.width)).sum();
    // The body keeps half of the tab, however much is wrong.
    let rows = u16::try_from(wanted).unwrap_or(u16::MAX).min(area.height / 2);
    let [top, rest] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), top);
    rest
}

fn state<'a>(look: &Look<'a>, phase: Phase) -> Option<&'a PhaseState> {
    look.snapshot.phases.get(phase.index()).map(|p| &p.state)
}

fn sentence(why: &str) -> String {
    one_line(why, 300).trim_end_matches('.').to_owned()
}

/// Draws the one sentence of an empty tab: what to do next. `when_ready` is the tab's own, for a phase that may run.
pub fn empty(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, phase: Phase, when_ready: &str) {
    let title = phase.title();
    let text = match state(look, phase) {
        Some(PhaseState::Locked(why)) => format!("{title} is locked: {}.", sentence(why)),
        Some(PhaseState::Running) => format!("{title} is running; the first results appear here when they arrive."),
        Some(PhaseState::NeedsApproval(why)) => format!("{title} waits for you: {}.", sentence(why)),
        Some(PhaseState::Stale(why)) => format!("{title} is stale ({}): run it again.", sentence(why)),
        Some(PhaseState::Ready | PhaseState::Done) | None => when_ready.to_owned(),
    };
    frame.render_widget(Paragraph::new(line(text, look, Role::Text)).wrap(Wrap { trim: true }), area);
}

/// Where list and detail go; a missing one is not drawn.
pub fn split(area: Rect, look: &Look<'_>) -> (Option<Rect>, Option<Rect>) {
    if area.width >= WIDE {
        let [list, detail] = Layout::horizontal([Constraint::Percentage(42), Constraint::Min(0)]).areas(area);
        (Some(list), Some(detail))
    } else if look.tab.detail {
        (None, Some(area))
    } else {
        let [list, detail] = Layout::vertical([Constraint::Percentage(45), Constraint::Min(0)]).areas(area);
        (Some(list), Some(detail))
    }
}

/// Columns for the text of a row in a list of this width: borders and the selection mark take the rest.
pub fn row_width(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(4))
}

fn framed(title: &str, look: &Look<'_>, focus: bool) -> Block<'static> {
    let border = if focus { Role::Focus } else { Role::Border };
    Block::bordered()
        .title(span(format!(" {} ", one_line(title, 200)), look, Role::Strong))
        .border_style(look.theme.style(border))
}

/// A list whose selected row carries a mark, so that it shows without colour. A `header` stays on top.
pub fn list(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, header: Option<String>, rows: Vec<Line<'static>>) {
    let block = framed(title, look, !look.tab.detail);
    let mut inner = block.inner(area);
    frame.render_widget(block, area);
    if let Some(header) = header {
        let [top, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(inner);
        frame.render_widget(Paragraph::new(line(format!("  {header}"), look, Role::Dim)), top);
        inner = rest;
    }
    if rows.is_empty() {
        let text = if look.tab.filter.is_empty() { "nothing here yet" } else { "nothing matches the filter" };
        frame.render_widget(Paragraph::new(line(text, look, Role::Dim)), inner);
        return;
    }
    let mut state = ListState::default().with_selected(Some(look.tab.selected.min(rows.len() - 1)));
    let list = List::new(rows).highlight_symbol("▸ ").highlight_style(look.theme.style(Role::Selected));
    frame.render_stateful_widget(list, inner, &mut state);
}

/// A pane of text, scrolled as the operator asked but never past its end.
pub fn pane(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, lines: Vec<Line<'static>>, focus: bool) {
    let block = framed(title, look, focus);
    let inner = block.inner(area);
    let rows: usize = lines.iter().map(|l| height(l, inner.width)).sum();
    let last = u16::try_from(rows).unwrap_or(u16::MAX).saturating_sub(inner.height);
    let text = Paragraph::new(Text::from(lines)).block(block).wrap(Wrap { trim: false });
    look.tab.scroll.within(last.into());
    frame.render_widget(text.scroll((look.tab.scroll.lines(), 0)), area);
}

/// Rows a line takes when wrapped at words.
pub fn height(line: &Line<'_>, width: u16) -> usize {
    let width = usize::from(width).max(1);
    let text: String = line.spans.iter().map(|s| s.content.as_ref()).collect();
    let (mut rows, mut used) = (1, 0);
    for word in text.split_inclusive(' ') {
        let (whole, solid) = (word.width(), word.trim_end().width());
        if used > 0 && used + solid > width {
            (rows, used) = (rows + 1, 0);
        }
        rows += solid.saturating_sub(1) / width;
        used = if solid > width { solid % width } else { used + whole };
    }
    rows
}

/// True if the filter is empty or one of the texts contains it.
pub fn matches(filter: &str, texts: &[&str]) -> bool {
    filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(filter))
}

/// "—" for what is not there or not a number.
pub fn number(value: Option<f64>, digits: usize) -> String {
    value.filter(|v| v.is_finite()).map_or_else(|| "—".into(), |v| format!("{v:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_its_width_whatever_the_script() {
        for text in ["", "short", "a title that is far too long", "漢字漢字漢字漢字", "\u{1b}[31mred", "برومو برومو برومو"]
        {
            for width in [0, 1, 2, 5, 12] {
                assert_eq!(fit(text, width).width(), width, "{text:?} at {width}");
            }
        }
    }

    #[test]
    fn a_wrapped_line_counts_its_rows() {
        let rows = |text: &str, width| height(&Line::from(text.to_owned()), width);
        assert_eq!(rows("", 10), 1);
        assert_eq!(rows("one two three", 7), 2);
        assert_eq!(rows("abcdefghij", 4), 3);
        assert_eq!(rows("x", 0), 1);
    }
}
