//! Reviews: what a person says of a think block after reading it.
//!
//! Owns the closed set of verdicts, the marks on a text, and what is to become of a rejected trace. In which order blocks
//! are read and what the verdicts add up to is `audit`'s; keeping them is `workspace`'s.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Digest, PairKey, UnixMillis, one_line};

/// Annotator of the scores that the reviewer gave; no imported file can take this name's place, it is the operator's own.
pub const OPERATOR: &str = "operator";

/// What is wrong with a think block, or that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Reader and article are read right, and the score follows from what is said.
    Faithful,
    /// The reader is taken for somebody else.
    WrongProfile,
    /// The article is said to say what it does not.
    WrongArticle,
    /// Both are read right; what ties them is not.
    WrongOverlap,
    /// The reasoning is right; the score is too high or too low for it.
    WrongCalibration,
    /// The score does not follow from what is said: the block is decoration.
    Unfaithful,
}

impl Verdict {
    pub const ALL: [Self; 6] =
        [Self::Faithful, Self::WrongProfile, Self::WrongArticle, Self::WrongOverlap, Self::WrongCalibration, Self::Unfaithful];

    pub fn id(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::WrongProfile => "wrong_profile",
            Self::WrongArticle => "wrong_article",
            Self::WrongOverlap => "wrong_overlap",
            Self::WrongCalibration => "wrong_calibration",
            Self::Unfaithful => "unfaithful",
        }
    }

    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::WrongProfile => "wrong profile reading",
            Self::WrongArticle => "wrong article reading",
            Self::WrongOverlap => "wrong overlap",
            Self::WrongCalibration => "wrong calibration",
            Self::Unfaithful => "unfaithful",
        }
    }

    /// One sign that tells the verdicts apart without colour.
    pub fn glyph(self) -> &'static str {
        match self {
            Self::Faithful => "✓",
            Self::WrongProfile => "P",
            Self::WrongArticle => "A",
            Self::WrongOverlap => "O",
            Self::WrongCalibration => "C",
            Self::Unfaithful => "✗",
        }
    }

    /// The block is not to be taught from as it stands.
    pub fn rejects(self) -> bool {
        self != Self::Faithful
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_lowercase().replace(['-', ' '], "_");
        Self::ALL.into_iter().find(|v| v.id() == wanted || v.label().replace(' ', "_") == wanted).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|v| v.id()).collect();
            format!("'{}' is no verdict; use {}", one_line(text, 30), known.join(", "))
        })
    }
}

/// Whose think block it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    #[default]
    Teacher,
    Student,
}

impl Author {
    pub const ALL: [Self; 2] = [Self::Teacher, Self::Student];

    pub fn id(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Student => "student",
        }
    }

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Teacher => Self::Student,
            Self::Student => Self::Teacher,
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Author {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|a| a.id() == text.trim())
            .ok_or_else(|| format!("'{}' writes no think blocks here; use teacher or student", one_line(text, 30)))
    }
}

/// The how manyth reading it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    #[default]
    First,
    /// The earlier verdict was hidden: it measures the reviewer and changes nothing else.
    Blind,
}

impl Round {
    pub fn id(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Blind => "blind",
        }
    }
}

/// A part of a think block that a verdict is about. Byte positions in the block as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedSpan {
    pub start: usize,
    pub end: usize,
    pub kind: Verdict,
}

impl MarkedSpan {
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Why a mark cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpanError {
    #[error("a mark from byte {start} to {end} holds nothing; give a start before its end")]
    Empty { start: usize, end: usize },
    #[error("a mark ends at byte {end}, and the think block has {length}")]
    Outside { end: usize, length: usize },
    #[error("a mark from byte {start} to {end} cuts through a character; move it to the character's edge")]
    InsideCharacter { start: usize, end: usize },
    #[error("the marks at bytes {first} and {second} overlap; a part has one mark")]
    Overlap { first: usize, second: usize },
}

/// Checks marks against the text they are in, and puts them in its order.
pub fn checked_spans(text: &str, mut spans: Vec<MarkedSpan>) -> Result<Vec<MarkedSpan>, SpanError> {
    spans.sort_by_key(|s| (s.start, s.end));
    for s in &spans {
        let (start, end) = (s.start, s.end);
        if start >= end {
            return Err(SpanError::Empty { start, end });
        }
        if end > text.len() {
            return Err(SpanError::Outside { end, length: text.len() });
        }
        if !text.is_char_boundary(start) || !text.is_char_boundary(end) {
            return Err(SpanError::InsideCharacter { start, end });
        }
    }
    for pair in spans.windows(2) {
        if pair[1].start < pair[0].end {
            return Err(SpanError::Overlap { first: pair[0].start, second: pair[1].start });
        }
    }
    Ok(spans)
}

/// Adds a mark; what it covers of earlier ones is its own now.
pub fn mark_span(spans: Vec<MarkedSpan>, new: MarkedSpan) -> Vec<MarkedSpan> {
    let mut marked = clear_span(spans, new.range());
    if new.start < new.end {
        marked.push(new);
    }
    marked.sort_by_key(|s| s.start);
    marked
}

/// Takes the marks of a part away; a mark that reaches beyond it keeps the rest.
pub fn clear_span(spans: Vec<MarkedSpan>, part: Range<usize>) -> Vec<MarkedSpan> {
    let mut left = Vec::with_capacity(spans.len() + 1);
    for s in spans {
        for (start, end) in [(s.start, s.end.min(part.start)), (s.start.max(part.end), s.end)] {
            if start < end {
                left.push(MarkedSpan { start, end, kind: s.kind });
            }
        }
    }
    left.sort_by_key(|s| s.start);
    left.dedup();
    left
}

/// What is to become of a rejected trace of the teacher.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "remedy")]
pub enum Remedy {
    /// It leaves the dataset at its next build.
    #[default]
    Drop,
    /// The operator's own score takes its place, as a label of its own.
    Fix {
        score: f64,
        reason: String,
        /// The think block argues for this score too and stays with it; else the score is kept without one.
        #[serde(default)]
        keeps_think: bool,
    },
    /// The teacher is asked again, under a plan that wants its own approval; until then the pair is left out.
    Retry {
        /// What the reviewer found wrong, as the teacher is told; it stays what it was when the pair was sent back.
        #[serde(default)]
        why: String,
    },
}

impl Remedy {
    pub fn id(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Fix { .. } => "fix",
            Self::Retry { .. } => "retry",
        }
    }

    /// What it means, in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Drop => "leaves the dataset".into(),
            Self::Fix { score, .. } => format!("scored {score:.1} by the operator"),
            Self::Retry { .. } => "goes back to the teacher".into(),
        }
    }
}

/// The one text that was read: a verdict does not pass on to another text of the same pair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReviewSubject {
    pub pair: PairKey,
    pub author: Author,
    /// Digest of the trace as it was read.
    pub trace: Digest,
}

/// One reading, as it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub round: Round,
    pub verdict: Verdict,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub spans: Vec<MarkedSpan>,
    /// From the block on the screen to the verdict; `None` where nobody measured, or the reviewer was away meanwhile.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// The score that the block ends in.
    #[serde(default)]
    pub score: Option<f64>,
    /// Which teacher or which student wrote it.
    #[serde(default)]
    pub source: String,
    /// The order of the queue it was drawn by; empty where it was looked up.
    #[serde(default)]
    pub drawn: String,
    /// Carried over from a keep or a reject of an earlier version, which knew no kinds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried: bool,
}

/// What a row of the audit's book says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum ReviewAct {
    Judged(Reading),
    /// What is to become of the rejected trace.
    Remedied {
        choice: Remedy,
    },
    /// An earlier row does not count; it stays in the book.
    Undone {
        entry: i64,
    },
}

/// A row of the audit's book. Rows are added and never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReviewEntry {
    /// Grows with every row.
    pub id: i64,
    pub subject: ReviewSubject,
    pub act: ReviewAct,
    pub at: UnixMillis,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(start: usize, end: usize, kind: Verdict) -> MarkedSpan {
        MarkedSpan { start, end, kind }
    }

    #[test]
    fn a_verdict_is_read_by_its_id_and_by_its_words() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.id().parse(), Ok(verdict));
            assert_eq!(verdict.label().parse(), Ok(verdict));
            assert_eq!(verdict.id().replace('_', "-").parse(), Ok(verdict));
        }
        let error = "good".parse::<Verdict>().expect_err("no verdict");
        assert!(error.contains("wrong_overlap"), "{error}");
        let glyphs: std::collections::BTreeSet<&str> = Verdict::ALL.iter().map(|v| v.glyph()).collect();
        assert_eq!(glyphs.len(), Verdict::ALL.len(), "no two look alike");
    }

    #[test]
    fn a_mark_that_holds_nothing_or_cuts_a_character_is_refused() {
        let text = "añb";
        let check = |start, end| checked_spans(text, vec![span(start, end, Verdict::Unfaithful)]).err();
        assert_eq!(check(1, 3), None);
        assert_eq!(check(2, 3), Some(SpanError::InsideCharacter { start: 2, end: 3 }));
        assert_eq!(check(2, 2), Some(SpanError::Empty { start: 2, end: 2 }));
        assert_eq!(check(1, 9), Some(SpanError::Outside { end: 9, length: 4 }));
        let two = vec![span(1, 4, Verdict::Faithful), span(0, 3, Verdict::Unfaithful)];
        assert_eq!(checked_spans(text, two).err(), Some(SpanError::Overlap { first: 0, second: 1 }));
    }

    #[test]
    fn a_new_mark_takes_what_it_covers() {
        let old = vec![span(0, 10, Verdict::WrongProfile)];
        let both = mark_span(old, span(3, 5, Verdict::WrongOverlap));
        let expected =
            vec![span(0, 3, Verdict::WrongProfile), span(3, 5, Verdict::WrongOverlap), span(5, 10, Verdict::WrongProfile)];
        assert_eq!(both, expected);
        assert_eq!(clear_span(both, 0..4), vec![span(4, 5, Verdict::WrongOverlap), span(5, 10, Verdict::WrongProfile)]);
    }

    proptest! {
        #[test]
        fn marks_of_any_history_are_in_order_and_apart(marks in prop::collection::vec((0usize..40, 0usize..40, 0usize..6, any::<bool>()), 0..20)) {
            let text = "x".repeat(40);
            let mut spans = Vec::new();
            for (a, b, kind, clears) in marks {
                let (start, end) = (a.min(b), a.max(b));
                spans = if clears { clear_span(spans, start..end) } else { mark_span(spans, span(start, end, Verdict::ALL[kind])) };
            }
            prop_assert_eq!(checked_spans(&text, spans.clone()), Ok(spans));
        }
    }
}
