//! Which rows of a tab are visible, for actions that need the selected one.
//!
//! Owns the filters that both a tab's drawing and its actions use; the selection itself is [`TabState`]'s.

use super::tabs::TabState;
use crate::engine::{ExampleView, Snapshot};

/// Examples whose id contains the filter.
pub fn visible_examples<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a ExampleView> {
    snapshot.dataset.examples.iter().filter(|e| e.id.to_lowercase().contains(&tab.filter)).collect()
}

pub fn selected_example<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Option<&'a ExampleView> {
    visible_examples(snapshot, tab).get(tab.selected).copied()
}
