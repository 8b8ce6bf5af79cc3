//! The eight tabs: one file and one line of the table each.
//!
//! Owns the contract between the shell and a tab. A tab draws what the snapshot holds and says how many rows can be
//! selected; keys, dialogs and everything that waits are the shell's.

mod articles;
mod audit;
mod common;
mod dataset;
mod deploy;
mod distill;
mod profiles;
#[cfg(test)]
mod tests_a;
mod train;
mod validate;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::theme::Theme;
use crate::domain::{Phase, UnixMillis};
use crate::engine::Snapshot;

/// What the operator did to a tab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TabState {
    /// Selected row among the filtered ones; the shell keeps it below [`Tab::rows`].
    pub selected: usize,
    /// Lines scrolled in the detail pane.
    pub scroll: u16,
    /// The detail pane has the focus: up and down scroll it.
    pub detail: bool,
    /// Lower case; empty = everything.
    pub filter: String,
    /// Which of a tab's views is shown (Distill: 0 cost, 1 batches, 2 rejects, 3 samples; Dataset: 0 report, 1 bands, 2 examples, 3 order, 4 mask;
    /// Validate: 0 metrics, 1 sanity, 2 think, 3 worst); others have one.
    pub page: usize,
}

/// What a tab draws from.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub snapshot: &'a Snapshot,
    pub tab: &'a TabState,
    pub theme: &'a Theme,
    pub now: UnixMillis,
}

/// One tab.
pub struct Tab {
    pub phase: Phase,
    /// Names of its pages; one name = one page.
    pub pages: &'static [&'static str],
    /// Rows that can be selected, after the filter.
    pub rows: fn(&Snapshot, &TabState) -> usize,
    /// Draws the body of the tab.
    pub draw: fn(&mut Frame<'_>, Rect, &Look<'_>),
}

/// All tabs, in the order of their keys 1-8.
pub const TABS: [Tab; 8] = [
    Tab { phase: Phase::Profiles, pages: &["readers"], rows: profiles::rows, draw: profiles::draw },
    Tab { phase: Phase::Articles, pages: &["articles"], rows: articles::rows, draw: articles::draw },
    Tab { phase: Phase::Distill, pages: &["cost", "batches", "rejects", "samples"], rows: distill::rows, draw: distill::draw },
    Tab {
        phase: Phase::Dataset,
        pages: &["report", "bands", "examples", "order", "mask"],
        rows: dataset::rows,
        draw: dataset::draw,
    },
    Tab { phase: Phase::Train, pages: &train::PAGES, rows: train::rows, draw: train::draw },
    Tab { phase: Phase::Validate, pages: &["metrics", "sanity", "think", "worst"], rows: validate::rows, draw: validate::draw },
    Tab { phase: Phase::Audit, pages: &["think blocks"], rows: audit::rows, draw: audit::draw },
    Tab { phase: Phase::Deploy, pages: &["releases"], rows: deploy::rows, draw: deploy::draw },
];
