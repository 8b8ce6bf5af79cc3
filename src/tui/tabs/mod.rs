//! The eight tabs: one file and one line of the table each.
//!
//! Owns the contract between the shell and a tab. A tab draws what the snapshot holds and says how many rows can be
//! selected; keys, dialogs and everything that waits are the shell's.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::actions::Action;
use super::shelf::Shelf;
use super::theme::Theme;
use super::widgets::pane::Share;
use super::widgets::scroll::Scroll;
use crate::domain::{Phase, UnixMillis};
use crate::engine::{Query, Snapshot};

mod common;
pub use common::age;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

/// Every tab is a module and one line here: it has a `TAB` and a `State` of its own.
macro_rules! tabs {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// What each tab remembers for itself.
        #[derive(Debug, Default)]
        pub struct Own {
            $(pub $name: $name::State,)*
        }

        /// All tabs, in the order of their keys 1-8.
        pub const TABS: [Tab; 8] = [$($name::TAB),*];
    };
}

tabs! {
    profiles
    articles
    distill
    dataset
    train
    validate
    audit
    deploy
}

/// What the operator did to a tab, alike on all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TabState {
    /// Selected row among the filtered ones; the shell keeps it below [`Tab::rows`].
    pub selected: usize,
    /// Lines scrolled in the detail pane.
    pub scroll: Scroll,
    /// The detail pane has the focus: up and down scroll it.
    pub detail: bool,
    /// Lower case; empty = everything.
    pub filter: String,
    /// Which of the tab's [`Tab::pages`] is shown.
    pub page: usize,
    /// How much of the tab its list has.
    pub share: Share,
}

/// What a tab draws from.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub snapshot: &'a Snapshot,
    pub tab: &'a TabState,
    pub own: &'a Own,
    pub shelf: &'a Shelf,
    pub theme: &'a Theme,
    pub now: UnixMillis,
}

/// One tab.
pub struct Tab {
    pub phase: Phase,
    /// Names of its pages; one name = one page.
    pub pages: &'static [&'static str],
    /// What can be done on this tab alone.
    pub actions: &'static [Action],
    /// Rows that can be selected, after the filter.
    pub rows: fn(&Look<'_>) -> usize,
    /// Draws the body of the tab.
    pub draw: fn(&mut Frame<'_>, Rect, &Look<'_>),
    /// What it needs from the library to be drawn as it stands; the shell asks what it does not have.
    pub wants: fn(&Look<'_>) -> Vec<Query>,
}

/// For tabs that need nothing from the library.
pub fn wants_nothing(_: &Look<'_>) -> Vec<Query> {
    Vec::new()
}
