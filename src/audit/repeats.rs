//! Blind repeats: of every so many judged blocks one comes back with its verdict hidden, to measure the reviewer.

use std::collections::HashSet;

use super::Book;
use crate::domain::{Author, Digester, ReviewAct, ReviewSubject, Round};

/// One repeat for so many first readings.
pub const REPEAT_EVERY: usize = 10;

/// A block comes back only after so many others: what was just read is remembered, not read.
const APART: usize = 5;

/// The block that comes back now; `None`: none is due. `current` are the texts that can still be shown. The same book and
/// seed give the same block, until it is judged.
pub fn due(book: &Book, author: Author, seed: u64, current: impl Fn(&ReviewSubject) -> bool) -> Option<ReviewSubject> {
    let repeated: HashSet<&ReviewSubject> = book
        .live()
        .iter()
        .filter(|e| matches!(&e.act, ReviewAct::Judged(r) if r.round == Round::Blind))
        .map(|e| &e.subject)
        .collect();
    let blinds = repeated.iter().filter(|s| s.author == author).count();
    let read: Vec<&ReviewSubject> =
        book.standings().into_iter().map(|(subject, _)| subject).filter(|s| s.author == author && current(s)).collect();
    if read.len() / REPEAT_EVERY <= blinds {
        return None;
    }
    let draw = |s: &ReviewSubject| {
        let (pair, trace) = (&s.pair, s.trace.as_str());
        let seeded = Digester::new().field("repeat").field(seed.to_le_bytes());
        seeded.field(pair.article.as_str()).field(pair.profile.as_str()).field(trace).finish()
    };
    let old = &read[..read.len().saturating_sub(APART)];
    old.iter().filter(|s| !repeated.contains(**s)).min_by_key(|s| draw(s)).map(|s| (*s).clone())
}

#[cfg(test)]
mod tests {
    use super::super::book::testing::*;
    use super::*;
    use crate::domain::Verdict;

    fn read(n: usize) -> Vec<(ReviewSubject, ReviewAct)> {
        (0..n).map(|i| judged(&format!("a{i}"), Verdict::Faithful)).collect()
    }

    fn due_of(acts: Vec<(ReviewSubject, ReviewAct)>) -> Option<String> {
        due(&Book::of(entries(acts)), Author::Teacher, 7, |_| true).map(|s| s.pair.article.to_string())
    }

    #[test]
    fn one_of_ten_comes_back_and_never_one_that_was_just_read() {
        assert_eq!(due_of(read(9)), None);
        let first = due_of(read(10)).expect("one is due");
        assert!(["a0", "a1", "a2", "a3", "a4"].contains(&first.as_str()), "{first}");
        assert_eq!(due_of(read(10)).as_ref(), Some(&first), "it stays the same until it is judged");
    }

    #[test]
    fn a_judged_repeat_is_not_repeated_and_an_undone_one_is_due_again() {
        let mut acts = read(10);
        let first = due_of(acts.clone()).expect("due");
        acts.push(blind(&first, Verdict::Faithful));
        assert_eq!(due_of(acts.clone()), None);
        let mut undoing = acts.clone();
        undoing.push(undone(&first, 11));
        assert_eq!(due_of(undoing).as_ref(), Some(&first));
        acts.extend((10..20).map(|i| judged(&format!("a{i}"), Verdict::Unfaithful)));
        let second = due_of(acts).expect("the next ten bring the next");
        assert_ne!(second, first);
    }

    #[test]
    fn what_can_no_longer_be_shown_does_not_come_back() {
        let book = Book::of(entries(read(30)));
        assert_eq!(due(&book, Author::Teacher, 7, |_| false), None);
        assert_eq!(due(&book, Author::Student, 7, |_| true), None);
    }
}
