//! The book as it stands: which verdict counts, what becomes of a rejected trace, what can be taken back.
//!
//! Owns the folding of rows into standings. Pure: the same rows give the same standings, and a row that was undone counts
//! as if it had never been written.

use std::collections::{HashMap, HashSet};

use crate::domain::{Author, PairKey, Reading, Remedy, ReviewAct, ReviewEntry, ReviewSubject, Round, UnixMillis, Verdict};

/// What counts of one text now.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Number of the row with the verdict.
    pub entry: i64,
    pub reading: Reading,
    /// What becomes of it; of no meaning where the verdict does not reject.
    pub remedy: Remedy,
    /// Number of the row with the remedy; 0: nobody chose.
    pub remedied: i64,
    /// How often it was sent back to the teacher, by the remedy that counts.
    pub sent_back: usize,
    pub at: UnixMillis,
}

impl Standing {
    /// What becomes of the trace, if it was rejected.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.reading.verdict.rejects().then_some(&self.remedy)
    }
}

/// A blind reading beside the verdict that stood when it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    pub subject: ReviewSubject,
    pub first: Verdict,
    pub again: Verdict,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    standing: HashMap<ReviewSubject, Standing>,
    repeats: Vec<Repeat>,
    /// Rows that count, oldest first.
    live: Vec<ReviewEntry>,
    last: i64,
}

impl Book {
    pub fn of(entries: Vec<ReviewEntry>) -> Self {
        let undone: HashSet<i64> =
            entries.iter().filter_map(|e| if let ReviewAct::Undone { entry } = e.act { Some(entry) } else { None }).collect();
        let last = entries.last().map_or(0, |e| e.id);
        let counts = |e: &ReviewEntry| !undone.contains(&e.id) && !matches!(e.act, ReviewAct::Undone { .. });
        let live: Vec<ReviewEntry> = entries.into_iter().filter(counts).collect();
        let mut book = Self { last, ..Self::default() };
        for entry in &live {
            book.take(entry);
        }
        book.live = live;
        book
    }

    fn take(&mut self, entry: &ReviewEntry) {
        let held = self.standing.get_mut(&entry.subject);
        match (&entry.act, held) {
            (ReviewAct::Judged(reading), held) if reading.round == Round::First => {
                // Another name for what is wrong leaves what becomes of it alone.
                let (remedy, remedied, sent_back) = match held {
                    Some(s) if s.reading.verdict.rejects() && reading.verdict.rejects() => {
                        (s.remedy.clone(), s.remedied, s.sent_back)
                    }
                    _ => (Remedy::default(), 0, 0),
                };
                let (reading, at) = (reading.clone(), entry.at);
                let standing = Standing { entry: entry.id, reading, remedy, remedied, sent_back, at };
                self.standing.insert(entry.subject.clone(), standing);
            }
            (ReviewAct::Judged(reading), Some(held)) => {
                let (first, again) = (held.reading.verdict, reading.verdict);
                self.repeats.push(Repeat { subject: entry.subject.clone(), first, again });
            }
            (ReviewAct::Remedied { choice }, Some(held)) if held.reading.verdict.rejects() => {
                held.sent_back = if matches!(choice, Remedy::Retry { .. }) { held.sent_back + 1 } else { 0 };
                (held.remedy, held.remedied) = (choice.clone(), entry.id);
            }
            // What it was about was undone.
            (ReviewAct::Judged(_) | ReviewAct::Remedied { .. } | ReviewAct::Undone { .. }, _) => {}
        }
    }

    /// Number of the newest row, undone ones counted.
    pub fn last(&self) -> i64 {
        self.last
    }

    pub fn standing(&self, subject: &ReviewSubject) -> Option<&Standing> {
        self.standing.get(subject)
    }

    /// Every text with a verdict, by the row it was given in.
    pub fn standings(&self) -> Vec<(&ReviewSubject, &Standing)> {
        let mut all: Vec<_> = self.standing.iter().collect();
        all.sort_by_key(|(_, s)| s.entry);
        all
    }

    /// Blind readings, oldest first.
    pub fn repeats(&self) -> &[Repeat] {
        &self.repeats
    }

    /// Rows that count, oldest first.
    pub fn live(&self) -> &[ReviewEntry] {
        &self.live
    }

    /// What undoing would take back: the newest row that counts, of one pair or of all.
    pub fn undoable(&self, pair: Option<&PairKey>, author: Option<Author>) -> Option<&ReviewEntry> {
        let fits = |e: &&ReviewEntry| {
            pair.is_none_or(|p| *p == e.subject.pair) && author.is_none_or(|author| author == e.subject.author)
        };
        self.live.iter().rev().find(fits)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::domain::Digest;

    pub fn subject(name: &str, author: Author) -> ReviewSubject {
        let pair = PairKey { article: name.parse().expect("id"), profile: "p".parse().expect("id") };
        ReviewSubject { pair, author, trace: Digest::of(name) }
    }

    pub fn reading(round: Round, verdict: Verdict) -> Reading {
        Reading {
            round,
            verdict,
            note: String::new(),
            spans: Vec::new(),
            seconds: None,
            score: Some(1.0),
            source: "t".into(),
            drawn: String::new(),
            carried: false,
        }
    }

    pub fn retry() -> Remedy {
        Remedy::Retry { why: "it is wrong".into() }
    }

    /// Rows in order, numbered from 1.
    pub fn entries(acts: impl IntoIterator<Item = (ReviewSubject, ReviewAct)>) -> Vec<ReviewEntry> {
        let entry = |(i, (subject, act)): (usize, (ReviewSubject, ReviewAct))| {
            let id = i64::try_from(i).expect("small") + 1;
            ReviewEntry { id, subject, act, at: UnixMillis(id) }
        };
        acts.into_iter().enumerate().map(entry).collect()
    }

    pub fn judged(name: &str, verdict: Verdict) -> (ReviewSubject, ReviewAct) {
        (subject(name, Author::Teacher), ReviewAct::Judged(reading(Round::First, verdict)))
    }

    pub fn blind(name: &str, verdict: Verdict) -> (ReviewSubject, ReviewAct) {
        (subject(name, Author::Teacher), ReviewAct::Judged(reading(Round::Blind, verdict)))
    }

    pub fn remedied(name: &str, choice: Remedy) -> (ReviewSubject, ReviewAct) {
        (subject(name, Author::Teacher), ReviewAct::Remedied { choice })
    }

    pub fn undone(name: &str, entry: i64) -> (ReviewSubject, ReviewAct) {
        (subject(name, Author::Teacher), ReviewAct::Undone { entry })
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;
    use proptest::prelude::*;

    fn verdict(book: &Book, name: &str) -> Option<Verdict> {
        book.standing(&subject(name, Author::Teacher)).map(|s| s.reading.verdict)
    }

    #[test]
    fn the_newest_verdict_counts_and_undoing_it_brings_the_one_before_back() {
        let acts = [judged("a", Verdict::Faithful), judged("a", Verdict::WrongOverlap)];
        let book = Book::of(entries(acts.clone()));
        assert_eq!(verdict(&book, "a"), Some(Verdict::WrongOverlap));
        assert_eq!(book.undoable(None, None).map(|e| e.id), Some(2));
        let back = Book::of(entries(acts.into_iter().chain([undone("a", 2)])));
        assert_eq!(verdict(&back, "a"), Some(Verdict::Faithful));
        assert_eq!(back.undoable(None, None).map(|e| e.id), Some(1), "what was undone is not undone again");
        assert_eq!(back.last(), 3, "the history stays");
    }

    #[test]
    fn a_blind_reading_measures_the_reviewer_and_changes_nothing() {
        let book =
            Book::of(entries([judged("a", Verdict::Faithful), blind("a", Verdict::Unfaithful), blind("b", Verdict::Faithful)]));
        assert_eq!(verdict(&book, "a"), Some(Verdict::Faithful));
        assert_eq!(book.repeats().len(), 1, "a blind reading without a first one compares with nothing");
        assert_eq!((book.repeats()[0].first, book.repeats()[0].again), (Verdict::Faithful, Verdict::Unfaithful));
    }

    #[test]
    fn a_repeat_compares_with_the_verdict_that_stood_then() {
        let acts = [judged("a", Verdict::Faithful), blind("a", Verdict::Faithful), judged("a", Verdict::Unfaithful)];
        assert_eq!(Book::of(entries(acts)).repeats()[0].first, Verdict::Faithful);
    }

    #[test]
    fn a_remedy_stays_with_another_name_for_what_is_wrong_and_goes_with_the_rejection() {
        let fix = Remedy::Fix { score: 2.0, reason: "r".into(), keeps_think: false };
        let acts = vec![judged("a", Verdict::WrongProfile), remedied("a", fix.clone()), judged("a", Verdict::Unfaithful)];
        let remedy = |acts: Vec<_>| {
            let book = Book::of(entries(acts));
            book.standing(&subject("a", Author::Teacher)).and_then(|s| s.remedy().cloned())
        };
        assert_eq!(remedy(acts.clone()), Some(fix));
        let kept: Vec<_> = acts.iter().cloned().chain([judged("a", Verdict::Faithful)]).collect();
        assert_eq!(remedy(kept.clone()), None);
        assert_eq!(remedy(kept.into_iter().chain([judged("a", Verdict::Unfaithful)]).collect()), Some(Remedy::Drop));
        assert_eq!(remedy(acts.into_iter().chain([undone("a", 2)]).collect()), Some(Remedy::Drop));
    }

    #[test]
    fn sending_back_twice_is_counted_and_another_remedy_ends_it() {
        let sent = |acts: Vec<_>| Book::of(entries(acts)).standing(&subject("a", Author::Teacher)).map(|s| s.sent_back);
        let twice = vec![judged("a", Verdict::Unfaithful), remedied("a", retry()), remedied("a", retry())];
        assert_eq!(sent(twice.clone()), Some(2));
        assert_eq!(sent(twice.into_iter().chain([remedied("a", Remedy::Drop)]).collect()), Some(0));
    }

    proptest! {
        #[test]
        fn undoing_everything_newest_first_empties_the_book_and_loses_no_row(
            acts in prop::collection::vec((0usize..4, 0usize..6, 0u8..4), 0..25)
        ) {
            let act = |(name, verdict, kind): (usize, usize, u8)| {
                let name = format!("a{name}");
                match kind {
                    0 => blind(&name, Verdict::ALL[verdict]),
                    1 => remedied(&name, if verdict % 2 == 0 { retry() } else { Remedy::Drop }),
                    _ => judged(&name, Verdict::ALL[verdict]),
                }
            };
            let mut rows: Vec<_> = acts.into_iter().map(act).collect();
            let written = rows.len();
            for _ in 0..written {
                let before = Book::of(entries(rows.clone()));
                let Some(last) = before.undoable(None, None) else { break };
                let without: Vec<_> = entries(rows.clone()).into_iter().filter(|e| e.id != last.id).collect();
                rows.push((last.subject.clone(), ReviewAct::Undone { entry: last.id }));
                let after = Book::of(entries(rows.clone()));
                prop_assert_eq!(&after.standing, &Book::of(without).standing, "undone is as never written");
            }
            let empty = Book::of(entries(rows.clone()));
            prop_assert!(empty.live().is_empty() && empty.standings().is_empty() && empty.repeats().is_empty());
            prop_assert_eq!(rows.len(), written * 2);
        }
    }
}
