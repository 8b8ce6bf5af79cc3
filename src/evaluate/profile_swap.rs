//! The same article for other readers: does the model read the profile at all?
//!
//! Owns the neutral reader, the two checks (each row under its own, a neutral and another profile; a square of articles
//! and readers with the adapter on and off) and what their spreads mean. Asking the model is the caller's.

use serde::{Deserialize, Serialize};

use super::figure;
use crate::domain::{IdError, Motivation, Profile, ProfileId, Seniority};

/// A score that moves no further than this under another profile has not moved.
const MOVED: f64 = 0.5;
/// A larger share of unmoved scores where the reader matters: the profile is not read.
const BLIND_ABOVE: f64 = 0.70;
/// A spread over readers of this or more tells them apart, as in PSR.
const SPREAD_FROM: f64 = 2.0;
/// Share of articles that have to be told apart so.
const AWARE_FROM: f64 = 0.5;
/// Articles, and readers, of the awareness check.
pub const SQUARE: usize = 5;

/// A reader of whom nothing is known.
pub fn neutral_profile() -> Result<Profile, IdError> {
    Ok(Profile {
        id: ProfileId::new("neutral_reader")?,
        description: "a reader of whom nothing is known".into(),
        role: "general reader".into(),
        seniority: Seniority::Mid,
        location: "an unnamed place".into(),
        context: "Reads the news without a particular interest.".into(),
        motivation: Motivation::Interest,
        tracked: Vec::new(),
        interests: Vec::new(),
        system_prompt: None,
    })
}

/// One article under three readers.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileRow3 {
    /// The teacher's score for the own reader.
    pub truth: f64,
    pub own: Option<f64>,
    pub neutral: Option<f64>,
    pub other: Option<f64>,
}

/// What changing the reader does to scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileSwap {
    /// Rows with all three scores.
    pub n: usize,
    pub unreadable: usize,
    pub mean_own: Option<f64>,
    pub mean_neutral: Option<f64>,
    pub mean_other: Option<f64>,
    /// Mean of max − min over the three.
    pub mean_spread: Option<f64>,
    /// Rows that the teacher calls relevant to their own reader.
    pub relevant: usize,
    /// Share of those within ±0.5 under the other reader.
    pub unmoved: Option<f64>,
    /// More than 70 % unmoved.
    pub blind: Option<bool>,
}

fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.into_iter().fold((0.0, 0_usize), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}

fn spread(scores: &[f64]) -> f64 {
    let (low, high) = scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(*s), high.max(*s)));
    if scores.is_empty() { 0.0 } else { high - low }
}

/// Reads the scores of rows under three readers; `relevant_from` is the recipe's.
pub fn profile_swap(rows: &[ProfileRow3], relevant_from: f64) -> ProfileSwap {
    let read: Vec<(f64, [f64; 3])> = rows.iter().filter_map(|r| Some((r.truth, [r.own?, r.neutral?, r.other?]))).collect();
    let relevant: Vec<&[f64; 3]> = read.iter().filter(|(truth, _)| *truth >= relevant_from).map(|(_, s)| s).collect();
    let unmoved = mean(relevant.iter().map(|s| if (s[0] - s[2]).abs() <= MOVED + 1e-9 { 1.0 } else { 0.0 }));
    let column = |i: usize| mean(read.iter().map(|(_, s)| s[i]));
    ProfileSwap {
        n: read.len(),
        unreadable: rows.len() - read.len(),
        mean_own: column(0),
        mean_neutral: column(1),
        mean_other: column(2),
        mean_spread: mean(read.iter().map(|(_, s)| spread(s))),
        relevant: relevant.len(),
        unmoved,
        blind: unmoved.map(|share| share > BLIND_ABOVE),
    }
}

impl ProfileSwap {
    pub fn lines(&self) -> Vec<String> {
        let verdict = match self.blind {
            Some(true) => "BLIND: the profile is not read",
            Some(false) => "the profile is read",
            None => "no relevant row to tell by",
        };
        vec![
            format!(
                "the same {} articles for their own, a neutral and another reader ({} unreadable): mean scores {}, {}, {}; mean spread {}",
                self.n,
                self.unreadable,
                figure(self.mean_own),
                figure(self.mean_neutral),
                figure(self.mean_other),
                figure(self.mean_spread)
            ),
            format!(
                "  {} of {} relevant rows keep their score for another reader: {verdict}",
                figure(self.unmoved),
                self.relevant
            ),
        ]
    }
}

/// Scores of a square: one row an article, one column a reader.
pub type Square = Vec<Vec<Option<f64>>>;

/// How far readers are told apart on the same articles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spreads {
    /// Articles with at least two readable scores.
    pub articles: usize,
    pub unreadable: usize,
    /// Mean of max − min over readers.
    pub mean_spread: Option<f64>,
    /// Share of articles with a spread of 2.0 or more.
    pub told_apart: Option<f64>,
}

impl Spreads {
    pub fn of(square: &[Vec<Option<f64>>]) -> Self {
        let scores: Vec<Vec<f64>> = square.iter().map(|row| row.iter().flatten().copied().collect()).collect();
        let spreads: Vec<f64> = scores.iter().filter(|row| row.len() > 1).map(|row| spread(row)).collect();
        Self {
            articles: spreads.len(),
            unreadable: square.iter().flatten().filter(|s| s.is_none()).count(),
            told_apart: mean(spreads.iter().map(|s| if *s >= SPREAD_FROM - 1e-9 { 1.0 } else { 0.0 })),
            mean_spread: mean(spreads),
        }
    }

    fn words(&self) -> String {
        format!(
            "mean spread {}, {} of {} articles told apart by 2 points or more, {} unreadable",
            figure(self.mean_spread),
            figure(self.told_apart),
            self.articles,
            self.unreadable
        )
    }
}

/// The profile-awareness check: the same articles for the same readers, with the adapter and without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Awareness {
    pub on: Spreads,
    /// `None`: there is no untuned base to ask, `without` says why.
    pub off: Option<Spreads>,
    pub without: String,
    /// At least half of the articles are told apart with the adapter on.
    pub aware: Option<bool>,
    /// Mean spread with the adapter − without.
    pub gained: Option<f64>,
}

pub fn awareness(on: &Square, off: Result<&Square, String>) -> Awareness {
    let (off, without) = match off {
        Ok(square) => (Some(Spreads::of(square)), String::new()),
        Err(why) => (None, why),
    };
    let on = Spreads::of(on);
    let gained = on.mean_spread.zip(off.as_ref().and_then(|off| off.mean_spread)).map(|(on, off)| on - off);
    Awareness { aware: on.told_apart.map(|share| share >= AWARE_FROM), gained, on, off, without }
}

impl Awareness {
    pub fn lines(&self) -> Vec<String> {
        let verdict = match self.aware {
            Some(true) => "aware",
            Some(false) => "NOT AWARE of who reads",
            None => "nothing could be measured",
        };
        let mut lines = vec![
            format!("profile awareness, {} articles for the same readers: {verdict}", self.on.articles),
            format!("  trained: {}", self.on.words()),
        ];
        lines.push(match &self.off {
            Some(off) => format!("  untuned: {}; training added {} of spread", off.words(), figure(self.gained)),
            None => format!("  untuned: not asked: {}", self.without),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(truth: f64, own: f64, neutral: f64, other: f64) -> ProfileRow3 {
        ProfileRow3 { truth, own: Some(own), neutral: Some(neutral), other: Some(other) }
    }

    #[test]
    fn a_model_that_ignores_the_profile_is_blind_and_one_that_reads_it_is_not() {
        let blind = profile_swap(&vec![row(9.0, 8.0, 8.0, 8.5); 10], 5.0);
        assert_eq!((blind.blind, blind.unmoved, blind.mean_spread), (Some(true), Some(1.0), Some(0.5)));
        let reads = profile_swap(&vec![row(9.0, 9.0, 3.0, 0.5); 10], 5.0);
        assert_eq!(
            (reads.blind, reads.mean_own, reads.mean_other, reads.mean_spread),
            (Some(false), Some(9.0), Some(0.5), Some(8.5))
        );
        assert!(blind.lines()[1].contains("BLIND") && !reads.lines()[1].contains("BLIND"));
    }

    #[test]
    fn noise_rows_say_nothing_about_reading() {
        let noise = profile_swap(&vec![row(0.5, 0.5, 0.5, 0.5); 10], 5.0);
        assert_eq!((noise.n, noise.relevant, noise.blind), (10, 0, None));
        let unread = ProfileRow3 { other: None, ..row(9.0, 9.0, 3.0, 0.5) };
        assert_eq!((profile_swap(std::slice::from_ref(&unread), 5.0).n, profile_swap(&[unread], 5.0).unreadable), (0, 1));
    }

    #[test]
    fn awareness_compares_the_spread_with_and_without_training() {
        let apart: Square = vec![vec![Some(9.0), Some(0.5), None]; 5];
        let same: Square = vec![vec![Some(6.0), Some(6.5), Some(6.0)]; 5];
        let report = awareness(&apart, Ok(&same));
        assert_eq!((report.aware, report.gained, report.on.unreadable), (Some(true), Some(8.0), 5));
        let flat = awareness(&same, Err("trained whole".into()));
        assert_eq!((flat.aware, flat.gained), (Some(false), None));
        assert!(flat.lines()[2].contains("trained whole"));
        assert_eq!(awareness(&Vec::new(), Ok(&same)).aware, None);
    }

    #[test]
    fn the_neutral_reader_follows_nothing() {
        let neutral = neutral_profile().expect("a sound id");
        assert!(neutral.tracked.is_empty() && neutral.interests.is_empty());
    }
}
