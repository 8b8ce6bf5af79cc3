//! Marking parts of a think block: a cursor that moves by words and lines, a selection, one key for each kind of mark.
//!
//! Owns cursor and selection; the marks' rules are `domain::review`'s.

use std::ops::Range;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::{Step, popup, row};
use crate::domain::{MarkedSpan, Verdict, clear_span, mark_span};
use crate::engine::Part;
use crate::tui::keys::{DialogKey, dialog, letter};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::list::visible;
use crate::tui::widgets::passage::{Passage, next_word, word_at};
use crate::tui::widgets::text::cut;

#[derive(Debug, Clone)]
pub struct Marks {
    text: String,
    parts: Vec<Part>,
    spans: Vec<MarkedSpan>,
    /// First byte of the word that the cursor is on.
    cursor: usize,
    /// First byte of the word that the selection began with.
    anchor: Option<usize>,
}

/// The keys of the verdicts, as on the tab.
const KINDS: [(char, Verdict); 6] = [
    ('P', Verdict::WrongProfile),
    ('A', Verdict::WrongArticle),
    ('O', Verdict::WrongOverlap),
    ('C', Verdict::WrongCalibration),
    ('x', Verdict::Unfaithful),
    ('y', Verdict::Faithful),
];

impl Marks {
    pub fn new(text: String, parts: Vec<Part>, marks: Vec<MarkedSpan>) -> Self {
        let cursor = word_at(&text, 0).start;
        Self { text, parts, spans: marks, cursor, anchor: None }
    }

    /// What a mark would be put on: whole words.
    fn selection(&self) -> Range<usize> {
        let here = word_at(&self.text, self.cursor);
        let from = self.anchor.map_or_else(|| here.clone(), |anchor| word_at(&self.text, anchor));
        here.start.min(from.start)..here.end.max(from.end)
    }

    pub fn key(&mut self, key: &KeyEvent) -> Step {
        match (dialog(key), letter(key)) {
            (DialogKey::Esc, _) if self.anchor.is_some() => self.anchor = None,
            (DialogKey::Esc, _) => return Step::Close,
            (DialogKey::Enter, _) => return Step::Marked(std::mem::take(&mut self.spans)),
            (DialogKey::Right, _) | (_, Some('l' | 'w')) => self.cursor = next_word(&self.text, self.cursor, false),
            (DialogKey::Left, _) | (_, Some('h' | 'b')) => self.cursor = next_word(&self.text, self.cursor, true),
            (DialogKey::Down, _) | (_, Some('j')) => self.cursor = self.line_start(false),
            (DialogKey::Up, _) | (_, Some('k')) => self.cursor = self.line_start(true),
            (_, Some('g')) => self.cursor = word_at(&self.text, 0).start,
            (_, Some('G')) => self.cursor = word_at(&self.text, self.text.len()).start,
            (_, Some(' ' | 'v')) => self.anchor = if self.anchor.is_some() { None } else { Some(self.cursor) },
            (_, Some('d')) => {
                self.spans = clear_span(std::mem::take(&mut self.spans), self.selection());
                self.anchor = None;
            }
            (_, Some(typed)) => {
                if let Some((_, kind)) = KINDS.into_iter().find(|(key, _)| *key == typed) {
                    let Range { start, end } = self.selection();
                    self.spans = mark_span(std::mem::take(&mut self.spans), MarkedSpan { start, end, kind });
                    self.anchor = None;
                }
            }
            _ => {}
        }
        Step::Stay
    }

    /// The first word of the next line of the text, or of the one before; within a line, its own first word comes first.
    fn line_start(&self, back: bool) -> usize {
        let begins = |at: usize| self.text[..at].rfind('\n').map_or(0, |feed| feed + 1);
        let here = begins(self.cursor);
        let target = if back {
            let first = word_at(&self.text, here).start;
            if self.cursor > first { here } else { begins(here.saturating_sub(1)) }
        } else {
            match self.text[self.cursor..].find('\n') {
                Some(feed) => self.cursor + feed + 1,
                None => return self.cursor,
            }
        };
        word_at(&self.text, target).start
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let size = (area.width.saturating_sub(4).min(110), area.height.saturating_sub(2));
        let inside = popup(frame, area, size, "Mark what is wrong", theme);
        let selected = self.selection();
        let passage = Passage {
            marks: &self.spans,
            selected: Some((selected.start, selected.end)),
            ..Passage::new(&self.text, &self.parts)
        };
        let lines = passage.lines(theme, usize::from(inside.width));
        let at = lines.iter().position(|l| l.bytes.end > self.cursor).unwrap_or(lines.len().saturating_sub(1));
        let text = Rect { height: inside.height.saturating_sub(2), ..inside };
        let shown = visible(at, lines.len(), usize::from(text.height));
        let shown: Vec<Line<'static>> = lines.into_iter().skip(shown.start).take(shown.len()).map(|l| l.line).collect();
        frame.render_widget(Paragraph::new(shown), text);
        let moves = if self.anchor.is_some() { "h l j k extends  space ends it" } else { "h l word  j k line  space extends" };
        let feet = [
            format!("{moves}  d clears  enter keeps  esc leaves"),
            "P profile  A article  O overlap  C calibration  x unfaithful  y faithful".to_owned(),
        ];
        for (nth, foot) in feet.into_iter().enumerate() {
            let line = Line::styled(cut(&foot, inside.width.into()), theme.style(Role::Dim));
            frame.render_widget(line, row(inside, inside.height.saturating_sub(2 - u16::from(nth > 0))));
        }
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::checked_spans;

    fn press(marks: &mut Marks, keys: &str) {
        for c in keys.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            marks.key(&KeyEvent::new(code, KeyModifiers::NONE));
        }
    }

    fn on(text: &str) -> Marks {
        Marks::new(text.to_owned(), Vec::new(), Vec::new())
    }

    #[test]
    fn words_are_marked_by_the_key_of_the_verdict_and_cleared() {
        let mut marks = on("PROFILE: añ engineer\nMATCH: none");
        press(&mut marks, "lP");
        assert_eq!(marks.spans, [MarkedSpan { start: 9, end: 12, kind: Verdict::WrongProfile }]);
        press(&mut marks, "vjx");
        assert_eq!(marks.spans, [MarkedSpan { start: 9, end: 28, kind: Verdict::Unfaithful }]);
        press(&mut marks, "gd");
        assert_eq!(marks.spans.len(), 1, "the first word had no mark");
        press(&mut marks, "Gvggd");
        assert_eq!(marks.spans, []);
    }

    #[test]
    fn lines_are_moved_by_and_the_ends_hold() {
        let mut marks = on("one two\nthree four\nfive");
        let at = |marks: &Marks| word_at(&marks.text, marks.cursor);
        press(&mut marks, "j");
        assert_eq!(at(&marks), 8..13);
        press(&mut marks, "lk");
        assert_eq!(at(&marks), 8..13, "within a line its own beginning comes first");
        press(&mut marks, "kk");
        assert_eq!(at(&marks), 0..3);
        press(&mut marks, "jjjj");
        assert_eq!(at(&marks), 19..23);
    }

    #[test]
    fn enter_gives_the_marks_and_esc_ends_the_selection_first() {
        let mut marks = on("one two");
        press(&mut marks, "vl");
        let esc = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        assert!(matches!(marks.key(&esc), Step::Stay));
        press(&mut marks, "O");
        let enter = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        assert!(matches!(marks.key(&enter), Step::Marked(spans) if spans.len() == 1 && spans[0].start == 4));
        assert!(matches!(marks.key(&esc), Step::Close));
    }

    proptest! {
        #[test]
        fn any_keys_on_any_text_leave_marks_that_can_be_kept(text in "(\\PC|\n| |é){0,40}", keys in "[hljkwbgGvd PAOCxyq]{0,60}") {
            let mut marks = on(&text);
            press(&mut marks, &keys);
            prop_assert!(checked_spans(&text, marks.spans.clone()).is_ok(), "{:?}", marks.spans);
        }
    }
}
