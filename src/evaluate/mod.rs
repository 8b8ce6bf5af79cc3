//! How good a student is, in numbers that do not mislead. Owns the metrics, their intervals, baselines and verdicts;
//! does not produce predictions and draws nothing.

mod rank;
mod rows;

pub use rank::{average_ranks, spearman, weighted_pearson};
pub use rows::{Row, RowDefect, RowsError, read_rows};
