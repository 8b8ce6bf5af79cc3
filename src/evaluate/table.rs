//! Rows grouped by article, in the form in which a million of them are measured a thousand times. Owns the layout, what
//! adds up over articles, and how failures are charged; the figures made of it are `figures`', the draws `bootstrap`'s.
//!
//! Scores are places in tables of distinct values. Where both tables are short (scores on a grid of 0.1) a draw counts how
//! often each (truth, prediction) occurs, and every figure of single rows is a sum over those counts; else it goes row by
//! row. Both ways give the same figures.

use std::collections::HashMap;

use super::Row;
use super::rank::spearman;
use crate::domain::{BandIndex, Bands, recipe::Scale};

/// Scores are decimals in binary: 8.1 − 5.1 is a hair below 3. Bounds are compared with this tolerance.
pub(super) const HAIR: f64 = 1e-9;

/// The place of "no readable score".
pub(super) const NONE: u32 = u32::MAX;

/// Groups smaller than this have no ρ worth averaging.
pub(super) const GROUP_FROM: usize = 5;

/// Largest table of (truth, prediction) counts: 32 MB a thread.
const LARGEST_GRID: usize = 4 << 20;

/// One usable row. A row whose truth is not a number of the scale is not one; `read_rows` never gives such rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub truth: u32,
    /// [`NONE`]: unreadable.
    pub predicted: u32,
}

/// A parsed row of a reader, its scores as places among the reader's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReaderCell {
    pub article: u32,
    pub truth: u32,
    pub predicted: u32,
}

/// One reader's rows.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub cells: Vec<ReaderCell>,
    /// Distinct truths and predictions.
    pub truths: usize,
    pub predictions: usize,
}

/// What adds up over the articles of a draw, beside single rows.
pub(super) const ARTICLE_SUMS: usize = 12;

/// Of one article: articles with at least two readers among parsed rows, those with a spread of 2 (student's, teacher's),
/// the spreads, pairs and contrasts, and ρ inside.
pub(super) mod sums {
    pub const SHARED: usize = 0;
    pub const PSR: usize = 1;
    pub const PSR_TRUTH: usize = 2;
    pub const SPREAD: usize = 3;
    pub const SPREAD_TRUTH: usize = 4;
    pub const PSR_PAIRS: usize = 5;
    pub const PSR_PAIRS_RIGHT: usize = 6;
    pub const CONTRAST_PAIRS: usize = 7;
    pub const CONTRAST_ORDERED: usize = 8;
    pub const CONTRAST_BY_2: usize = 9;
    pub const RHO: usize = 10;
    pub const RHO_GROUPS: usize = 11;
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Article `i` has the cells `starts[i]..starts[i + 1]`. Articles are by id, rows by reader: the order of a file changes no
    /// figure, not even in the last digit.
    pub starts: Vec<u32>,
    pub cells: Vec<Cell>,
    pub sums: Vec<[f64; ARTICLE_SUMS]>,
    pub readers: Vec<Reader>,
    /// Distinct truths, ascending.
    pub truths: Vec<f64>,
    /// Distinct predictions, ascending.
    pub predictions: Vec<f64>,
    /// By place of the truth.
    pub band_of: Vec<BandIndex>,
    /// By place of the prediction: whether it lies in the top band; which tenth it rounds to, in order.
    pub predicted_top: Vec<bool>,
    pub tenth_of: Vec<u32>,
    pub tenths: usize,
    pub bands: usize,
    pub scale: (f64, f64),
    pub relevant_from: f64,
    /// Whether draws are counted on the grid.
    pub on_grid: bool,
}

/// Takes rows one by one; names are kept once.
#[derive(Debug, Default)]
pub(super) struct TableBuilder {
    articles: Names,
    profiles: Names,
    rows: Vec<Taken>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    article: u32,
    profile: u32,
    truth: f64,
    /// NaN: unreadable.
    predicted: f64,
}

#[derive(Debug, Default)]
struct Names {
    places: HashMap<Box<str>, u32>,
}

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.places.len() as u32;
        self.places.insert(name.into(), place);
        place
    }

    /// For each place its position in the order of the names.
    fn order(self) -> Vec<u32> {
        let mut names: Vec<(Box<str>, u32)> = self.places.into_iter().collect();
        names.sort_unstable();
        let mut order = vec![0; names.len()];
        for (position, (_, place)) in names.into_iter().enumerate() {
            order[place as usize] = position as u32;
        }
        order
    }
}

impl TableBuilder {
    /// The numbers of this article and reader, which name them from now on.
    pub fn pair(&mut self, article: &str, profile: &str) -> (u32, u32) {
        (self.articles.place(article), self.profiles.place(profile))
    }

    /// Takes a row; the truth lies on the scale.
    pub fn push(&mut self, (article, profile): (u32, u32), truth: f64, predicted: Option<f64>) {
        self.rows.push(Taken { article, profile, truth, predicted: predicted.unwrap_or(f64::NAN) });
    }

    pub fn finish(self, bands: &Bands, scale: &Scale) -> Table {
        let Self { articles, profiles, mut rows } = self;
        let (articles, profiles) = (articles.order(), profiles.order());
        for row in &mut rows {
            row.article = articles[row.article as usize];
            row.profile = profiles[row.profile as usize];
        }
        rows.sort_unstable_by(|a, b| {
            let by_name = (a.article, a.profile).cmp(&(b.article, b.profile));
            by_name.then(a.truth.total_cmp(&b.truth)).then(a.predicted.total_cmp(&b.predicted))
        });
        let truths = distinct(rows.iter().map(|r| r.truth));
        let predictions = distinct(rows.iter().map(|r| r.predicted).filter(|p| !p.is_nan()));
        let mut table = Table {
            starts: vec![0],
            cells: Vec::with_capacity(rows.len()),
            sums: Vec::new(),
            readers: Vec::new(),
            band_of: truths.iter().map(|t| bands.index(*t)).collect(),
            predicted_top: predictions.iter().map(|p| bands.index(*p) + 1 == bands.len()).collect(),
            tenth_of: Vec::new(),
            tenths: 0,
            bands: bands.len(),
            scale: scale.range(),
            relevant_from: scale.relevant_from,
            on_grid: truths.len() * (predictions.len() + 1) <= LARGEST_GRID,
            truths,
            predictions,
        };
        let tenth = |p: &f64| (p * 10.0).round() as i64;
        for (i, p) in table.predictions.iter().enumerate() {
            let new = i == 0 || tenth(&table.predictions[i - 1]) != tenth(p);
            table.tenths += usize::from(new);
            table.tenth_of.push(table.tenths as u32 - 1);
        }
        for of_article in rows.chunk_by(|a, b| a.article == b.article) {
            table.sums.push(article_sums(of_article));
            for row in of_article {
                let predicted = if row.predicted.is_nan() { NONE } else { place(&table.predictions, row.predicted) };
                table.cells.push(Cell { truth: place(&table.truths, row.truth), predicted });
            }
            table.starts.push(table.cells.len() as u32);
        }
        table.readers = readers(&rows);
        table
    }
}

impl Table {
    pub fn new(rows: &[Row], bands: &Bands, scale: &Scale) -> Self {
        let (min, max) = scale.range();
        let readable = |score: &f64| (min..=max).contains(score);
        let mut builder = TableBuilder::default();
        for row in rows.iter().filter(|row| readable(&row.truth)) {
            let pair = builder.pair(&row.article, &row.profile);
            builder.push(pair, row.truth, row.predicted.filter(readable));
        }
        builder.finish(bands, scale)
    }

    pub fn articles(&self) -> usize {
        self.sums.len()
    }

    /// The cells of each article.
    pub fn by_article(&self) -> impl Iterator<Item = &[Cell]> {
        self.starts.windows(2).map(|w| &self.cells[w[0] as usize..w[1] as usize])
    }
}

fn place(values: &[f64], value: f64) -> u32 {
    values.partition_point(|v| *v < value) as u32
}

fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    values
}

/// Parsed rows by reader, for readers with enough of them: a draw may hold a row more than once, never one that is not there.
fn readers(rows: &[Taken]) -> Vec<Reader> {
    let count = rows.iter().map(|r| r.profile as usize + 1).max().unwrap_or(0);
    let mut of: Vec<Vec<(u32, f64, f64)>> = vec![Vec::new(); count];
    let mut article = 0;
    for (i, row) in rows.iter().enumerate() {
        article += u32::from(i > 0 && rows[i - 1].article != row.article);
        if !row.predicted.is_nan() {
            of[row.profile as usize].push((article, row.truth, row.predicted));
        }
    }
    let reader = |rows: Vec<(u32, f64, f64)>| {
        let truths = distinct(rows.iter().map(|r| r.1));
        let predictions = distinct(rows.iter().map(|r| r.2));
        let cell = |(article, t, p)| ReaderCell { article, truth: place(&truths, t), predicted: place(&predictions, p) };
        Reader { cells: rows.into_iter().map(cell).collect(), truths: truths.len(), predictions: predictions.len() }
    };
    of.into_iter().filter(|rows| !rows.is_empty()).map(reader).collect()
}

fn one_if(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn article_sums(rows: &[Taken]) -> [f64; ARTICLE_SUMS] {
    let mut all = [0.0; ARTICLE_SUMS];
    add_spreads(&mut all, rows);
    add_pairs(&mut all, rows);
    let parsed = || rows.iter().filter(|r| !r.predicted.is_nan());
    if parsed().count() >= GROUP_FROM {
        let (g, p): (Vec<f64>, Vec<f64>) = parsed().map(|r| (r.truth, r.predicted)).unzip();
        if let Some(rho) = spearman(&g, &p) {
            all[sums::RHO] = rho;
            all[sums::RHO_GROUPS] = 1.0;
        }
    }
    all
}

fn add_spreads(all: &mut [f64; ARTICLE_SUMS], rows: &[Taken]) {
    let mut parsed = rows.iter().filter(|r| !r.predicted.is_nan());
    let Some(first) = parsed.next() else { return };
    let mut shared = false;
    let (mut low, mut high) = (first.predicted, first.predicted);
    let (mut low_truth, mut high_truth) = (first.truth, first.truth);
    for row in parsed {
        shared |= row.profile != first.profile;
        (low, high) = (low.min(row.predicted), high.max(row.predicted));
        (low_truth, high_truth) = (low_truth.min(row.truth), high_truth.max(row.truth));
    }
    if !shared {
        return;
    }
    let (spread, spread_truth) = (high - low, high_truth - low_truth);
    all[sums::SHARED] += 1.0;
    all[sums::SPREAD] += spread;
    all[sums::SPREAD_TRUTH] += spread_truth;
    all[sums::PSR] += one_if(spread >= 2.0 - HAIR);
    all[sums::PSR_TRUTH] += one_if(spread_truth >= 2.0 - HAIR);
}

fn add_pairs(all: &mut [f64; ARTICLE_SUMS], rows: &[Taken]) {
    for (i, a) in rows.iter().enumerate() {
        for b in &rows[i + 1..] {
            let (high, low) = if a.truth >= b.truth { (a, b) } else { (b, a) };
            let truth_gap = high.truth - low.truth;
            let gap = high.predicted - low.predicted;
            let read = !gap.is_nan();
            if read && truth_gap >= 2.0 - HAIR {
                all[sums::PSR_PAIRS] += 1.0;
                all[sums::PSR_PAIRS_RIGHT] += one_if(gap >= 1.0 - HAIR);
            }
            if truth_gap >= 3.0 - HAIR {
                all[sums::CONTRAST_PAIRS] += 1.0;
                all[sums::CONTRAST_BY_2] += one_if(read && gap >= 2.0 - HAIR);
                let ordered = if gap.abs() <= HAIR { 0.5 } else { one_if(gap > 0.0) };
                all[sums::CONTRAST_ORDERED] += if read { ordered } else { 0.0 };
            }
        }
    }
}
