//! Small drawing helpers that several tabs share.
//!
//! Owns how a pane, a list, a page of text, a bar and a heat strip look. Knows nothing of phases or of the snapshot:
//! callers bring lines that are already safe to draw.

pub mod bar;
pub mod heat;
pub mod list;
pub mod pane;
pub mod passage;
pub mod scroll;
pub mod text;
