//! What stands where on the screen that was drawn last, for the mouse.
//!
//! Owns the record alone. Drawing writes it and the loop reads it, on the one thread that has the terminal; the state never
//! sees a place, only what was meant. Nothing can be done with the mouse that no key does.

use std::cell::{Cell, RefCell};

use ratatui::layout::{Position, Rect};

/// Something that can be pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    Tab(usize),
    Page(usize),
    /// A row of the tab's list, by its place among the filtered ones.
    Row(usize),
    /// The detail pane.
    Detail,
    /// One of the panes that scroll on their own, by its place among the tab's.
    Pane(usize),
    /// The line between list and detail, and the columns it may move in.
    Divider {
        left: u16,
        width: u16,
    },
    /// An action of the footer, by its id.
    Act(&'static str),
}

thread_local! {
    static HITS: RefCell<Vec<(Rect, Hit)>> = const { RefCell::new(Vec::new()) };
    /// The divider that the button went down on: it is pulled until the button goes down elsewhere.
    static HELD: Cell<Option<(u16, u16)>> = const { Cell::new(None) };
}

/// Forgets the screen before.
pub fn clear() {
    HITS.with_borrow_mut(Vec::clear);
}

pub fn note(area: Rect, hit: Hit) {
    if !area.is_empty() {
        HITS.with_borrow_mut(|hits| hits.push((area, hit)));
    }
}

/// What is pointed at.
pub fn under(column: u16, row: u16) -> Option<Hit> {
    let place = Position { x: column, y: row };
    HITS.with_borrow(|hits| hits.iter().rev().find(|(area, _)| area.contains(place)).map(|(_, hit)| *hit))
}

/// What the button went down on.
pub fn at(column: u16, row: u16) -> Option<Hit> {
    let hit = under(column, row);
    HELD.set(match hit {
        Some(Hit::Divider { left, width }) => Some((left, width)),
        _ => None,
    });
    hit
}

/// The columns in which the held divider may move.
pub fn divider() -> Option<(u16, u16)> {
    HELD.get()
}
