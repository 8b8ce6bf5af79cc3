//! How good a student is, in numbers that do not mislead. Owns the metrics, their intervals, baselines and verdicts;
//! does not produce predictions and draws nothing.

mod baselines;
mod bootstrap;
mod cot;
mod evaluation;
mod isotonic;
mod metrics;
mod rank;
mod report;
mod rows;
mod sanity;
mod stats;
mod table;
mod verdict;

pub use baselines::{BASELINES, Baselines};
pub use bootstrap::{DRAWS, Intervals, intervals, percentile};
pub use cot::{CotItem, CotReport, TierDepth, measure_cot};
pub use evaluation::{Answered, BaselineMetrics, Evaluation, FEW_ROWS, Runtime, Subject};
pub use isotonic::{isotonic, isotonic_points};
pub use metrics::{BandMae, Metrics};
pub use rank::{average_ranks, spearman, weighted_pearson};
pub use report::{MetricsReport, REPORT_SEED, figure, metrics_of_file};
pub use rows::{Row, RowDefect, RowsError, read_rows};
pub use sanity::{Examinee, SanityGap, SanityReport, SanityRow, sanity};
pub use stats::{McNemar, cohens_h, mcnemar, mcnemar_exact, wilson};
pub use verdict::{Level, Verdict, judge};
