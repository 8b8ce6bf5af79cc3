//! The Distill tab: what the teacher's answers cost, where they are, what was rejected and why.
//!
//! Owns which of its four pages is drawn: cost, batches, rejects, samples, a file each. Prices, counts and receipts are
//! computed by the engine; nothing here can spend.

mod actions;
mod batches;
mod cost;
mod forms;
mod rejects;
mod samples;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::common::findings;
use super::{Look, Tab};
use crate::domain::Phase;
use crate::engine::Query;

const BATCHES: usize = 1;
const REJECTS: usize = 2;
const SAMPLES: usize = 3;

const PAGES: &[&str] = &["cost", "batches", "rejects", "samples"];

pub const TAB: Tab = Tab { phase: Phase::Distill, pages: PAGES, actions: actions::ACTIONS, rows, draw, wants };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(look: &Look<'_>) -> usize {
    let (snapshot, tab) = (look.snapshot, look.tab);
    match tab.page {
        BATCHES => batches::found(snapshot, tab).len(),
        REJECTS => rejects::view(look).map_or(0, |view| view.rows.len()),
        SAMPLES => samples::found(snapshot, tab).len(),
        _ => 0,
    }
}

fn wants(look: &Look<'_>) -> Vec<Query> {
    if look.tab.page == REJECTS { rejects::wants(look) } else { Vec::new() }
}

/// The selected row as text, for the clipboard: a request or an answer whole, a batch by the provider's id.
pub fn selected_text(look: &Look<'_>) -> Option<String> {
    let (snapshot, tab) = (look.snapshot, look.tab);
    match tab.page {
        BATCHES => batches::found(snapshot, tab).get(tab.selected).map(|batch| batch.remote.clone()),
        REJECTS => rejects::selected_text(look),
        SAMPLES => samples::found(snapshot, tab).get(tab.selected).map(|sample| sample.text.clone()),
        _ => None,
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Distill);
    match look.tab.page {
        BATCHES => batches::draw(frame, area, look),
        REJECTS => rejects::draw(frame, area, look),
        SAMPLES => samples::draw(frame, area, look),
        _ => cost::draw(frame, area, look),
    }
}
