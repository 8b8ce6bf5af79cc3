//! Page mask: the tokens of one example, and which of them the loss sees.
//!
//! Owns how a trained token is told apart: by its style, and by ⟦ and ⟧ around each run of them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use super::scrolled;
use crate::domain::{one_line, safe_text};
use crate::engine::{Answer, MaskView, Query};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::{sentence, waiting};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::text;

pub(super) fn wants(look: &Look<'_>) -> Vec<Query> {
    look.own.dataset.masked.iter().map(|id| Query::Mask(id.clone())).collect()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(id) = &look.own.dataset.masked else {
        return sentence(frame, area, look, "Mask", "No mask is shown: select an example on page 'examples' and press m.");
    };
    let query = Query::Mask(id.clone());
    let Some(Answer::Mask(mask)) = look.shelf.get(&query) else {
        return waiting(frame, area, look, "Mask", &query);
    };
    let title = format!("Mask of {}", one_line(&mask.example, 200));
    scrolled(frame, area, look, &title, |columns| lines(look.theme, mask, columns));
}

/// A legend, then every token; line feeds are drawn as ↵ and break the line.
fn lines(theme: &Theme, mask: &MaskView, columns: usize) -> Vec<Line<'static>> {
    let trained = mask.tokens.iter().filter(|(_, trained)| *trained).count();
    let head = format!("{trained} of {} tokens are trained; they stand between ⟦ and ⟧.", mask.tokens.len());
    let mut lines = text::wrapped(theme, if trained == 0 { Role::Warn } else { Role::Strong }, &head, columns);
    lines.push(Line::from(vec![
        Span::styled("⟦trained: the loss sees it⟧", theme.style(Role::Trained)),
        Span::raw("  "),
        Span::styled("read, not trained", theme.style(Role::Dim)),
        Span::raw("  "),
        Span::styled("↵ line feed", theme.style(Role::Dim)),
    ]));
    lines.push(Line::default());
    let mut flow = Flow { theme, columns: columns.max(1), lines, spans: Vec::new(), run: String::new(), used: 0, trained: false };
    for (text, trained) in &mask.tokens {
        flow.switch(*trained);
        safe_text(text).chars().for_each(|c| flow.push(c));
    }
    flow.switch(false);
    flow.line_end();
    flow.lines
}

/// Lines being filled with characters of two styles.
struct Flow<'a> {
    theme: &'a Theme,
    columns: usize,
    lines: Vec<Line<'static>>,
    spans: Vec<Span<'static>>,
    run: String,
    used: usize,
    trained: bool,
}

impl Flow<'_> {
    /// Opens or closes the brackets where training starts or stops; both belong to the trained run.
    fn switch(&mut self, trained: bool) {
        if trained == self.trained {
            return;
        }
        if trained {
            self.run_end();
            self.trained = true;
            self.push('⟦');
        } else {
            self.push('⟧');
            self.run_end();
            self.trained = false;
        }
    }

    fn push(&mut self, c: char) {
        let shown = if c == '\n' { '↵' } else { c };
        let width = shown.width().unwrap_or(0);
        if self.used > 0 && self.used + width > self.columns {
            self.line_end();
        }
        self.run.push(shown);
        self.used += width;
        if c == '\n' {
            self.line_end();
        }
    }

    fn run_end(&mut self) {
        if !self.run.is_empty() {
            let role = if self.trained { Role::Trained } else { Role::Dim };
            self.spans.push(Span::styled(std::mem::take(&mut self.run), self.theme.style(role)));
        }
    }

    fn line_end(&mut self) {
        self.run_end();
        self.lines.push(Line::from(std::mem::take(&mut self.spans)));
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trained_tokens_are_told_apart_without_colour_and_counted() {
        let tokens = [("<user>\n", false), ("SCORE", true), (": 7", true), ("\n", false)];
        let mask = MaskView { example: "e".into(), tokens: tokens.map(|(t, on)| (t.to_owned(), on)).to_vec() };
        let lines: Vec<String> = lines(&Theme::default(), &mask, 60).iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "2 of 4 tokens are trained; they stand between ⟦ and ⟧.");
        assert_eq!(lines[3..5], ["<user>↵", "⟦SCORE: 7⟧↵"]);
    }

    #[test]
    fn a_mask_in_one_column_does_not_hang() {
        let mask = MaskView { example: "e".into(), tokens: vec![("日本\n".into(), true)] };
        assert!(lines(&Theme::default(), &mask, 0).len() > 3);
    }
}
