//! See the crate docs.

pub mod rehearsal;
