//! The anatomy of a think block: its steps, the weights it gives to signals, and the reader's own names in it.
//!
//! Owns where things stand in a text, as byte ranges; which weight belongs to which signal is `evaluate::agreement`'s
//! reading. Draws nothing.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::domain::{Bands, Profile, SignalKind, Weight};
use crate::evaluate::{breach, signal_marks, signals};

/// What a part of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// The name of a step: `PROFILE:`.
    Step,
    /// The name of a signal: `ENTITY`.
    Signal,
    Strong,
    Weak,
    /// A signal that is said not to be there.
    Absent,
    /// A name that the reader follows.
    Tracked,
    /// A topic that the reader follows.
    Interest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub start: usize,
    pub end: usize,
    pub kind: PartKind,
}

/// A think block taken apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Anatomy {
    /// In the order of the text, none inside another.
    pub parts: Vec<Part>,
    /// Names of the steps, in their order.
    pub steps: Vec<String>,
    /// The signals it weighs, the heaviest weight of each.
    pub signals: Vec<(SignalKind, Weight)>,
    /// How it contradicts its own score, if it does.
    pub breach: Option<String>,
}

/// Takes a think block apart. `score`: what it ends in.
pub fn anatomy(think: &str, score: Option<f64>, profile: Option<&Profile>, bands: &Bands) -> Anatomy {
    let steps = step_names(think);
    let named = signals(think);
    let mut parts: Vec<Part> = steps.iter().map(|range| part(range.clone(), PartKind::Step)).collect();
    for mark in signal_marks(think) {
        let kind = match mark.weight {
            Weight::Strong => PartKind::Strong,
            Weight::Weak => PartKind::Weak,
            Weight::None => PartKind::Absent,
        };
        parts.push(part(mark.name, PartKind::Signal));
        parts.push(part(mark.weighed, kind));
    }
    if let Some(profile) = profile {
        parts.extend(names(think, profile));
    }
    let label = |range: &Range<usize>| think[range.clone()].trim_end_matches(':').to_owned();
    Anatomy {
        parts: apart(parts),
        steps: steps.iter().map(label).collect(),
        breach: score.and_then(|score| breach(&named, score, bands)).map(|b| b.to_string()),
        signals: named.into_iter().collect(),
    }
}

/// The reader's names and topics in a text.
pub fn names(text: &str, profile: &Profile) -> Vec<Part> {
    let tracked = found(text, &profile.tracked).into_iter().map(|range| part(range, PartKind::Tracked));
    let interests = found(text, &profile.interests).into_iter().map(|range| part(range, PartKind::Interest));
    apart(tracked.chain(interests).collect())
}

/// Whether a think block that was written for one score argues for another, too: same band, and nothing it names says
/// otherwise.
pub fn argues_for(think: &str, written_for: f64, score: f64, bands: &Bands) -> bool {
    bands.index(written_for) == bands.index(score) && breach(&signals(think), score, bands).is_none()
}

fn part(range: Range<usize>, kind: PartKind) -> Part {
    Part { start: range.start, end: range.end, kind }
}

/// The parts in order; of two that overlap the earlier, and of two that begin together the longer.
fn apart(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_key(|p| (p.start, std::cmp::Reverse(p.end), p.kind));
    let mut kept: Vec<Part> = Vec::with_capacity(parts.len());
    for p in parts {
        if p.start < p.end && kept.last().is_none_or(|last| last.end <= p.start) {
            kept.push(p);
        }
    }
    kept
}

/// Longest name of a step.
const STEP_CHARS: usize = 32;

/// Names of steps at the beginning of lines, with their colon: capitals, digits, spaces, `_`, `-` and `/`.
fn step_names(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(|c: char| c.is_whitespace() || c == '*' || c == '#').len();
        let body = &line[indent..];
        let name = body.split(':').next().unwrap_or_default();
        let is_name = name.len() < body.len()
            && (2..=STEP_CHARS).contains(&name.chars().count())
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || " _-/".contains(c));
        if is_name {
            let start = at + indent;
            found.push(start..start + name.len() + 1);
        }
        at += line.len();
    }
    found
}

/// Where whole names stand in a text, whatever their case.
fn found(text: &str, names: &[String]) -> Vec<Range<usize>> {
    let folded: Vec<(usize, char)> = text.char_indices().flat_map(|(at, c)| c.to_lowercase().map(move |l| (at, l))).collect();
    let is_word = |i: usize| folded.get(i).is_some_and(|(_, c)| c.is_alphanumeric());
    let mut ranges = Vec::new();
    for name in names {
        let wanted: Vec<char> = name.trim().chars().flat_map(char::to_lowercase).collect();
        // A single letter is found everywhere and means nothing.
        if wanted.len() < 2 {
            continue;
        }
        let mut i = 0;
        while i + wanted.len() <= folded.len() {
            let end = i + wanted.len();
            let whole = (i == 0 || !is_word(i - 1)) && !is_word(end);
            if whole && folded[i..end].iter().map(|(_, c)| c).eq(wanted.iter()) {
                let stop = folded.get(end).map_or(text.len(), |(at, _)| *at);
                ranges.push(folded[i].0..stop);
                i = end;
            } else {
                i += 1;
            }
        }
    }
    ranges.sort_by_key(|r| r.start);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Motivation, Seniority};
    use proptest::prelude::*;

    fn profile() -> Profile {
        Profile {
            id: "p".parse().expect("id"),
            description: String::new(),
            role: "nurse".into(),
            seniority: Seniority::Mid,
            location: "Houston".into(),
            context: String::new(),
            motivation: Motivation::Career,
            tracked: vec!["HCA".into(), "İstanbul Hospital".into(), "x".into()],
            interests: vec!["night shifts".into(), "HCA jobs".into()],
            system_prompt: None,
        }
    }

    fn bands() -> Bands {
        Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending")
    }

    fn shown(text: &str, parts: &[Part]) -> Vec<(String, PartKind)> {
        parts.iter().map(|p| (text[p.start..p.end].to_owned(), p.kind)).collect()
    }

    #[test]
    fn steps_signals_weights_and_names_are_told_apart() {
        let think =
            "PROFILE: a nurse\nRECOGNISE: hca hires, not HCAX\nSIGNALS: ENTITY STRONG (HCA); PLACE NONE\nMATCH: night shifts";
        let found = anatomy(think, Some(8.0), Some(&profile()), &bands());
        assert_eq!(found.steps, ["PROFILE", "RECOGNISE", "SIGNALS", "MATCH"]);
        let parts = shown(think, &found.parts);
        let of = |kind| parts.iter().filter(|(_, k)| *k == kind).map(|(t, _)| t.as_str()).collect::<Vec<_>>();
        assert_eq!(of(PartKind::Tracked), ["hca", "HCA"]);
        assert_eq!(of(PartKind::Interest), ["night shifts"]);
        assert_eq!((of(PartKind::Strong), of(PartKind::Absent)), (vec!["STRONG"], vec!["NONE"]));
        assert_eq!(of(PartKind::Signal), ["ENTITY", "PLACE"]);
        assert_eq!(found.breach, None);
    }

    #[test]
    fn a_block_that_contradicts_its_score_is_told() {
        let found = anatomy("SIGNALS: ENTITY NONE", Some(8.0), None, &bands());
        assert!(found.breach.is_some_and(|b| b.contains("no signal")));
    }

    #[test]
    fn of_two_names_that_begin_together_the_longer_one_is_marked() {
        let text = "HCA jobs at İSTANBUL HOSPITAL";
        assert_eq!(
            shown(text, &names(text, &profile())),
            [("HCA jobs".into(), PartKind::Interest), ("İSTANBUL HOSPITAL".into(), PartKind::Tracked)]
        );
    }

    #[test]
    fn a_block_stays_with_a_score_of_its_own_band_that_it_does_not_contradict() {
        let weak = "SIGNALS: INTEREST WEAK (a)";
        assert!(argues_for(weak, 3.0, 4.0, &bands()));
        assert!(!argues_for(weak, 3.0, 8.0, &bands()));
        assert!(!argues_for("SIGNALS: ENTITY NONE", 3.0, 4.0, &bands()));
    }

    #[test]
    fn prose_with_a_colon_is_no_step() {
        let found = step_names("He said: no\nA: x\nNOTE\nIN SHORT: y");
        assert_eq!(found.iter().map(|r| (r.start, r.end)).collect::<Vec<_>>(), [(22, 31)]);
    }

    proptest! {
        #[test]
        fn parts_of_any_text_are_in_order_apart_and_on_its_characters(text in "(\\PC|HCA|İ|ß|\n|ENTITY STRONG|MATCH:| ){0,60}") {
            let found = anatomy(&text, Some(3.0), Some(&profile()), &bands());
            let mut at = 0;
            for p in &found.parts {
                prop_assert!(at <= p.start && p.start < p.end && p.end <= text.len());
                prop_assert!(text.is_char_boundary(p.start) && text.is_char_boundary(p.end));
                at = p.end;
            }
        }
    }
}
