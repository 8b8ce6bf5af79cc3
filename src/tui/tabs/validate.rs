//! The Validate tab.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::{Look, TabState};
use crate::engine::Snapshot;

pub fn rows(_snapshot: &Snapshot, _tab: &TabState) -> usize {
    0
}

pub fn draw(_frame: &mut Frame<'_>, _area: Rect, _look: &Look<'_>) {}
