//! Curves, gauges and bars.
//!
//! Owns how numbers become marks on a grid of cells. Does not know where the numbers come from or which tab shows them.

pub mod canvas;
#[cfg(test)]
pub(super) mod fixture;
pub(super) mod parts;
pub mod plot;
pub mod series;
pub mod signs;
