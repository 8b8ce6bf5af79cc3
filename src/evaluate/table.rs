//! Rows grouped by article, with everything a bootstrap draw can add up instead of recomputing. Owns the sums and how
//! failures are charged; the figures made of them are `metrics`', the draws `bootstrap`'s.

use super::{Row, rank::weighted_pearson};
use crate::domain::{BandIndex, Bands, recipe::Scale};

/// Scores are decimals in binary: 8.1 − 5.1 is a hair below 3. Bounds are compared with this tolerance.
pub(super) const HAIR: f64 = 1e-9;

/// One usable row. A row whose truth is not a number of the scale is not one; `read_rows` never gives such rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub profile: String,
    pub truth: f64,
    pub predicted: Option<f64>,
    pub band: BandIndex,
    /// Positions in the tables of distinct values.
    truth_slot: usize,
    predicted_slot: Option<usize>,
}

macro_rules! sums {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// What adds up over articles.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(super) struct Sums {
            $($(#[$doc])* pub $field: f64,)*
            /// Charged absolute error and rows, by band of the truth.
            pub bands: Vec<(f64, f64)>,
        }

        impl Sums {
            pub fn add(&mut self, other: &Self, times: f64) {
                $(self.$field += times * other.$field;)*
                for (mine, theirs) in self.bands.iter_mut().zip(&other.bands) {
                    mine.0 += times * theirs.0;
                    mine.1 += times * theirs.1;
                }
            }
        }
    };
}

sums! {
    n, parsed,
    /// Charged.
    absolute,
    squared,
    /// Parsed rows only.
    signed,
    direction_right, within_1, within_2,
    true_positive, false_positive, false_negative, true_negative,
    top_rows, top_found,
    /// Articles with at least two profiles among parsed rows.
    shared, psr, psr_truth, spread, spread_truth,
    psr_pairs, psr_pairs_right,
    contrast_pairs, contrast_ordered, contrast_by_2,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    /// By article id, rows by profile: the order of a file changes no figure, not even in the last digit.
    pub articles: Vec<Vec<Cell>>,
    pub sums: Vec<Sums>,
    /// Distinct truths, ascending.
    pub truths: Vec<f64>,
    /// Distinct predictions, ascending.
    predictions: Vec<f64>,
}

/// The figures that have intervals.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Headline {
    pub mae: Option<f64>,
    pub rmse: Option<f64>,
    pub bias: Option<f64>,
    pub spearman: Option<f64>,
    pub direction_accuracy: Option<f64>,
    pub within_1: Option<f64>,
    pub within_2: Option<f64>,
    pub macro_band_mae: Option<f64>,
    pub psr_spread: Option<f64>,
    pub contrast_ordered: Option<f64>,
    pub skill: Option<f64>,
    /// The constant that `skill` is measured against.
    pub constant: Option<f64>,
}

/// a / b; `None` where b is 0.
pub(super) fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

impl Table {
    pub fn new(rows: &[Row], bands: &Bands, scale: &Scale) -> Self {
        let (min, max) = scale.range();
        let readable = |score: &f64| (min..=max).contains(score);
        let mut usable: Vec<(&Row, Option<f64>)> =
            rows.iter().filter(|row| readable(&row.truth)).map(|row| (row, row.predicted.filter(readable))).collect();
        usable.sort_by(|(a, p), (b, q)| {
            let by_name = (&a.article, &a.profile).cmp(&(&b.article, &b.profile));
            by_name.then(a.truth.total_cmp(&b.truth)).then(p.unwrap_or(-1.0).total_cmp(&q.unwrap_or(-1.0)))
        });
        let truths = distinct(usable.iter().map(|(row, _)| row.truth));
        let predictions = distinct(usable.iter().filter_map(|(_, p)| *p));
        let slot = |values: &[f64], value: f64| values.partition_point(|v| *v < value);
        let articles: Vec<Vec<Cell>> = usable
            .chunk_by(|(a, _), (b, _)| a.article == b.article)
            .map(|rows| {
                let cells = rows.iter().map(|&(row, predicted)| Cell {
                    profile: row.profile.clone(),
                    truth: row.truth,
                    predicted,
                    band: bands.index(row.truth),
                    truth_slot: slot(&truths, row.truth),
                    predicted_slot: predicted.map(|p| slot(&predictions, p)),
                });
                cells.collect()
            })
            .collect();
        let sums = articles.iter().map(|cells| sums_of(cells, bands, scale)).collect();
        Self { articles, sums, truths, predictions }
    }

    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.articles.iter().flatten()
    }

    /// The sums where article `i` is there `times[i]` times.
    pub fn total(&self, times: &[u32]) -> Sums {
        let bands = self.sums.first().map_or(0, |s| s.bands.len());
        let mut total = Sums { bands: vec![(0.0, 0.0); bands], ..Sums::default() };
        for (sums, &times) in self.sums.iter().zip(times).filter(|(_, times)| **times > 0) {
            total.add(sums, f64::from(times));
        }
        total
    }

    /// The headline figures where article `i` is there `times[i]` times, without sorting anything again.
    pub fn headline(&self, times: &[u32], constant: Option<f64>) -> Headline {
        let total = self.total(times);
        let mut truths_all = vec![0.0; self.truths.len()];
        let mut truths_parsed = vec![0.0; self.truths.len()];
        let mut predicted = vec![0.0; self.predictions.len()];
        for (cells, &times) in self.articles.iter().zip(times).filter(|(_, times)| **times > 0) {
            for cell in cells {
                truths_all[cell.truth_slot] += f64::from(times);
                if let Some(slot) = cell.predicted_slot {
                    truths_parsed[cell.truth_slot] += f64::from(times);
                    predicted[slot] += f64::from(times);
                }
            }
        }
        let (truth_ranks, predicted_ranks) = (ranks_of_counts(&truths_parsed), ranks_of_counts(&predicted));
        let points = self.articles.iter().zip(times).filter(|(_, times)| **times > 0).flat_map(|(cells, &times)| {
            let (truth_ranks, predicted_ranks) = (&truth_ranks, &predicted_ranks);
            cells.iter().filter_map(move |cell| {
                let slot = cell.predicted_slot?;
                Some((truth_ranks[cell.truth_slot], predicted_ranks[slot], f64::from(times)))
            })
        });
        let constant = constant.or_else(|| weighted_median(&self.truths, &truths_all));
        let constant_error: Option<f64> =
            constant.map(|c| self.truths.iter().zip(&truths_all).map(|(truth, count)| count * (truth - c).abs()).sum());
        Headline {
            mae: ratio(total.absolute, total.n),
            rmse: ratio(total.squared, total.n).map(f64::sqrt),
            bias: ratio(total.signed, total.parsed),
            spearman: weighted_pearson(points),
            direction_accuracy: ratio(total.direction_right, total.n),
            within_1: ratio(total.within_1, total.n),
            within_2: ratio(total.within_2, total.n),
            macro_band_mae: macro_band(&total.bands),
            psr_spread: ratio(total.psr, total.shared),
            contrast_ordered: ratio(total.contrast_ordered, total.contrast_pairs),
            skill: constant_error.and_then(|error| ratio(total.absolute, error)).map(|share| 1.0 - share),
            constant,
        }
    }
}

/// Unweighted mean of the band MAEs over bands that have rows.
pub(super) fn macro_band(bands: &[(f64, f64)]) -> Option<f64> {
    let maes: Vec<f64> = bands.iter().filter_map(|&(error, n)| ratio(error, n)).collect();
    ratio(maes.iter().sum(), maes.len() as f64)
}

/// The middle of ascending values that occur `weights[i]` times: any constant between its lower and upper end has the
/// least absolute error, and this is their midpoint.
pub(super) fn weighted_median(values: &[f64], weights: &[f64]) -> Option<f64> {
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

/// Average ranks of ascending distinct values that occur `counts[i]` times.
fn ranks_of_counts(counts: &[f64]) -> Vec<f64> {
    let mut before = 0.0;
    let mut ranks = Vec::with_capacity(counts.len());
    for count in counts {
        ranks.push(before + f64::midpoint(*count, 1.0));
        before += count;
    }
    ranks
}

fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

fn one_if(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// The sums of one article. A failure is charged max(g − min, max − g) where error is measured, and is wrong
/// everywhere a row can be right.
fn sums_of(cells: &[Cell], bands: &Bands, scale: &Scale) -> Sums {
    let mut sums = Sums { bands: vec![(0.0, 0.0); bands.len()], ..Sums::default() };
    let top = bands.len() - 1;
    for cell in cells {
        let relevant = cell.truth >= scale.relevant_from;
        let charge = (cell.truth - scale.min).max(scale.max - cell.truth);
        let error = cell.predicted.map_or(charge, |p| (p - cell.truth).abs());
        let says_relevant = cell.predicted.map_or(!relevant, |p| p >= scale.relevant_from);
        sums.n += 1.0;
        sums.absolute += error;
        sums.squared += error * error;
        sums.bands[cell.band].0 += error;
        sums.bands[cell.band].1 += 1.0;
        sums.direction_right += one_if(says_relevant == relevant);
        sums.true_positive += one_if(relevant && says_relevant);
        sums.false_positive += one_if(!relevant && says_relevant);
        sums.false_negative += one_if(relevant && !says_relevant);
        sums.true_negative += one_if(!relevant && !says_relevant);
        sums.top_rows += one_if(cell.band == top);
        if let Some(p) = cell.predicted {
            sums.parsed += 1.0;
            sums.signed += p - cell.truth;
            sums.within_1 += one_if(error <= 1.0 + HAIR);
            sums.within_2 += one_if(error <= 2.0 + HAIR);
            sums.top_found += one_if(cell.band == top && bands.index(p) == top);
        }
    }
    add_spreads(&mut sums, cells);
    add_pairs(&mut sums, cells);
    sums
}

fn add_spreads(sums: &mut Sums, cells: &[Cell]) {
    let parsed: Vec<(&str, f64, f64)> =
        cells.iter().filter_map(|c| c.predicted.map(|p| (c.profile.as_str(), c.truth, p))).collect();
    if parsed.iter().all(|(profile, ..)| *profile == parsed[0].0) {
        return;
    }
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    let spread = range(&mut parsed.iter().map(|p| p.2));
    let spread_truth = range(&mut parsed.iter().map(|p| p.1));
    sums.shared += 1.0;
    sums.spread += spread;
    sums.spread_truth += spread_truth;
    sums.psr += one_if(spread >= 2.0 - HAIR);
    sums.psr_truth += one_if(spread_truth >= 2.0 - HAIR);
}

fn add_pairs(sums: &mut Sums, cells: &[Cell]) {
    for (i, a) in cells.iter().enumerate() {
        for b in &cells[i + 1..] {
            let (high, low) = if a.truth >= b.truth { (a, b) } else { (b, a) };
            let truth_gap = high.truth - low.truth;
            let gap = high.predicted.zip(low.predicted).map(|(h, l)| h - l);
            if let Some(gap) = gap
                && truth_gap >= 2.0 - HAIR
            {
                sums.psr_pairs += 1.0;
                sums.psr_pairs_right += one_if(gap >= 1.0 - HAIR);
            }
            if truth_gap >= 3.0 - HAIR {
                sums.contrast_pairs += 1.0;
                sums.contrast_by_2 += one_if(gap.is_some_and(|gap| gap >= 2.0 - HAIR));
                sums.contrast_ordered += gap.map_or(0.0, |gap| if gap.abs() <= HAIR { 0.5 } else { one_if(gap > 0.0) });
            }
        }
    }
}
