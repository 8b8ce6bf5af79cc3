//! How good a student is, in numbers that do not mislead. Owns the metrics, their intervals, baselines and verdicts;
//! does not produce predictions and draws nothing.

mod agreement;
mod baselines;
mod bootstrap;
mod calibration;
mod causes;
mod checks;
mod cot;
mod evaluation;
mod faithfulness;
mod figures;
mod floor;
mod groups;
mod isotonic;
mod metrics;
mod paired;
mod plots;
mod probes;
mod profile_swap;
mod rank;
mod report;
mod report_doc;
mod report_parts;
mod report_records;
mod report_rows;
mod rows;
mod runs_compare;
mod runs_words;
mod sample;
mod sanity;
mod selftest;
mod show;
mod stats;
mod swap;
mod table;
#[cfg(test)]
mod testing;
mod verdict;

pub use agreement::{Agreement, Breach, SignalMark, agreement, breach, signal_marks, signals};
pub use baselines::{BASELINES, Baselines};
pub use bootstrap::{DRAWS, Intervals, intervals, mean_interval, percentile};
pub use calibration::{CALIBRATE_FROM, Calibration, Readout};
pub use causes::causes;
pub use cot::{CotItem, CotReport, TierDepth, measure_cot};
pub use evaluation::{
    Answered, BaselineMetrics, Evaluation, FEW_ROWS, Given, JudgedRow, Material, RowSet, Runtime, SanityScore, Subject,
};
pub use faithfulness::{COSMETIC_ABOVE, CUTS, CutRow, CutShare, Faithfulness, cut, faithfulness};
pub use floor::{FLOOR_FROM, NoiseFloor, d19};
pub use groups::{GROUPED_BY, Group, groups};
pub use isotonic::{isotonic, isotonic_points};
pub use metrics::{BandMae, Metrics};
pub use paired::{Difference, Nearer, Outcome, PAIRED_DRAWS, Paired, PairedRow, SIGNIFICANT, Sides, charged, decide, paired};
pub use probes::Probes;
pub use profile_swap::{Awareness, ProfileRow3, ProfileSwap, SQUARE, Spreads, Square, awareness, neutral_profile, profile_swap};
pub use rank::{average_ranks, spearman, weighted_pearson};
pub use report::{MetricsReport, REPORT_SEED, figure, metrics_of_file};
pub use report_doc::{Block, Document, Grid, Section};
pub use report_parts::{Guarded, LossCurve, ReportInput, report};
pub use report_rows::tier_words;
pub use rows::{Row, RowDefect, RowsError, read_rows};
pub use runs_compare::{
    AgainstFirst, Change, Ground, Run, RunComparison, RunDisagreement, RunLabel, RunRow, RunsError, changes, compare_runs,
};
pub use runs_words::{p_words, verdict_of};
pub use sample::stratified;
pub use sanity::{Examinee, SanityGap, SanityReport, SanityRow, sanity};
pub use selftest::{e7, e7_of};
pub use show::{evaluation_lines, part_lines};
pub use stats::{McNemar, cohens_h, holm, mcnemar, mcnemar_exact, wilson};
pub use swap::{Memorisation, SHIFT_BELOW, SwapRow, Swapped, memorisation, swap_names};
pub use verdict::{Level, Verdict, judge};
