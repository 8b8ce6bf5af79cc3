//! Which pairs two annotators are compared on. Owns the matching and the drawing; the figures are the engine's.

use std::collections::{BTreeMap, HashMap};

use super::Scored;
use crate::domain::{Bands, Digester, PairKey};

/// One pair that both judged.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    pub a: &'a Scored,
    pub b: &'a Scored,
}

impl Common<'_> {
    pub fn gap(&self) -> f64 {
        (self.a.score - self.b.score).abs()
    }

    /// The same score in the same words: one of the two did not judge it.
    pub fn is_copy(&self) -> bool {
        let (a, b) = (self.a, self.b);
        a.score.total_cmp(&b.score).is_eq() && a.reason == b.reason && !a.reason.trim().is_empty()
    }
}

/// The pairs that both judged, in pair order; of a pair that one judged twice, the first row.
pub fn common<'a>(a: &'a [Scored], b: &'a [Scored]) -> Vec<Common<'a>> {
    let mut first: HashMap<&PairKey, &Scored> = HashMap::with_capacity(b.len());
    for row in b {
        first.entry(&row.pair).or_insert(row);
    }
    let mut found: BTreeMap<&PairKey, Common<'a>> = BTreeMap::new();
    for row in a {
        if let Some(other) = first.get(&row.pair) {
            found.entry(&row.pair).or_insert(Common { a: row, b: other });
        }
    }
    found.into_values().collect()
}

/// How many of the pairs one of the two took from the other.
pub fn copies(pairs: &[Common<'_>]) -> usize {
    pairs.iter().filter(|pair| pair.is_copy()).count()
}

/// A seeded sample of `n` pairs: the bands of A's score take turns, so that rare bands are in it with all they have, and
/// a larger sample contains the smaller one.
pub fn sample_by_band<'a>(pairs: &[Common<'a>], bands: &Bands, n: usize, seed: u64) -> Vec<Common<'a>> {
    let mut drawn: Vec<Vec<(_, Common<'a>)>> = vec![Vec::new(); bands.len()];
    for pair in pairs {
        let key = &pair.a.pair;
        let draw = Digester::new().field(seed.to_le_bytes()).field(key.article.as_str()).field(key.profile.as_str()).finish();
        if let Some(band) = drawn.get_mut(bands.index(pair.a.score)) {
            band.push((draw, *pair));
        }
    }
    for band in &mut drawn {
        band.sort_by(|x, y| x.0.cmp(&y.0));
    }
    let most = drawn.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..most).flat_map(|turn| drawn.iter().filter_map(move |band| band.get(turn)));
    turns.take(n).map(|(_, pair)| *pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(article: usize, score: f64) -> Scored {
        let pair = PairKey { article: format!("a{article}").parse().expect("id"), profile: "p".parse().expect("id") };
        Scored { pair, score, reason: format!("Reason {article}."), annotator: "x".into(), batch: 0 }
    }

    #[test]
    fn bands_take_turns_and_a_larger_sample_contains_the_smaller() {
        let bands = Bands::from_edges(&[0.0, 2.0, 5.5]).expect("ascending");
        let rows: Vec<Scored> = (0..100)
            .map(|i| {
                row(
                    i,
                    if i < 90 {
                        1.0
                    } else if i < 96 {
                        3.0
                    } else {
                        8.0
                    },
                )
            })
            .collect();
        let pairs = common(&rows, &rows);
        let sample = sample_by_band(&pairs, &bands, 20, 7);
        let count = |from: f64, to: f64| sample.iter().filter(|p| (from..to).contains(&p.a.score)).count();
        assert_eq!((count(0.0, 2.0), count(2.0, 5.5), count(5.5, 11.0)), (10, 6, 4));
        let large = sample_by_band(&pairs, &bands, 40, 7);
        assert!(sample.iter().all(|p| large.iter().any(|q| q.a.pair == p.a.pair)));
        assert_eq!(sample_by_band(&pairs, &bands, 1000, 7).len(), 100);
    }

    #[test]
    fn only_rows_with_the_same_words_are_copies() {
        let (a, mut b) = (vec![row(1, 1.0), row(2, 2.0), row(3, 3.0)], vec![row(3, 3.0), row(2, 2.5), row(9, 1.0)]);
        assert_eq!((common(&a, &b).len(), copies(&common(&a, &b))), (2, 1));
        b[0].reason = "Other words.".into();
        assert_eq!(copies(&common(&a, &b)), 0);
    }
}
