//! How good a student is, in numbers that do not mislead. Owns the metrics, their intervals, baselines and verdicts;
//! does not produce predictions and draws nothing.

mod metrics;
mod rank;
mod rows;
mod table;

pub use metrics::{BandMae, Metrics};
pub use rank::{average_ranks, spearman, weighted_pearson};
pub use rows::{Row, RowDefect, RowsError, read_rows};
