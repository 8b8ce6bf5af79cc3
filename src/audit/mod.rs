//! The audit: think blocks that a person reads, in which order, and what the verdicts add up to.
//!
//! Owns the book of verdicts as it stands, the queue and its order, blind repeats and the reviewer's agreement with
//! herself, the table of results and its export, and the anatomy of a think block for reading. Verdicts are the operator's
//! and live in the ledger; what a rejection does to the dataset is `dataset`'s, asking the teacher again is `distill`'s.

mod anatomy;
mod book;
mod consistency;
mod effects;
mod export;
mod filter;
mod queue;
mod repeats;
mod results;

pub use anatomy::{Anatomy, Part, PartKind, anatomy, argues_for, names};
pub use book::{Book, Standing};
pub use consistency::{Consistency, ENOUGH_REPEATS, cohen_kappa, consistency};
pub use effects::{Effects, Fixed, SentBack};
pub use export::{ExportFormat, ExportRow, export};
pub use filter::{Facts, Filter, FilterError};
pub use queue::{Basis, Candidate, QueueOrder, Queued, e3, queue};
pub use repeats::{REPEAT_EVERY, due};
pub use results::{AuthorResults, FEW_READ, Read, ResultRow, Results, Share, results};

/// How many blocks make an audit: the share of faithful ones is then known to about ±14 points.
pub const TARGET: usize = 50;
