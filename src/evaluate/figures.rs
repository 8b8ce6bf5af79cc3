//! Every figure of one draw of articles, the drawing of each once being the set itself. Owns how sums become figures; what
//! they are called in a report is `metrics`'.

use super::rank::weighted_pearson;
use super::table::{ARTICLE_SUMS, GROUP_FROM, HAIR, NONE, Reader, Table, sums};

macro_rules! figures {
    ($($name:ident),* $(,)?) => {
        /// The figures that are one number each. `None`: undefined.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(super) struct Figures {
            $(pub $name: Option<f64>,)*
            /// By band of the truth.
            pub band_mae: Vec<Option<f64>>,
            /// The constant that `skill` is measured against.
            pub constant: Option<f64>,
        }

        impl Figures {
            /// Their keys, in the order of `values`.
            pub const KEYS: &[&str] = &[$(stringify!($name)),*];

            pub fn values(&self) -> [Option<f64>; Self::KEYS.len()] {
                [$(self.$name),*]
            }
        }
    };
}

figures! {
    mae, rmse, bias, spearman, direction_accuracy, within_1, within_2, macro_band_mae, psr_spread, psr_spread_truth,
    contrast_ordered, contrast_by_2, psr_pairs, rho_within_profile, rho_within_article, skill, skill_macro, precision, recall, f1,
    mcc, recall_top_band, mean_spread, mean_spread_truth, modal_share,
}

/// How many rows, groups and pairs the figures are over.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counts {
    pub n: f64,
    pub parsed: f64,
    pub bands: Vec<f64>,
    pub contrast_pairs: f64,
    pub profile_groups: usize,
    pub article_groups: f64,
}

/// Memory of one draw, used again by the next.
pub(super) struct Scratch {
    /// Counts by (truth, prediction); the last column of each row is "unreadable".
    grid: Vec<u32>,
    points: Vec<Point>,
    truths_all: Vec<f64>,
    truths_parsed: Vec<f64>,
    predicted: Vec<f64>,
    tenths: Vec<f64>,
    ranks: Ranks,
}

/// Places of a truth and a prediction, and how many such rows the draw has.
#[derive(Debug, Clone, Copy)]
struct Point {
    truth: u32,
    predicted: u32,
    times: f64,
}

#[derive(Default)]
struct Ranks {
    truths: Vec<f64>,
    predictions: Vec<f64>,
}

impl Scratch {
    pub fn new(table: &Table) -> Self {
        let cells = table.truths.len() * (table.predictions.len() + 1);
        Self {
            grid: vec![0; if table.on_grid { cells } else { 0 }],
            points: Vec::new(),
            truths_all: vec![0.0; table.truths.len()],
            truths_parsed: vec![0.0; table.truths.len()],
            predicted: vec![0.0; table.predictions.len()],
            tenths: vec![0.0; table.tenths],
            ranks: Ranks::default(),
        }
    }

    /// What the draw has, as points.
    fn count(&mut self, table: &Table, times: &[u32]) {
        self.points.clear();
        let drawn = || table.by_article().zip(times).filter(|(_, times)| **times > 0);
        if !table.on_grid {
            for (cells, &times) in drawn() {
                let point = |c: &super::table::Cell| Point { truth: c.truth, predicted: c.predicted, times: f64::from(times) };
                self.points.extend(cells.iter().map(point));
            }
            return;
        }
        let width = table.predictions.len() + 1;
        self.grid.fill(0);
        for (cells, &times) in drawn() {
            for cell in cells {
                let column = (cell.predicted as usize).min(width - 1);
                self.grid[cell.truth as usize * width + column] += times;
            }
        }
        for (truth, row) in self.grid.chunks_exact(width).enumerate() {
            for (column, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                let predicted = if column + 1 == width { NONE } else { column as u32 };
                self.points.push(Point { truth: truth as u32, predicted, times: f64::from(count) });
            }
        }
    }

    /// Rows by truth and by prediction.
    fn marginals(&mut self, table: &Table) {
        for counts in [&mut self.truths_all, &mut self.truths_parsed, &mut self.predicted, &mut self.tenths] {
            counts.fill(0.0);
        }
        for point in &self.points {
            self.truths_all[point.truth as usize] += point.times;
            if point.predicted != NONE {
                self.truths_parsed[point.truth as usize] += point.times;
                self.predicted[point.predicted as usize] += point.times;
                self.tenths[table.tenth_of[point.predicted as usize] as usize] += point.times;
            }
        }
    }
}

/// The figures where article `i` is there `times[i]` times. `constant` as in `Metrics::compute`.
pub(super) fn figures(table: &Table, times: &[u32], constant: Option<f64>, scratch: &mut Scratch) -> (Figures, Counts) {
    scratch.count(table, times);
    scratch.marginals(table);
    let spearman = spearman(scratch);
    let rows = RowSums::of(table, &scratch.points);
    let articles = article_sums(table, times);
    let within = rho_within_readers(&table.readers, times, &mut scratch.ranks);
    let constant_error = |c: f64| -> f64 { table.truths.iter().zip(&scratch.truths_all).map(|(t, n)| n * (t - c).abs()).sum() };
    let own = constant.or_else(|| weighted_median(&table.truths, &scratch.truths_all));
    let (tp, fp, fneg, tn) = (rows.true_positive, rows.false_positive, rows.false_negative, rows.true_negative);
    let macro_band_mae = macro_band(&rows.bands);
    let figures = Figures {
        mae: ratio(rows.absolute, rows.n),
        rmse: ratio(rows.squared, rows.n).map(f64::sqrt),
        bias: ratio(rows.signed, rows.parsed),
        spearman,
        direction_accuracy: ratio(tp + tn, rows.n),
        within_1: ratio(rows.within_1, rows.n),
        within_2: ratio(rows.within_2, rows.n),
        macro_band_mae,
        psr_spread: ratio(articles[sums::PSR], articles[sums::SHARED]),
        psr_spread_truth: ratio(articles[sums::PSR_TRUTH], articles[sums::SHARED]),
        contrast_ordered: ratio(articles[sums::CONTRAST_ORDERED], articles[sums::CONTRAST_PAIRS]),
        contrast_by_2: ratio(articles[sums::CONTRAST_BY_2], articles[sums::CONTRAST_PAIRS]),
        psr_pairs: ratio(articles[sums::PSR_PAIRS_RIGHT], articles[sums::PSR_PAIRS]),
        rho_within_profile: ratio(within.0, within.1 as f64),
        rho_within_article: ratio(articles[sums::RHO], articles[sums::RHO_GROUPS]),
        skill: own.and_then(|c| ratio(rows.absolute, constant_error(c))).map(|share| 1.0 - share),
        skill_macro: macro_band_mae.and_then(|mae| skill_macro(table, &scratch.truths_all, &rows.bands, mae, constant)),
        precision: ratio(tp, tp + fp),
        recall: ratio(tp, tp + fneg),
        f1: ratio(2.0 * tp, 2.0 * tp + fp + fneg),
        mcc: ratio(tp * tn - fp * fneg, ((tp + fp) * (tp + fneg) * (tn + fp) * (tn + fneg)).sqrt()),
        recall_top_band: ratio(rows.top_found, rows.top_rows),
        mean_spread: ratio(articles[sums::SPREAD], articles[sums::SHARED]),
        mean_spread_truth: ratio(articles[sums::SPREAD_TRUTH], articles[sums::SHARED]),
        modal_share: ratio(scratch.tenths.iter().copied().fold(0.0, f64::max), rows.parsed),
        band_mae: rows.bands.iter().map(|&(error, n)| ratio(error, n)).collect(),
        constant: own,
    };
    let counts = Counts {
        n: rows.n,
        parsed: rows.parsed,
        bands: rows.bands.iter().map(|b| b.1).collect(),
        contrast_pairs: articles[sums::CONTRAST_PAIRS],
        profile_groups: within.1,
        article_groups: articles[sums::RHO_GROUPS],
    };
    (figures, counts)
}

/// a / b; `None` where b is 0.
pub(super) fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

/// What adds up over single rows. A failure is charged max(g − min, max − g) where error is measured, and is wrong everywhere
/// a row can be right.
#[derive(Debug, Default)]
struct RowSums {
    n: f64,
    parsed: f64,
    absolute: f64,
    squared: f64,
    signed: f64,
    within_1: f64,
    within_2: f64,
    true_positive: f64,
    false_positive: f64,
    false_negative: f64,
    true_negative: f64,
    top_rows: f64,
    top_found: f64,
    /// Charged error and rows, by band of the truth.
    bands: Vec<(f64, f64)>,
}

impl RowSums {
    fn of(table: &Table, points: &[Point]) -> Self {
        let mut all = Self { bands: vec![(0.0, 0.0); table.bands], ..Self::default() };
        for point in points {
            let (truth, times) = (table.truths[point.truth as usize], point.times);
            let band = table.band_of[point.truth as usize];
            let relevant = truth >= table.relevant_from;
            let predicted = (point.predicted != NONE).then(|| table.predictions[point.predicted as usize]);
            let charge = (truth - table.scale.0).max(table.scale.1 - truth);
            let error = predicted.map_or(charge, |p| (p - truth).abs());
            let says_relevant = predicted.map_or(!relevant, |p| p >= table.relevant_from);
            let top = band + 1 == table.bands;
            all.n += times;
            all.absolute += times * error;
            all.squared += times * error * error;
            all.bands[band].0 += times * error;
            all.bands[band].1 += times;
            match (relevant, says_relevant) {
                (true, true) => all.true_positive += times,
                (false, true) => all.false_positive += times,
                (true, false) => all.false_negative += times,
                (false, false) => all.true_negative += times,
            }
            all.top_rows += if top { times } else { 0.0 };
            if let Some(p) = predicted {
                all.parsed += times;
                all.signed += times * (p - truth);
                all.within_1 += if error <= 1.0 + HAIR { times } else { 0.0 };
                all.within_2 += if error <= 2.0 + HAIR { times } else { 0.0 };
                all.top_found += if top && table.predicted_top[point.predicted as usize] { times } else { 0.0 };
            }
        }
        all
    }
}

fn article_sums(table: &Table, times: &[u32]) -> [f64; ARTICLE_SUMS] {
    let mut all = [0.0; ARTICLE_SUMS];
    for (sums, &times) in table.sums.iter().zip(times).filter(|(_, times)| **times > 0) {
        let times = f64::from(times);
        for (total, sum) in all.iter_mut().zip(sums) {
            *total += times * sum;
        }
    }
    all
}

fn spearman(scratch: &mut Scratch) -> Option<f64> {
    ranks_of_counts(&scratch.truths_parsed, &mut scratch.ranks.truths);
    ranks_of_counts(&scratch.predicted, &mut scratch.ranks.predictions);
    let ranks = &scratch.ranks;
    let parsed = scratch.points.iter().filter(|p| p.predicted != NONE);
    weighted_pearson(parsed.map(|p| (ranks.truths[p.truth as usize], ranks.predictions[p.predicted as usize], p.times)))
}

/// Sum of Spearman's ρ inside readers with at least [`GROUP_FROM`] parsed rows in the draw where it is defined, and their
/// number.
fn rho_within_readers(readers: &[Reader], times: &[u32], ranks: &mut Ranks) -> (f64, usize) {
    let (mut sum, mut groups) = (0.0, 0);
    let (mut truths, mut predictions) = (Vec::new(), Vec::new());
    for reader in readers {
        truths.clear();
        truths.resize(reader.truths, 0.0);
        predictions.clear();
        predictions.resize(reader.predictions, 0.0);
        let mut n = 0.0;
        for cell in &reader.cells {
            let times = f64::from(times[cell.article as usize]);
            n += times;
            truths[cell.truth as usize] += times;
            predictions[cell.predicted as usize] += times;
        }
        if n < GROUP_FROM as f64 {
            continue;
        }
        ranks_of_counts(&truths, &mut ranks.truths);
        ranks_of_counts(&predictions, &mut ranks.predictions);
        // Average ranks always have the mean (n + 1) / 2, so one pass over the rows is enough.
        let mean = f64::midpoint(n, 1.0);
        let square =
            |counts: &[f64], ranks: &[f64]| -> f64 { counts.iter().zip(ranks).map(|(c, r)| c * (r - mean) * (r - mean)).sum() };
        let (xx, yy) = (square(&truths, &ranks.truths), square(&predictions, &ranks.predictions));
        if xx / n <= HAIR || yy / n <= HAIR {
            continue;
        }
        let product = |cell: &super::table::ReaderCell| {
            let times = f64::from(times[cell.article as usize]);
            times * (ranks.truths[cell.truth as usize] - mean) * (ranks.predictions[cell.predicted as usize] - mean)
        };
        let xy: f64 = reader.cells.iter().map(product).sum();
        sum += (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0);
        groups += 1;
    }
    (sum, groups)
}

/// Average ranks of ascending distinct values that occur `counts[i]` times.
fn ranks_of_counts(counts: &[f64], ranks: &mut Vec<f64>) {
    ranks.clear();
    let mut before = 0.0;
    for count in counts {
        ranks.push(before + f64::midpoint(*count, 1.0));
        before += count;
    }
}

/// Unweighted mean of the band MAEs over bands that have rows.
fn macro_band(bands: &[(f64, f64)]) -> Option<f64> {
    let maes: Vec<f64> = bands.iter().filter_map(|&(error, n)| ratio(error, n)).collect();
    ratio(maes.iter().sum(), maes.len() as f64)
}

fn skill_macro(table: &Table, truths: &[f64], bands: &[(f64, f64)], mae: f64, constant: Option<f64>) -> Option<f64> {
    let constant = constant.or_else(|| {
        let share = |i: usize| bands.get(table.band_of[i]).and_then(|&(_, n)| ratio(1.0, n)).unwrap_or(0.0);
        let weights: Vec<f64> = truths.iter().enumerate().map(|(i, count)| count * share(i)).collect();
        weighted_median(&table.truths, &weights)
    })?;
    let mut errors = vec![(0.0, 0.0); table.bands];
    for (i, (truth, count)) in table.truths.iter().zip(truths).enumerate() {
        errors[table.band_of[i]].0 += count * (truth - constant).abs();
        errors[table.band_of[i]].1 += count;
    }
    Some(1.0 - ratio(mae, macro_band(&errors)?)?)
}

/// The middle of ascending values that occur `weights[i]` times: any constant between its lower and upper end has the
/// least absolute error, and this is their midpoint.
fn weighted_median(values: &[f64], weights: &[f64]) -> Option<f64> {
    let half = weights.iter().sum::<f64>() / 2.0;
    if half <= 0.0 {
        return None;
    }
    let mut below = 0.0;
    let mut lower = None;
    for (&value, &weight) in values.iter().zip(weights).filter(|(_, w)| **w > 0.0) {
        if let Some(lower) = lower {
            return Some(f64::midpoint(lower, value));
        }
        below += weight;
        if below > half + HAIR {
            return Some(value);
        }
        if below > half - HAIR {
            lower = Some(value);
        }
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Bands;
    use crate::domain::recipe::Scale;
    use crate::evaluate::Row;
    use proptest::prelude::*;

    fn table(rows: &[Row]) -> Table {
        let scale = Scale { min: 0.0, max: 10.0, relevant_from: 5.0, forbidden: Vec::new() };
        Table::new(rows, &Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending"), &scale)
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let cell = (0u8..8, 0u8..6, 0u8..=100, prop::option::of(0u8..=100));
        prop::collection::vec(cell, 1..80).prop_map(|cells| {
            let tenth = |v: u8| f64::from(v) / 10.0;
            let row = |&(a, p, g, s): &(u8, u8, u8, Option<u8>)| Row {
                article: format!("a{a}"),
                profile: format!("p{p}"),
                truth: tenth(g),
                predicted: s.map(tenth),
            };
            cells.iter().map(row).collect()
        })
    }

    proptest! {
        #[test]
        fn counting_on_the_grid_gives_what_going_row_by_row_gives(
            rows in rows(), times in prop::collection::vec(0u32..4, 8), given in prop::option::of(0u8..=100)
        ) {
            let table = table(&rows);
            let row_by_row = Table { on_grid: false, ..table.clone() };
            let times = &times[..table.articles()];
            let constant = given.map(|c| f64::from(c) / 10.0);
            let (a, counts_a) = figures(&table, times, constant, &mut Scratch::new(&table));
            let (b, counts_b) = figures(&row_by_row, times, constant, &mut Scratch::new(&row_by_row));
            for ((key, x), y) in Figures::KEYS.iter().zip(a.values()).zip(b.values()) {
                match (x, y) {
                    (Some(x), Some(y)) => prop_assert!((x - y).abs() < 1e-9, "{}: {} {}", key, x, y),
                    (x, y) => prop_assert_eq!(x, y, "{}", key),
                }
            }
            prop_assert_eq!(counts_a, counts_b);
        }
    }

    #[test]
    fn a_scratch_that_was_used_before_changes_nothing() {
        let row = |a: &str, p: &str, truth, predicted| Row { article: a.into(), profile: p.into(), truth, predicted };
        let table = table(&[row("a", "x", 9.0, Some(8.0)), row("a", "y", 1.0, None), row("b", "x", 4.0, Some(4.5))]);
        let mut scratch = Scratch::new(&table);
        let first = figures(&table, &[1, 1], None, &mut scratch);
        figures(&table, &[3, 0], None, &mut scratch);
        assert_eq!(figures(&table, &[1, 1], None, &mut scratch), first);
    }
}
