//! Contrastive pairs: one article, two readers, scores far apart. They teach that the reader decides.
//!
//! Owns finding, counting and showing them. There is no cap anywhere: the pairs are an iterator, and what is shown
//! of them says out of how many (guard D17).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{ArticleId, ProfileId};

/// What is known of a row here.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredRow {
    pub article: ArticleId,
    pub profile: ProfileId,
    pub score: f64,
}

/// One article as two readers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContrastivePair {
    pub article: ArticleId,
    pub high: (ProfileId, f64),
    pub low: (ProfileId, f64),
}

impl ContrastivePair {
    pub fn gap(&self) -> f64 {
        self.high.1 - self.low.1
    }
}

/// All pairs whose scores are further apart than `delta`, by article, then by reader.
pub fn pairs(rows: &[ScoredRow], delta: f64) -> impl Iterator<Item = ContrastivePair> + '_ {
    let mut by_article: BTreeMap<&ArticleId, Vec<&ScoredRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.score.is_finite()) {
        by_article.entry(&row.article).or_default().push(row);
    }
    by_article.into_values().flat_map(move |mut readers| {
        readers.sort_by(|a, b| a.profile.cmp(&b.profile).then(a.score.total_cmp(&b.score)));
        let mut found = Vec::new();
        for (i, a) in readers.iter().enumerate() {
            for b in &readers[i + 1..] {
                // Scores have one decimal; 8.3 − 5.3 is 3.0, whatever the floats say.
                if a.profile != b.profile && (a.score - b.score).abs() > delta + 1e-9 {
                    let (high, low) = if a.score > b.score { (a, b) } else { (b, a) };
                    found.push(ContrastivePair {
                        article: a.article.clone(),
                        high: (high.profile.clone(), high.score),
                        low: (low.profile.clone(), low.score),
                    });
                }
            }
        }
        found
    })
}

/// The `n` pairs furthest apart, each of another article, and the count of all pairs.
pub fn top(rows: &[ScoredRow], delta: f64, n: usize) -> (Vec<ContrastivePair>, usize) {
    let mut count = 0;
    let mut best: Vec<ContrastivePair> = Vec::new();
    for pair in pairs(rows, delta) {
        count += 1;
        match best.last_mut() {
            Some(last) if last.article == pair.article => {
                if pair.gap() > last.gap() {
                    *last = pair;
                }
            }
            _ => best.push(pair),
        }
    }
    best.sort_by(|a, b| b.gap().total_cmp(&a.gap()).then_with(|| a.article.cmp(&b.article)));
    best.truncate(n);
    (best, count)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{article_id, profile_id};
    use super::*;

    fn row(article: &str, profile: &str, score: f64) -> ScoredRow {
        ScoredRow { article: article_id(article), profile: profile_id(profile), score }
    }

    #[test]
    fn only_readers_of_one_article_further_apart_than_delta_are_pairs() {
        let rows = [
            row("a", "x", 9.0),
            row("a", "y", 1.0),
            row("a", "z", 6.0),
            row("b", "x", 8.3),
            row("b", "y", 5.3),
            row("c", "x", 9.0),
            row("c", "x", 1.0),
            row("c", "y", f64::NAN),
        ];
        let all: Vec<String> = pairs(&rows, 3.0).map(|p| format!("{}:{}>{}", p.article, p.high.0, p.low.0)).collect();
        assert_eq!(all, ["a:x>y", "a:z>y"]);
    }

    #[test]
    fn the_examples_are_the_widest_of_different_articles_and_the_count_is_of_all() {
        let mut rows = Vec::new();
        for a in 0..60 {
            for p in 0..12 {
                rows.push(row(&format!("a{a:02}"), &format!("p{p:02}"), if p < 6 { 1.0 } else { 6.0 + f64::from(p) * 0.1 }));
            }
        }
        let (examples, count) = top(&rows, 3.0, 3);
        assert_eq!(count, 60 * 36);
        assert_eq!(examples.iter().map(|p| p.article.as_str()).collect::<Vec<_>>(), ["a00", "a01", "a02"]);
        assert!((examples[0].gap() - 6.1).abs() < 1e-9);
    }
}
