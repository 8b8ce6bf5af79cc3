//! Text in columns: cutting, padding and wrapping by display width, and a scrolled page of lines.
//!
//! Owns widths only. What the text says and whether it is safe to draw is the caller's.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::scroll::Scroll;

/// Columns that `text` takes on the screen.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// At most `columns` wide, ending in `…` where it was cut; a wide glyph is never halved.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > columns {
            break;
        }
        used += w;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Exactly `columns` wide: cut or filled with spaces on the right.
pub fn pad(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    let missing = columns.saturating_sub(width(&out));
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

/// Exactly `columns` wide, filled on the left; for numbers.
pub fn pad_left(text: &str, columns: usize) -> String {
    let cut = cut(text, columns);
    format!("{}{cut}", " ".repeat(columns.saturating_sub(width(&cut))))
}

/// Cells of a row, each with its width (negative: aligned to the right), two spaces apart.
pub fn columns(cells: &[(&str, i16)]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|(text, w)| {
            let columns = usize::from(w.unsigned_abs());
            if *w < 0 { pad_left(text, columns) } else { pad(text, columns) }
        })
        .collect();
    cells.join("  ")
}

/// Breaks `text` at spaces into lines of at most `columns`; words longer than a line are broken, line feeds stay.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split_inclusive(' ') {
            let bare = width(word.trim_end_matches(' '));
            if used > 0 && used + bare > columns {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0;
            }
            for c in word.chars() {
                let w = c.width().unwrap_or(0);
                if used + w > columns {
                    if c == ' ' {
                        continue;
                    }
                    if used > 0 {
                        lines.push(std::mem::take(&mut line));
                        used = 0;
                    }
                }
                used += w;
                line.push(c);
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// [`wrap`] as styled lines.
pub fn wrapped(theme: &Theme, role: Role, text: &str, columns: usize) -> Vec<Line<'static>> {
    wrap(text, columns).into_iter().map(|line| Line::styled(line, theme.style(role))).collect()
}

/// A dim label of 12 columns and its value.
pub fn field(theme: &Theme, label: &str, value: &str, role: Role) -> Line<'static> {
    Line::from(vec![
        Span::styled(pad(label, 12), theme.style(Role::Dim)),
        Span::raw(" "),
        Span::styled(value.to_owned(), theme.style(role)),
    ])
}

/// [`field`] whose value is wrapped under itself.
pub fn field_wrapped(theme: &Theme, label: &str, value: &str, columns: usize) -> Vec<Line<'static>> {
    let mut label = label;
    wrap(value, columns.saturating_sub(13))
        .into_iter()
        .map(|part| field(theme, std::mem::take(&mut label), &part, Role::Text))
        .collect()
}

/// Draws `lines` from the first on, as far as there is room.
pub fn from_top(frame: &mut Frame<'_>, area: Rect, theme: &Theme, lines: Vec<Line<'_>>) {
    page(frame, area, theme, lines, &Scroll::default());
}

/// Draws `lines` from `scroll` on; the last row says `more ↓` while lines remain. Scrolling stops at the last page.
pub fn page(frame: &mut Frame<'_>, area: Rect, theme: &Theme, lines: Vec<Line<'_>>, scroll: &Scroll) {
    if area.is_empty() {
        return;
    }
    let height = usize::from(area.height);
    let total = lines.len();
    let first = scroll.within(total.saturating_sub(height));
    // While there is more, one row is the hint's; with a single row the text goes first.
    let hint = first + height < total && height > 1;
    let room = if hint { height - 1 } else { height };
    let mut shown: Vec<Line<'_>> = lines.into_iter().skip(first).take(room).collect();
    if hint {
        let left = total - first - room;
        shown.push(Line::styled(cut(&format!("more ↓ ({left})"), area.width.into()), theme.style(Role::Key)));
    }
    frame.render_widget(Paragraph::new(shown).style(theme.style(Role::Text)), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_glyph_is_never_halved() {
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(pad("日本語", 4), "日… ");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn long_words_are_broken_and_line_feeds_stay() {
        assert_eq!(wrap("ab cdefghij\n\nk", 4), ["ab", "cdef", "ghij", "", "k"]);
        assert_eq!(wrap("日本語", 1).join(""), "日本語");
    }

    #[test]
    fn numbers_are_aligned_to_the_right() {
        assert_eq!(columns(&[("a", 3), ("7", -3)]), "a      7");
    }
}
