//! What verdicts do to other phases: traces that may not be taught from, scores that take their place, questions that go
//! back to the teacher.
//!
//! Owns the step from standings to these three lists. Verdicts on students change nothing: what a student wrote is in no
//! dataset.

use std::collections::BTreeMap;

use super::Book;
use crate::domain::{Author, Digest, PairKey, Remedy};

/// A score of the operator's in the place of a rejected trace's.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Fixed {
    pub pair: PairKey,
    /// Digest of the rejected trace.
    pub trace: Digest,
    pub score: f64,
    pub reason: String,
    /// The think block argues for this score too, so it stays with it.
    pub keeps_think: bool,
    /// Number of the row that says so; not part of what it says.
    #[serde(skip)]
    pub entry: i64,
}

/// A trace that the teacher is asked about once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBack {
    pub trace: Digest,
    /// How often this same text was sent back.
    pub times: usize,
    /// Number of the row that sent it back: the newest one's words go to the teacher.
    pub entry: i64,
    /// What the reviewer found wrong, for the teacher to read.
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Rejected traces, whatever takes their place; in order of pair and digest.
    pub rejected: Vec<(PairKey, Digest)>,
    /// One a pair, in order of pair: the operator's last word on a pair counts.
    pub fixed: Vec<Fixed>,
    /// By pair, oldest first.
    pub sent_back: BTreeMap<PairKey, Vec<SentBack>>,
}

impl Effects {
    pub fn of(book: &Book) -> Self {
        let mut effects = Self::default();
        let mut last: BTreeMap<&PairKey, i64> = BTreeMap::new();
        for (subject, standing) in book.standings() {
            if subject.author != Author::Teacher {
                continue;
            }
            let newest = last.entry(&subject.pair).or_default();
            *newest = standing.entry.max(standing.remedied).max(*newest);
            let Some(remedy) = standing.remedy() else { continue };
            let (pair, trace) = (&subject.pair, &subject.trace);
            effects.rejected.push((pair.clone(), trace.clone()));
            match remedy {
                Remedy::Drop => {}
                Remedy::Fix { score, reason, keeps_think } => effects.fixed.push(Fixed {
                    pair: pair.clone(),
                    trace: trace.clone(),
                    score: *score,
                    reason: reason.clone(),
                    keeps_think: *keeps_think,
                    entry: standing.entry.max(standing.remedied),
                }),
                Remedy::Retry { why } => {
                    let (times, entry, why) = (standing.sent_back, standing.remedied, why.clone());
                    let back = SentBack { trace: trace.clone(), times, entry, why };
                    effects.sent_back.entry(pair.clone()).or_default().push(back);
                }
            }
        }
        effects.rejected.sort();
        effects.sent_back.values_mut().for_each(|back| back.sort_by_key(|b| b.entry));
        effects.fixed.retain(|f| last.get(&f.pair) == Some(&f.entry));
        effects.fixed.sort_by(|a, b| a.pair.cmp(&b.pair));
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::testing::*;
    use super::*;
    use crate::domain::ReviewAct;
    use crate::domain::{Round, Verdict};

    #[test]
    fn only_rejected_traces_of_the_teacher_have_effects() {
        let student = (subject("s", Author::Student), ReviewAct::Judged(reading(Round::First, Verdict::Unfaithful)));
        let acts =
            [judged("b", Verdict::Unfaithful), judged("a", Verdict::WrongProfile), judged("c", Verdict::Faithful), student];
        let effects = Effects::of(&Book::of(entries(acts)));
        let names: Vec<&str> = effects.rejected.iter().map(|(pair, _)| pair.article.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(effects.fixed.is_empty() && effects.sent_back.is_empty());
    }

    #[test]
    fn another_name_for_what_is_wrong_changes_nothing_and_a_fix_says_its_score() {
        let of = |verdict, choice| Effects::of(&Book::of(entries([judged("a", verdict), remedied("a", choice)])));
        assert_eq!(of(Verdict::WrongOverlap, Remedy::Drop), of(Verdict::Unfaithful, Remedy::Drop));
        let fix = Remedy::Fix { score: 2.5, reason: "r".into(), keeps_think: true };
        let fixed = of(Verdict::WrongCalibration, fix);
        assert_eq!((fixed.rejected.len(), fixed.fixed.len(), fixed.fixed[0].score), (1, 1, 2.5));
    }

    #[test]
    fn of_two_traces_of_one_pair_the_last_word_counts() {
        let fix = |score| Remedy::Fix { score, reason: "r".into(), keeps_think: false };
        let newer = |act| {
            let subject = crate::domain::ReviewSubject { trace: Digest::of("newer"), ..subject("a", Author::Teacher) };
            (subject, act)
        };
        let acts = vec![judged("a", Verdict::Unfaithful), remedied("a", fix(1.0))];
        let of = |more: Vec<_>| Effects::of(&Book::of(entries(acts.clone().into_iter().chain(more))));
        let scores = |e: &Effects| e.fixed.iter().map(|f| f.score.to_string()).collect::<Vec<_>>();
        assert_eq!(scores(&of(Vec::new())), ["1"]);
        let kept = newer(ReviewAct::Judged(reading(Round::First, Verdict::Faithful)));
        assert!(of(vec![kept]).fixed.is_empty(), "the newer trace is faithful: it speaks for itself");
        let again = newer(ReviewAct::Judged(reading(Round::First, Verdict::Unfaithful)));
        let both = of(vec![again, newer(ReviewAct::Remedied { choice: fix(2.0) })]);
        assert_eq!((scores(&both), both.rejected.len()), (vec!["2".to_owned()], 2));
    }

    #[test]
    fn what_goes_back_carries_the_reviewers_words() {
        let acts = vec![judged("a", Verdict::WrongArticle), remedied("a", retry())];
        let of = |acts: Vec<_>| Effects::of(&Book::of(entries(acts)));
        let effects = of(acts.clone());
        let back = &effects.sent_back.values().next().expect("one")[0];
        assert_eq!((back.why.as_str(), back.times, effects.rejected.len()), ("it is wrong", 1, 1));
        let renamed = of(acts.into_iter().chain([judged("a", Verdict::Unfaithful)]).collect());
        assert_eq!(renamed.sent_back, effects.sent_back, "another name asks nothing new");
    }
}
