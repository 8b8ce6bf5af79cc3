//! How far a text is scrolled.
//!
//! Owns the one number, and that it never stays beyond the text's end: only drawing knows how long a text is in these columns,
//! so drawing brings it back. A key that was pressed too often on the way down costs none on the way up.

use std::cell::Cell;

/// Lines above the first that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scroll(Cell<u16>);

impl From<u16> for Scroll {
    fn from(lines: u16) -> Self {
        Self(Cell::new(lines))
    }
}

impl Scroll {
    pub fn lines(&self) -> u16 {
        self.0.get()
    }

    /// Down by so many lines; negative: up.
    pub fn by(&mut self, lines: i32) {
        let to = i32::from(self.0.get()).saturating_add(lines).clamp(0, u16::MAX.into());
        self.0.set(u16::try_from(to).unwrap_or_default());
    }

    /// The first line that is shown where `furthest` is the last that can be; it is remembered.
    pub fn within(&self, furthest: usize) -> usize {
        let first = usize::from(self.0.get()).min(furthest);
        self.0.set(u16::try_from(first).unwrap_or(u16::MAX));
        first
    }
}
