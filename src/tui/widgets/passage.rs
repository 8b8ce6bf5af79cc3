//! A passage of untrusted text whose parts look different: steps, weights, names, marks, a selection.
//!
//! Owns how a text with byte ranges becomes wrapped lines. Every kind of part has a sign of its own besides its style, so
//! that it is told without colour; what the kinds mean is the engine's.

use std::ops::Range;

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use crate::domain::{MarkedSpan, Verdict, safe_text};
use crate::engine::{Part, PartKind};
use crate::tui::theme::{Role, Theme};

/// One character as it is drawn, and the byte it comes from.
#[derive(Debug, Clone, Copy)]
struct Cell {
    c: char,
    columns: usize,
    style: Style,
    at: usize,
    /// A sign that stands before a part, not in the text.
    sign: bool,
}

/// What is drawn, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
    pub text: &'a str,
    /// In order, none inside another.
    pub parts: &'a [Part],
    /// In order, none inside another.
    pub marks: &'a [MarkedSpan],
    /// Bytes that are selected.
    pub selected: Option<(usize, usize)>,
}

/// A line of a passage, and the bytes that stand in it.
#[derive(Debug, Clone)]
pub struct PassageLine {
    pub line: Line<'static>,
    pub bytes: Range<usize>,
}

impl<'a> Passage<'a> {
    pub fn new(text: &'a str, parts: &'a [Part]) -> Self {
        Self { text, parts, marks: &[], selected: None }
    }

    /// The passage as lines of at most `columns`.
    pub fn lines(&self, theme: &Theme, columns: usize) -> Vec<PassageLine> {
        let mut lines = Vec::new();
        let mut paragraph: Vec<Cell> = Vec::new();
        let mut start = 0;
        for (at, c) in self.text.char_indices() {
            if c == '\n' {
                wrap(&paragraph, start..at, columns.max(1), &mut lines);
                paragraph.clear();
                start = at + 1;
                continue;
            }
            self.cell(at, c, theme, &mut paragraph);
        }
        wrap(&paragraph, start..self.text.len(), columns.max(1), &mut lines);
        lines
    }

    fn cell(&self, at: usize, c: char, theme: &Theme, into: &mut Vec<Cell>) {
        let part = find(self.parts, at, |p| p.start..p.end);
        let mark = find(self.marks, at, MarkedSpan::range);
        let selected = self.selected.is_some_and(|(from, to)| (from..to).contains(&at));
        let role = if selected {
            Role::Selected
        } else if let Some(mark) = mark {
            mark_role(mark.kind)
        } else {
            part.map_or(Role::Text, |p| part_role(p.kind))
        };
        let mut style = theme.style(role);
        if let Some(part) = part.filter(|p| p.kind == PartKind::Step) {
            style = theme.style(part_role(part.kind)).patch(style);
        }
        let mut sign = |text: &str| {
            let cell = |c: char| Cell { c, columns: c.width().unwrap_or(0), style, at, sign: true };
            into.extend(text.chars().map(cell));
        };
        if let Some(mark) = mark.filter(|m| m.start == at) {
            sign("[");
            sign(mark.kind.glyph());
            sign(":");
        }
        if let Some(part) = part.filter(|p| p.start == at) {
            sign(part_sign(part.kind));
        }
        // Letters and digits are safe; whatever else there is goes through the one place that knows.
        if c.is_ascii_graphic() || c == ' ' {
            into.push(Cell { c, columns: 1, style, at, sign: false });
        } else {
            let mut buffer = [0; 4];
            let safe = safe_text(c.encode_utf8(&mut buffer));
            into.extend(safe.chars().map(|c| Cell { c, columns: c.width().unwrap_or(0), style, at, sign: false }));
        }
        if mark.is_some_and(|m| m.end == at + c.len_utf8()) {
            into.push(Cell { c: ']', columns: 1, style, at, sign: true });
        }
    }
}

/// The item that a byte is in; items are in order and apart.
fn find<T>(items: &[T], at: usize, range: impl Fn(&T) -> Range<usize>) -> Option<&T> {
    let after = items.partition_point(|item| range(item).start <= at);
    items.get(after.checked_sub(1)?).filter(|item| range(item).contains(&at))
}

pub fn part_role(kind: PartKind) -> Role {
    match kind {
        PartKind::Step => Role::Strong,
        PartKind::Signal | PartKind::Interest => Role::Accent,
        PartKind::Strong => Role::Good,
        PartKind::Weak => Role::Warn,
        PartKind::Absent => Role::Dim,
        PartKind::Tracked => Role::Key,
    }
}

/// What stands before a part. A step is told by its capitals and its colon.
pub fn part_sign(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Step | PartKind::Signal => "",
        PartKind::Strong => "▲",
        PartKind::Weak => "△",
        PartKind::Absent => "∅",
        PartKind::Tracked => "◆",
        PartKind::Interest => "◇",
    }
}

pub fn mark_role(kind: Verdict) -> Role {
    if kind.rejects() { Role::Bad } else { Role::Good }
}

/// Breaks a paragraph at spaces; a word longer than a line is broken, a wide character never.
fn wrap(cells: &[Cell], bytes: Range<usize>, columns: usize, lines: &mut Vec<PassageLine>) {
    let mut rest = cells;
    let mut start = bytes.start;
    loop {
        let mut used = 0;
        let mut fits = 0;
        for cell in rest {
            if used + cell.columns > columns && fits > 0 {
                break;
            }
            used += cell.columns;
            fits += 1;
        }
        if fits == rest.len() {
            lines.push(PassageLine { line: line(rest), bytes: start..bytes.end });
            return;
        }
        // What overflows is a space: it ends the line unseen. Else the line ends behind its last space, if it has one.
        let cut = if rest[fits].c == ' ' {
            fits + 1
        } else {
            rest[..fits].iter().rposition(|cell| cell.c == ' ' && !cell.sign).map_or(fits, |space| space + 1)
        };
        let (now, later) = rest.split_at(cut);
        let end = later.first().map_or(bytes.end, |cell| cell.at);
        lines.push(PassageLine { line: line(now), bytes: start..end });
        (rest, start) = (later, end);
        if rest.is_empty() {
            return;
        }
    }
}

fn line(cells: &[Cell]) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut style = None;
    let mut text = String::new();
    for cell in cells {
        if style != Some(cell.style) {
            if let Some(style) = style {
                spans.push(Span::styled(std::mem::take(&mut text), style));
            }
            style = Some(cell.style);
        }
        text.push(cell.c);
    }
    if let Some(style) = style {
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

/// The word of a text that holds a byte, or the one after it: what a cursor that moves by words stands on.
pub fn word_at(text: &str, at: usize) -> Range<usize> {
    let words = words(text);
    let found = words.iter().find(|w| w.end > at).or(words.last());
    found.cloned().unwrap_or(0..0)
}

/// The word after or before the one that begins at a byte; the last and the first stay themselves.
pub fn next_word(text: &str, at: usize, back: bool) -> usize {
    let words = words(text);
    let found = if back { words.iter().rev().find(|w| w.start < at) } else { words.iter().find(|w| w.start > at) };
    found.map_or(at, |w| w.start)
}

/// Runs of anything but white space.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut open = None;
    for (at, c) in text.char_indices() {
        match (c.is_whitespace(), open) {
            (false, None) => open = Some(at),
            (true, Some(start)) => {
                words.push(start..at);
                open = None;
            }
            _ => {}
        }
    }
    words.extend(open.map(|start| start..text.len()));
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(passage: &Passage<'_>, columns: usize) -> Vec<String> {
        let theme = Theme::default();
        let text = |l: &PassageLine| l.line.spans.iter().map(|s| s.content.as_ref()).collect::<String>().trim_end().to_owned();
        passage.lines(&theme, columns).iter().map(text).collect()
    }

    fn part(start: usize, end: usize, kind: PartKind) -> Part {
        Part { start, end, kind }
    }

    #[test]
    fn parts_and_marks_carry_signs_besides_their_styles() {
        let parts = [part(0, 6, PartKind::Step), part(7, 13, PartKind::Strong), part(14, 17, PartKind::Tracked)];
        let marks = [MarkedSpan { start: 14, end: 17, kind: Verdict::WrongOverlap }];
        let passage = Passage { marks: &marks, ..Passage::new("MATCH: STRONG HCA", &parts) };
        assert_eq!(shown(&passage, 40), ["MATCH: ▲STRONG [O:◆HCA]"]);
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(shown(&Passage::new("ab cdefghij\n\nk l", &[]), 4), ["ab", "cdef", "ghij", "", "k l"]);
        assert_eq!(shown(&Passage::new("", &[]), 4), [""]);
    }

    #[test]
    fn escape_sequences_are_harmless() {
        assert_eq!(shown(&Passage::new("\u{1b}[31mred\u{202e}\u{7}", &[]), 40), ["[31mred"]);
    }

    #[test]
    fn a_cursor_moves_from_word_to_word_and_stays_at_the_ends() {
        let text = "añb  cd\ne";
        assert_eq!((next_word(text, 0, false), next_word(text, 6, false), next_word(text, 9, false)), (6, 9, 9));
        assert_eq!((next_word(text, 9, true), next_word(text, 6, true), next_word(text, 0, true)), (6, 0, 0));
        assert_eq!((word_at(text, 0), word_at(text, 5), word_at(text, 99)), (0..4, 6..8, 9..10));
        assert_eq!(word_at("", 0), 0..0);
    }

    proptest! {
        #[test]
        fn every_byte_stands_in_one_line_and_no_line_is_too_wide(text in "(\\PC|\n|日|é| ){0,80}", columns in 1usize..30) {
            let lines = Passage::new(&text, &[]).lines(&Theme::default(), columns);
            let mut at = 0;
            for l in &lines {
                let gap = &text[at..l.bytes.start];
                prop_assert!(gap.is_empty() || gap == "\n", "{:?}", gap);
                at = l.bytes.end;
                let wide: usize = l.line.spans.iter().flat_map(|s| s.content.trim_end_matches(' ').chars()).map(|c| c.width().unwrap_or(0)).sum();
                prop_assert!(wide <= columns.max(2), "{} in {}", wide, columns);
            }
            prop_assert_eq!(at, text.len());
        }
    }
}
