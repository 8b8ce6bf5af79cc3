//! The Dataset tab: is it balanced, split cleanly, within length, and what does the loss see?
//!
//! Owns which of its pages is drawn, a file each, and what they ask of the library. Figures, orders and masks are computed
//! by the engine.

mod actions;
mod balance;
mod examples;
mod guards;
mod labels;
mod mask;
mod order;
mod pairs;
mod quarantine;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::common::{findings, next_step, sentence, waiting};
use super::{Look, Tab};
use crate::domain::{Phase, safe_text};
use crate::engine::{Answer, DatasetIndex, Query};
use crate::tui::theme::Role;
use crate::tui::widgets::{pane, text};

const BALANCE: usize = 1;
const PAIRS: usize = 2;
const TOKENS: usize = 3;
const EXAMPLES: usize = 4;
const MASK: usize = 5;
const ORDER: usize = 6;
const QUARANTINE: usize = 7;
const LABELS: usize = 8;
const GUARDS: usize = 9;

const PAGES: &[&str] =
    &["report", "balance", "pairs", "tokens", "examples", "mask", "order", "quarantine", "labels", "guards"];

pub const TAB: Tab = Tab { phase: Phase::Dataset, pages: PAGES, actions: actions::ACTIONS, rows, draw, wants };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State {
    /// The example whose mask is shown.
    pub masked: Option<String>,
}

/// The index, once the library has read it.
fn index<'a>(look: &Look<'a>) -> Option<&'a Arc<DatasetIndex>> {
    match look.shelf.get(&Query::Dataset) {
        Some(Answer::Dataset(index)) => Some(index),
        _ => None,
    }
}

fn wants(look: &Look<'_>) -> Vec<Query> {
    if look.snapshot.dataset.digest.is_none() {
        return Vec::new();
    }
    let more = match look.tab.page {
        PAIRS => pairs::wants(look),
        EXAMPLES => examples::wants(look),
        MASK => mask::wants(look),
        ORDER => vec![Query::Sampler],
        QUARANTINE => vec![quarantine::query(look)],
        BALANCE | TOKENS => Vec::new(),
        _ => return Vec::new(),
    };
    [Query::Dataset].into_iter().chain(more).collect()
}

pub fn rows(look: &Look<'_>) -> usize {
    match look.tab.page {
        GUARDS => guards::found(look).len(),
        _ if look.snapshot.dataset.digest.is_none() => 0,
        PAIRS => pairs::found(look).len(),
        EXAMPLES => examples::found(look).map_or(0, |found| found.len()),
        ORDER => index(look).map_or(0, |index| index.order.len()),
        QUARANTINE => quarantine::view(look).map_or(0, |view| view.rows.len()),
        _ => 0,
    }
}

/// The selected row as text, for the clipboard.
pub fn selected_text(look: &Look<'_>) -> Option<String> {
    match look.tab.page {
        0 => Some(look.snapshot.dataset.report.join("\n")).filter(|text| !text.is_empty()),
        EXAMPLES => examples::selected(look).map(|row| row.id.clone()),
        MASK => look.own.dataset.masked.clone(),
        _ => None,
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = if look.tab.page == GUARDS { area } else { findings(frame, area, look, Phase::Dataset) };
    match look.tab.page {
        LABELS => return labels::draw(frame, area, look),
        GUARDS => return guards::draw(frame, area, look),
        _ => {}
    }
    let view = &look.snapshot.dataset;
    if view.digest.is_none() {
        let run = "There is no dataset yet: run this phase to build it from the kept traces.";
        let next = next_step(look.snapshot, Phase::Dataset, run, run);
        let beside: Vec<String> = view.labels_and_seal().iter().map(|line| safe_text(line)).collect();
        let text = if beside.is_empty() { next } else { format!("{next} {}.", beside.join(". ")) };
        return sentence(frame, area, look, "Dataset", &text);
    }
    if look.tab.page == 0 || look.tab.page > GUARDS {
        return draw_report(frame, area, look);
    }
    if look.tab.page == MASK {
        return mask::draw(frame, area, look);
    }
    let Some(index) = index(look) else {
        return waiting(frame, area, look, "Dataset", &Query::Dataset);
    };
    match look.tab.page {
        BALANCE => balance::draw(frame, area, look, index),
        PAIRS => pairs::draw(frame, area, look, index),
        TOKENS => tokens::draw(frame, area, look, index),
        EXAMPLES => examples::draw(frame, area, look, index),
        ORDER => order::draw(frame, area, look, index),
        _ => quarantine::draw(frame, area, look),
    }
}

/// A pane that is read by scrolling it.
fn scrolled(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, title: &str, lines: impl FnOnce(usize) -> Vec<Line<'static>>) {
    let inner = pane::pane(frame, area, look.theme, title, true);
    text::page(frame, inner, look.theme, lines(inner.width.into()), &look.tab.scroll);
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
