//! From traces to a dataset: clusters, split, balance, order, statistics, export.
//!
//! Owns what happens to a [`Trace`](crate::domain::Trace) until a row of it is ready to be tokenised: which articles
//! are the same article, which side of the split a row is on, how often it repeats, in which order it is read, and
//! the figures an operator acknowledges. Does not own tokens, weights or the ledger; everything here is pure and
//! deterministic by seed, except [`export`], which writes to the paths it is given.

pub mod balance;
pub mod build;
pub mod checks;
pub mod cluster;
pub mod contrastive;
pub mod example;
pub mod export;
pub mod figures;
pub mod identity;
pub mod labels;
pub mod legacy;
pub mod order;
pub mod publish;
pub mod sampler;
pub mod seal;
pub mod seal_choice;
pub mod split;
pub mod stats;

mod keys;
mod near;
mod report;
mod seeded;
#[cfg(test)]
mod testing;
mod tokens;

pub use balance::{Balance, TargetOutcome, balance};
pub use build::{Dataset, DatasetError, QuarantineReason, Quarantined, Sources, build, by_preference};
pub use cluster::{ClusterId, Clusters, Join, JoinReason, Likeness, cluster};
pub use contrastive::{ContrastivePair, ScoredRow};
pub use example::{Example, Provenance, Selection, Side, SourcedTrace};
pub use export::{ExportError, ExportedRow, read_examples, write_examples};
pub use keys::{shingles, words};
pub use order::{OrderRow, order};
pub use sampler::{BandMix, Draws, SamplerReport};
pub use seal::{Held, Seal, SealError, Sealed, SealedCopy};
pub use split::{RowKey, Split, StratumShare, d3, split};
pub use stats::DatasetStats;
pub use tokens::{TokenLengths, TokenStats};
