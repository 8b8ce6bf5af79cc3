//! The Distill tab: what the teacher's answers cost, where they are, what was rejected and why.
//!
//! Owns which of its four pages is drawn: cost, batches, rejects, samples, a file each. Prices, counts and receipts are
//! computed by the engine; nothing here can spend.

mod actions;
mod batches;
mod cost;
mod rejects;
mod samples;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::common::findings;
use super::{Look, Tab, wants_nothing};
use crate::domain::Phase;

const BATCHES: usize = 1;
const REJECTS: usize = 2;
const SAMPLES: usize = 3;

pub const TAB: Tab = Tab { phase: Phase::Distill, pages: &["cost", "batches", "rejects", "samples"], actions: actions::ACTIONS, rows, draw, wants: wants_nothing };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(look: &Look<'_>) -> usize {
    let (snapshot, tab) = (look.snapshot, look.tab);
    match tab.page {
        BATCHES => batches::found(snapshot, tab).len(),
        REJECTS => rejects::found(snapshot, tab).len(),
        SAMPLES => samples::found(snapshot, tab).len(),
        _ => 0,
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
