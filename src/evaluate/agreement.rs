//! Whether a think block and its score say the same: the signals it names against the band it ends in.
//!
//! Owns the reading of signals from free text and the four rules; what signals are is `domain::prism`'s.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::figure;
use crate::domain::{Bands, SignalKind, Weight};

/// Words between a signal's name and its weight, at most.
const REACH: usize = 3;

/// Older formats and other teachers name the same things so.
const NAMES: [(&str, SignalKind); 11] = [
    ("ENTITY", SignalKind::Entity),
    ("ROLE", SignalKind::Role),
    ("PLACE", SignalKind::Place),
    ("LOCATION", SignalKind::Place),
    ("INTEREST", SignalKind::Interest),
    ("PROFILE_MATCH", SignalKind::Interest),
    ("ACTION", SignalKind::Action),
    ("ACTIONABILITY", SignalKind::Action),
    ("TIMING", SignalKind::Timing),
    ("TIMELINESS", SignalKind::Timing),
    ("SOURCE", SignalKind::Source),
];

const WEIGHTS: [(&str, Weight); 7] = [
    ("STRONG", Weight::Strong),
    ("HIGH", Weight::Strong),
    ("DIRECT", Weight::Strong),
    ("WEAK", Weight::Weak),
    ("LOW", Weight::Weak),
    ("PARTIAL", Weight::Weak),
    ("NONE", Weight::None),
];

/// What ties an article to a reader. Place, timing and source only move a score that something else carries.
const TIES: [SignalKind; 3] = [SignalKind::Entity, SignalKind::Role, SignalKind::Interest];

/// How a think block and its score contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    #[error("names no signal above NONE, and scores above the lowest band")]
    ScoreWithoutSignal,
    #[error("names only WEAK signals, and scores in the two highest bands")]
    HighOnWeak,
    #[error("names a STRONG signal, and scores in the lowest band")]
    NoiseOnStrong,
    #[error("scores in the highest band, and names nothing to act on")]
    TopWithoutAction,
}

/// A signal and the weight that a text gives it, with where both words stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalMark {
    pub kind: SignalKind,
    pub weight: Weight,
    /// Bytes of the signal's name.
    pub name: Range<usize>,
    /// Bytes of the word that weighs it.
    pub weighed: Range<usize>,
}

/// Every weighing of a signal in a think block, in its order.
pub fn signal_marks(think: &str) -> Vec<SignalMark> {
    let words = words(think);
    let weight = |word: &str| WEIGHTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, weight)| *weight);
    let mut found = Vec::new();
    for (place, name) in words.iter().enumerate() {
        let Some(kind) = kind_of(&think[name.clone()]) else { continue };
        let mut after = words[place + 1..].iter().take(REACH).take_while(|next| kind_of(&think[(*next).clone()]).is_none());
        if let Some((weight, weighed)) = after.find_map(|next| Some((weight(&think[next.clone()])?, next.clone()))) {
            found.push(SignalMark { kind, weight, name: name.clone(), weighed });
        }
    }
    found
}

/// Bytes of the words of a text: letters, digits and `_`.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut open = None;
    for (at, c) in text.char_indices() {
        match (c.is_alphanumeric() || c == '_', open) {
            (true, None) => open = Some(at),
            (false, Some(start)) => {
                words.push(start..at);
                open = None;
            }
            _ => {}
        }
    }
    words.extend(open.map(|start| start..text.len()));
    words
}

/// The signals that a think block names, the heaviest weight of each.
pub fn signals(think: &str) -> BTreeMap<SignalKind, Weight> {
    let mut found = BTreeMap::new();
    for mark in signal_marks(think) {
        let held = found.entry(mark.kind).or_insert(mark.weight);
        *held = mark.weight.max(*held);
    }
    found
}

fn kind_of(word: &str) -> Option<SignalKind> {
    NAMES.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

/// What contradicts a score, first rule first. `None`: nothing, or no signal is named.
pub fn breach(signals: &BTreeMap<SignalKind, Weight>, score: f64, bands: &Bands) -> Option<Breach> {
    let strongest = TIES.iter().filter_map(|kind| signals.get(kind)).max().copied().or_else(|| {
        // Nothing that ties is named: then whatever is named counts.
        signals.values().max().copied()
    })?;
    let (band, last) = (bands.index(score), bands.len().saturating_sub(1));
    let acts = signals.get(&SignalKind::Action).is_none_or(|w| *w > Weight::None);
    match strongest {
        Weight::None if band > 0 => Some(Breach::ScoreWithoutSignal),
        Weight::Weak if band + 1 >= last && last >= 2 => Some(Breach::HighOnWeak),
        Weight::Strong if band == 0 => Some(Breach::NoiseOnStrong),
        Weight::Strong if band == last && !acts => Some(Breach::TopWithoutAction),
        _ => None,
    }
}

/// Agreement of think blocks with their scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Answers whose think block names signals and that have a score.
    pub n: usize,
    /// Answers with a score whose think block names no signal.
    pub silent: usize,
    pub agree: usize,
    /// `agree` of `n`.
    pub share: Option<f64>,
    pub breaches: BTreeMap<Breach, usize>,
}

/// Measures (think block, score) pairs.
pub fn agreement<'a>(answers: impl IntoIterator<Item = (&'a str, f64)>, bands: &Bands) -> Agreement {
    let mut report = Agreement { n: 0, silent: 0, agree: 0, share: None, breaches: BTreeMap::new() };
    for (think, score) in answers {
        let named = signals(think);
        if named.is_empty() {
            report.silent += 1;
            continue;
        }
        report.n += 1;
        match breach(&named, score, bands) {
            None => report.agree += 1,
            Some(breach) => *report.breaches.entry(breach).or_default() += 1,
        }
    }
    report.share = (report.n > 0).then(|| report.agree as f64 / report.n as f64);
    report
}

impl Agreement {
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "think block and score agree: {} of {} ({}); {} name no signal",
            self.agree,
            self.n,
            figure(self.share),
            self.silent
        )];
        lines.extend(self.breaches.iter().map(|(breach, n)| format!("  {n} × {breach}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Prism, Signal};
    use proptest::prelude::*;

    fn bands() -> Bands {
        Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending")
    }

    fn think(signals: &[(SignalKind, Weight)]) -> String {
        let signals = signals.iter().map(|(kind, weight)| Signal { kind: *kind, evidence: "some words".into(), weight: *weight });
        Prism {
            profile: "a nurse".into(),
            recognise: "news".into(),
            signals: signals.collect(),
            strongest: "s".into(),
            verdict: "m".into(),
            score: 1.0,
            reason: "r".into(),
        }
        .think()
    }

    #[test]
    fn a_rendered_block_is_read_back_and_a_free_one_too() {
        let all: Vec<(SignalKind, Weight)> =
            SignalKind::ALL.into_iter().zip([Weight::Strong, Weight::Weak, Weight::None].into_iter().cycle()).collect();
        assert_eq!(signals(&think(&all)), all.into_iter().collect());
        let free = "PROFILE_MATCH: none — unrelated\nLOCATION: global\nACTIONABILITY: weak — a course\nThe place is high up.";
        let expected = [(SignalKind::Interest, Weight::None), (SignalKind::Action, Weight::Weak)];
        assert_eq!(signals(free), expected.into_iter().collect());
        assert!(signals("a role that is strong, a place of interest").is_empty());
    }

    /// Signals named, a score, what contradicts it.
    type Case<'a> = (&'a [(SignalKind, Weight)], f64, Option<Breach>);

    #[test]
    fn each_contradiction_has_its_name_and_what_fits_has_none() {
        use SignalKind::{Action, Entity, Interest, Source};
        use Weight::{None as Nothing, Strong, Weak};
        let cases: [Case<'_>; 9] = [
            (&[(Entity, Nothing), (Interest, Nothing)], 7.5, Some(Breach::ScoreWithoutSignal)),
            (&[(Entity, Nothing), (Source, Strong)], 7.5, Some(Breach::ScoreWithoutSignal)),
            (&[(Entity, Nothing)], 1.5, None),
            (&[(Interest, Weak)], 7.5, Some(Breach::HighOnWeak)),
            (&[(Interest, Weak)], 4.0, None),
            (&[(Entity, Strong)], 0.5, Some(Breach::NoiseOnStrong)),
            (&[(Entity, Strong), (Action, Nothing)], 9.5, Some(Breach::TopWithoutAction)),
            (&[(Entity, Strong), (Action, Weak)], 9.5, None),
            (&[], 9.5, None),
        ];
        for (named, score, expected) in cases {
            assert_eq!(breach(&named.iter().copied().collect(), score, &bands()), expected, "{named:?} {score}");
        }
    }

    #[test]
    fn shares_count_only_blocks_that_name_something() {
        let (strong, none) = (think(&[(SignalKind::Entity, Weight::Strong)]), think(&[(SignalKind::Entity, Weight::None)]));
        let report = agreement([(strong.as_str(), 8.0), (strong.as_str(), 0.5), (none.as_str(), 0.5), ("prose", 3.0)], &bands());
        assert_eq!((report.n, report.silent, report.agree), (3, 1, 2));
        assert_eq!(report.breaches, BTreeMap::from([(Breach::NoiseOnStrong, 1)]));
        assert_eq!(agreement([], &bands()).share, None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,200}", score in 0.0..=10.0f64) {
            let report = agreement([(text.as_str(), score)], &bands());
            prop_assert_eq!(report.n + report.silent, 1);
        }
    }
}
