//! The Dataset tab: is it balanced, split cleanly, within length, and what does the loss see?
//!
//! Owns five pages: report, bands, examples, order, mask. The statistics and the mask are computed by the engine.

mod actions;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use super::common::{empty_list, findings, list_title, matches, next_step, sentence};
use super::{Look, Tab, TabState, wants_nothing};
use crate::domain::{Phase, one_line, safe_text};
use crate::engine::{DatasetView, ExampleView, MaskView, Snapshot};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::list::List;
use crate::tui::widgets::{bar, heat, pane, text};

const BANDS: usize = 1;
const EXAMPLES: usize = 2;
const ORDER: usize = 3;
const MASK: usize = 4;

fn examples<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a ExampleView> {
    let hit = |e: &&ExampleView| matches(&tab.filter, &[&e.id, &e.band, if e.held_out { "held out" } else { "train" }]);
    snapshot.dataset.examples.iter().filter(hit).collect()
}

pub const TAB: Tab = Tab { phase: Phase::Dataset, pages: &["report", "bands", "examples", "order", "mask"], actions: actions::ACTIONS, rows, draw, wants: wants_nothing };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(look: &Look<'_>) -> usize {
    let (snapshot, tab) = (look.snapshot, look.tab);
    if tab.page == EXAMPLES { examples(snapshot, tab).len() } else { 0 }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Dataset);
    let view = &look.snapshot.dataset;
    if view.digest.is_none() {
        let run = "There is no dataset yet: run this phase to build it from the kept traces.";
        let next = next_step(look.snapshot, Phase::Dataset, run, run);
        let beside: Vec<String> = view.labels_and_seal().iter().map(|line| one_line(line, 200)).collect();
        let text = if beside.is_empty() { next } else { format!("{next} {}.", beside.join(". ")) };
        return sentence(frame, area, look, "Dataset", &text);
    }
    match look.tab.page {
        BANDS => scrolled(frame, area, look, "Bands", |columns| bands(look.theme, view, columns)),
        EXAMPLES => draw_examples(frame, area, look),
        ORDER => draw_order(frame, area, look),
        MASK => draw_mask(frame, area, look),
        _ => draw_report(frame, area, look),
    }
}

fn scrolled(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, lines: impl FnOnce(usize) -> Vec<Line<'static>>) {
    let inner = pane::pane(frame, area, look.theme, title, true);
    text::page(frame, inner, look.theme, lines(inner.width.into()), look.tab.scroll);
}

fn draw_report(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let view = &look.snapshot.dataset;
    let digest = view.digest.as_ref().map_or("", |digest| digest.short());
    let read = if view.acknowledged { "✓ acknowledged" } else { "? not acknowledged: read it before training" };
    let style = look.theme.style(Role::Text);
    scrolled(frame, area, look, &format!("Report {digest} · {read}"), |columns| {
        // The report's columns must stay under each other, so lines are cut, not wrapped.
        let beside = view.labels_and_seal();
        let gap = (!beside.is_empty()).then(String::new);
        let lines = beside.into_iter().chain(gap).chain(view.report.iter().cloned());
        lines.map(|line| Line::styled(text::cut(&safe_text(&line), columns), style)).collect()
    });
}

fn bands(theme: &Theme, view: &DatasetView, columns: usize) -> Vec<Line<'static>> {
    let most = view.bands.iter().map(|(_, train, epoch, held)| (*train).max(*epoch).max(*held)).max().unwrap_or(0);
    let length = columns.saturating_sub(14 + 2 + 10 + 2 + 6 + 2).min(60);
    let mut lines = Vec::new();
    for (band, train, epoch, held) in &view.bands {
        let mut name = one_line(band, 60);
        for (what, count, role) in
            [("train", train, Role::CurveA), ("per epoch", epoch, Role::Gauge), ("held out", held, Role::CurveB)]
        {
            let head = text::columns(&[(&std::mem::take(&mut name), 14), (what, 10), (&count.to_string(), -6)]);
            lines.push(Line::from(vec![
                Span::styled(format!("{head}  "), theme.style(Role::Text)),
                Span::styled(bar::bar(*count as f64, most as f64, length), theme.style(role)),
            ]));
        }
    }
    if !view.profiles.is_empty() {
        lines.push(Line::default());
        let header = text::columns(&[("reader", 24), ("train", -6), ("held out", -8)]);
        lines.push(Line::styled(header, theme.style(Role::Strong)));
    }
    for (reader, train, held) in &view.profiles {
        let row = text::columns(&[(&one_line(reader, 60), 24), (&train.to_string(), -6), (&held.to_string(), -8)]);
        lines.push(Line::styled(row, theme.style(Role::Text)));
    }
    lines
}

fn draw_examples(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let found = examples(look.snapshot, look.tab);
    if found.is_empty() {
        return empty_list(frame, area, look, "Examples", "The dataset has no examples: keep more traces and build it again.");
    }
    let title = list_title("Examples", look, found.len(), look.snapshot.dataset.examples.len());
    let inner = pane::pane(frame, area, look.theme, &title, true);
    let id = i16::try_from(usize::from(inner.width).saturating_sub(54).clamp(12, 60)).unwrap_or(12);
    let header = text::columns(&[("", 8), ("id", id), ("score", 6), ("band", 12), ("tokens", -6), ("×", -4)]);
    let list = List { header: &header, total: found.len(), selected: look.tab.selected };
    list.draw(frame, inner, look.theme, |index, columns| {
        let e = found[index];
        let line = text::columns(&[
            (if e.held_out { "held out" } else { "" }, 8),
            (&one_line(&e.id, 200), id),
            (&format!("{} {:>4.1}", heat::glyph(e.score), e.score), 6),
            (&one_line(&e.band, 40), 12),
            (&e.tokens.to_string(), -6),
            (&format!("×{}", e.repeats), -4),
        ]);
        let role = if e.held_out { Role::Accent } else { Role::Text };
        Line::styled(text::cut(&line, columns), look.theme.style(role))
    });
}

fn draw_order(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let order = &look.snapshot.dataset.order;
    if order.is_empty() {
        return sentence(frame, area, look, "Order", "No example is trained on: keep more traces and build the dataset again.");
    }
    let title = format!("Order: the first {} rows of the first epoch", order.len());
    scrolled(frame, area, look, &title, |columns| {
        let length = columns.saturating_sub(4 + 2 + 6 + 2 + 40 + 2).min(20);
        let row = |(index, (id, score)): (usize, &(String, f64))| {
            let head = text::columns(&[(&(index + 1).to_string(), -4)]);
            let id = text::pad(&one_line(id, 200), columns.saturating_sub(4 + 2 + 6 + 2 + 2 + length));
            let bar = bar::bar(*score, 10.0, length);
            let style = |role| look.theme.style(role);
            Line::from(vec![
                Span::styled(format!("{head}  "), style(Role::Dim)),
                heat::score(look.theme, *score),
                Span::styled(format!("  {id}  "), style(Role::Text)),
                Span::styled(bar, style(Role::Gauge)),
            ])
        };
        order.iter().enumerate().map(row).collect()
    });
}

fn draw_mask(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(mask) = &look.snapshot.dataset.mask else {
        return sentence(frame, area, look, "Mask", "No mask is shown: select an example and press m.");
    };
    let title = format!("Mask of {}", one_line(&mask.example, 200));
    scrolled(frame, area, look, &title, |columns| mask_lines(look.theme, mask, columns));
}

/// Trained tokens stand between ⟦ and ⟧ and in their own role; line feeds are drawn as ↵ and break the line.
fn mask_lines(theme: &Theme, mask: &MaskView, columns: usize) -> Vec<Line<'static>> {
    let trained = mask.tokens.iter().filter(|(_, trained)| *trained).count();
    let head = format!("{trained} of {} tokens are trained; they stand between ⟦ and ⟧.", mask.tokens.len());
    let mut lines = text::wrapped(theme, if trained == 0 { Role::Warn } else { Role::Strong }, &head, columns);
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
        let lines: Vec<String> = mask_lines(&Theme::default(), &mask, 60).iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "2 of 4 tokens are trained; they stand between ⟦ and ⟧.");
        assert_eq!(lines[2..4], ["<user>↵", "⟦SCORE: 7⟧↵"]);
    }

    #[test]
    fn a_mask_in_one_column_does_not_hang() {
        let mask = MaskView { example: "e".into(), tokens: vec![("日本\n".into(), true)] };
        assert!(mask_lines(&Theme::default(), &mask, 0).len() > 3);
    }
}
