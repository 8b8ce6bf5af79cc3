//! See the crate docs.
pub mod ops;
