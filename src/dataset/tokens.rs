//! Token lengths: the histogram that sets the maximum length (T9), and the rows that do not fit.
//!
//! Owns the figures. Counting tokens is `student`'s; nothing is cut here.

use serde::{Deserialize, Serialize};

/// Tokens of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenLengths {
    pub prompt: usize,
    pub completion: usize,
}

impl TokenLengths {
    pub fn total(self) -> usize {
        self.prompt + self.completion
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: usize,
    pub p95: usize,
    pub p99: usize,
    pub max: usize,
}

impl Quantiles {
    /// Nearest rank: each is a length that occurs.
    fn of(mut lengths: Vec<usize>) -> Self {
        lengths.sort_unstable();
        let at = |percent: usize| {
            let rank = (lengths.len() * percent).div_ceil(100).max(1);
            lengths.get(rank - 1).copied().unwrap_or(0)
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

/// One bar: rows with `from ≤ total < to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    pub from: usize,
    pub to: usize,
    pub rows: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenStats {
    pub rows: usize,
    pub total: Quantiles,
    pub prompt: Quantiles,
    pub completion: Quantiles,
    pub bins: Vec<Bin>,
    /// p99 of the total plus a tenth.
    pub recommended_max: usize,
    /// What the student can read at most, where known.
    pub limit: Option<usize>,
    /// (example, tokens) of every row longer than the recommended maximum or the limit, longest first.
    pub over_long: Vec<(String, usize)>,
}

const BINS: usize = 20;

impl TokenStats {
    /// `rows`: (example id, lengths).
    pub fn new<'a>(rows: impl IntoIterator<Item = (&'a str, TokenLengths)>, limit: Option<usize>) -> Self {
        let rows: Vec<(&str, TokenLengths)> = rows.into_iter().collect();
        let quantiles = |of: fn(TokenLengths) -> usize| Quantiles::of(rows.iter().map(|(_, l)| of(*l)).collect());
        let total = quantiles(TokenLengths::total);
        let recommended_max = (total.p99 * 11).div_ceil(10);
        let most = limit.map_or(recommended_max, |limit| limit.min(recommended_max));
        let mut over_long: Vec<(String, usize)> =
            rows.iter().map(|(id, l)| ((*id).to_owned(), l.total())).filter(|(_, n)| *n > most).collect();
        over_long.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Self {
            rows: rows.len(),
            total,
            prompt: quantiles(|l| l.prompt),
            completion: quantiles(|l| l.completion),
            bins: bins(&rows, total.max),
            recommended_max,
            limit,
            over_long,
        }
    }
}

/// From the shortest row to the longest.
fn bins(rows: &[(&str, TokenLengths)], max: usize) -> Vec<Bin> {
    let Some(min) = rows.iter().map(|(_, l)| l.total()).min() else { return Vec::new() };
    let width = (max - min + 1).div_ceil(BINS);
    let mut bins: Vec<Bin> = (0..BINS).map(|i| Bin { from: min + i * width, to: min + (i + 1) * width, rows: 0 }).collect();
    for (_, lengths) in rows {
        if let Some(bin) = bins.get_mut((lengths.total() - min) / width) {
            bin.rows += 1;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_lengths_that_occur_and_the_maximum_is_p99_plus_a_tenth() {
        let ids: Vec<String> = (1..=200).map(|i| format!("r{i:03}")).collect();
        let rows = ids.iter().enumerate().map(|(i, id)| (id.as_str(), TokenLengths { prompt: i, completion: 1 }));
        let stats = TokenStats::new(rows, None);
        assert_eq!(stats.total, Quantiles { p50: 100, p95: 190, p99: 198, max: 200 });
        assert_eq!(stats.recommended_max, 218);
        assert!(stats.over_long.is_empty());
        assert_eq!(stats.bins.len(), 20);
        assert_eq!(stats.bins.iter().map(|b| b.rows).sum::<usize>(), 200);
    }

    #[test]
    fn every_row_that_does_not_fit_is_listed() {
        let rows = [("a", 10), ("b", 30), ("c", 20)].map(|(id, n)| (id, TokenLengths { prompt: n, completion: 5 }));
        let stats = TokenStats::new(rows, Some(16));
        assert_eq!(stats.over_long, [("b".to_owned(), 35), ("c".to_owned(), 25)]);
    }

    #[test]
    fn no_rows_give_no_figures_and_no_panic() {
        let stats = TokenStats::new([], Some(16));
        assert_eq!((stats.total, stats.bins.len(), stats.recommended_max), (Quantiles::default(), 0, 0));
    }
}
