//! Which pairs a plan takes: all, a sample, only what is missing, only what changed, only one reader.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::domain::{Digester, PairKey, ProfileId};

/// The operator's choice of pairs. Whatever it takes, an answered question is never asked again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    pub which: Which,
    /// Only this reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileId>,
    /// Only so many pairs, a seeded sample with every reader in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// Every pair whose question has no answer.
    #[default]
    All,
    /// Pairs that have no trace of this teacher at all; a trace under an older question stays good enough.
    Missing,
    /// Pairs that have a trace, but of an older question.
    Changed,
    /// Pairs whose trace a reviewer sent back.
    #[serde(rename = "sent_back")]
    SentBack,
}

impl Scope {
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The pairs of `all` that are in scope; `traced` are those with a trace of this teacher under any question,
    /// `sent_back` those whose trace a reviewer sent back.
    pub fn select(&self, all: Vec<PairKey>, traced: &HashSet<PairKey>, sent_back: &HashSet<PairKey>, seed: u64) -> Vec<PairKey> {
        let takes = |pair: &PairKey| {
            self.profile.as_ref().is_none_or(|p| *p == pair.profile)
                && match self.which {
                    Which::All => true,
                    Which::Missing => !traced.contains(pair),
                    Which::Changed => traced.contains(pair),
                    Which::SentBack => sent_back.contains(pair),
                }
        };
        let pairs: Vec<PairKey> = all.into_iter().filter(takes).collect();
        match self.sample {
            Some(n) if n < pairs.len() => stratified(&pairs, n, seed),
            _ => pairs,
        }
    }

    /// In words, for the preview.
    pub fn words(&self) -> String {
        let which = match self.which {
            Which::All => "every pair without an answer",
            Which::Missing => "pairs that were never answered",
            Which::Changed => "pairs whose question changed",
            Which::SentBack => "pairs that a reviewer sent back",
        };
        let reader = self.profile.as_ref().map(|p| format!(", only {p}")).unwrap_or_default();
        let sample = self.sample.map(|n| format!(", a sample of {n}")).unwrap_or_default();
        format!("{which}{reader}{sample}")
    }
}

/// A seeded sample of `n` pairs: readers take turns, each with its next article in a drawn order; so every reader is in
/// it as often as any other, and a larger sample contains the smaller one.
pub fn stratified(pairs: &[PairKey], n: usize, seed: u64) -> Vec<PairKey> {
    let mut by_reader: BTreeMap<&ProfileId, Vec<(_, &PairKey)>> = BTreeMap::new();
    for pair in pairs {
        let draw = Digester::new().field(seed.to_le_bytes()).field(pair.article.as_str()).field(pair.profile.as_str()).finish();
        by_reader.entry(&pair.profile).or_default().push((draw, pair));
    }
    for drawn in by_reader.values_mut() {
        drawn.sort();
    }
    let most = by_reader.values().map(Vec::len).max().unwrap_or(0);
    let turns = (0..most).flat_map(|turn| by_reader.values().filter_map(move |drawn| drawn.get(turn)));
    turns.take(n).map(|(_, pair)| (*pair).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(articles: usize, readers: usize) -> Vec<PairKey> {
        let pair = |a: usize, p: usize| PairKey {
            article: format!("a{a}").parse().expect("id"),
            profile: format!("p{p}").parse().expect("id"),
        };
        (0..articles).flat_map(|a| (0..readers).map(move |p| pair(a, p))).collect()
    }

    #[test]
    fn a_sample_holds_every_reader_equally_often_and_a_larger_one_contains_it() {
        let all = pairs(20, 5);
        let small = stratified(&all, 25, 7);
        let mut counts: BTreeMap<&ProfileId, usize> = BTreeMap::new();
        for pair in &small {
            *counts.entry(&pair.profile).or_default() += 1;
        }
        assert!(counts.values().all(|n| *n == 5), "{counts:?}");
        let large = stratified(&all, 50, 7);
        assert!(small.iter().all(|p| large.contains(p)));
        assert_ne!(stratified(&all, 25, 8), small);
        assert_eq!(stratified(&all, 1000, 7).len(), 100);
    }

    #[test]
    fn missing_and_changed_split_what_has_a_trace() {
        let all = pairs(3, 2);
        let traced: HashSet<PairKey> = all[..2].iter().cloned().collect();
        let sent_back: HashSet<PairKey> = all[1..2].iter().cloned().collect();
        let count = |which, profile: Option<&str>| {
            let scope = Scope { which, profile: profile.map(|p| p.parse().expect("id")), sample: None };
            scope.select(all.clone(), &traced, &sent_back, 1).len()
        };
        assert_eq!((count(Which::All, None), count(Which::Missing, None), count(Which::Changed, None)), (6, 4, 2));
        assert_eq!(count(Which::Missing, Some("p0")), 2);
        assert_eq!(count(Which::SentBack, None), 1);
    }
}
