//! What the library has answered, by question.
//!
//! Owns which answers are kept, which are old, and what is still to be asked. An old answer stays on the screen until the
//! new one is there, so that a list does not flicker while rows change.

use std::collections::HashMap;
use std::mem::discriminant;

use crate::engine::{Answer, Query};

#[derive(Debug)]
struct Slot {
    /// Counts up at each use; the smallest of a kind is let go first.
    used: u64,
    /// The revision of its phase when it was asked.
    revision: u64,
    asked: bool,
    answer: Option<Answer>,
    failed: Option<String>,
}

/// Answers and open questions.
#[derive(Debug, Default)]
pub struct Shelf {
    slots: HashMap<Query, Slot>,
    uses: u64,
}

impl Shelf {
    /// The answer, perhaps an old one that is being asked again.
    pub fn get(&self, query: &Query) -> Option<&Answer> {
        self.slots.get(query)?.answer.as_ref()
    }

    /// The answer, or the newest one of the same kind while it is not there yet.
    pub fn newest_like(&self, query: &Query) -> Option<&Answer> {
        self.get(query).or_else(|| {
            let alike = self.slots.iter().filter(|(other, _)| discriminant(*other) == discriminant(query));
            alike.filter(|(_, slot)| slot.answer.is_some()).max_by_key(|(_, slot)| slot.used)?.1.answer.as_ref()
        })
    }

    /// Why there is no answer, if the library said so.
    pub fn failed(&self, query: &Query) -> Option<&str> {
        self.slots.get(query)?.failed.as_deref()
    }

    /// Asked and not answered yet.
    pub fn waits(&self, query: &Query) -> bool {
        self.slots.get(query).is_some_and(|slot| slot.asked)
    }

    /// Of these questions, those that have to be asked now: never asked, or answered from rows that have changed since.
    pub fn missing(&mut self, wanted: Vec<Query>, revisions: &[u64; 8]) -> Vec<Query> {
        let mut ask = Vec::new();
        for query in wanted {
            self.uses += 1;
            let revision = revisions[query.phase().index()];
            let slot = self.slots.entry(query.clone()).or_insert(Slot {
                used: 0,
                revision: u64::MAX,
                asked: false,
                answer: None,
                failed: None,
            });
            slot.used = self.uses;
            if slot.revision != revision {
                (slot.revision, slot.asked) = (revision, true);
                ask.push(query);
            }
        }
        ask
    }

    /// Puts an answer in its place. `None`: the question was passed over for a newer one, and may be asked again.
    pub fn put(&mut self, query: &Query, answer: Option<Result<Answer, String>>) {
        let Some(slot) = self.slots.get_mut(query) else { return };
        slot.asked = false;
        match answer {
            Some(Ok(answer)) => (slot.answer, slot.failed) = (Some(answer), None),
            Some(Err(why)) => (slot.answer, slot.failed) = (None, Some(why)),
            None => slot.revision = u64::MAX,
        }
        self.let_go(query);
    }

    /// Keeps as many answers of this kind as the kind is worth.
    fn let_go(&mut self, like: &Query) {
        let mut alike: Vec<(u64, Query)> = self
            .slots
            .iter()
            .filter(|(query, slot)| discriminant(*query) == discriminant(like) && !slot.asked)
            .map(|(query, slot)| (slot.used, query.clone()))
            .collect();
        let surplus = alike.len().saturating_sub(like.kept());
        alike.sort_unstable_by_key(|(used, _)| *used);
        for (_, query) in alike.into_iter().take(surplus) {
            self.slots.remove(&query);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{ArticleSort, Found};

    fn find(filter: &str) -> Query {
        Query::FindArticles { filter: filter.into(), sort: ArticleSort::Order, deep: false }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the library gives it")]
    fn found(row: u32) -> Option<Result<Answer, String>> {
        Some(Ok(Answer::Found(Arc::new(Found { rows: vec![row], remark: None }))))
    }

    fn rows(answer: Option<&Answer>) -> Vec<u32> {
        match answer {
            Some(Answer::Found(found)) => found.rows.clone(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_question_is_asked_once_until_its_phase_changes_and_the_old_answer_stays_meanwhile() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.missing(vec![find("a")], &[1; 8]), [find("a")]);
        assert!(shelf.missing(vec![find("a")], &[1; 8]).is_empty(), "it waits");
        assert!(shelf.waits(&find("a")));
        shelf.put(&find("a"), found(7));
        assert!(shelf.missing(vec![find("a")], &[1; 8]).is_empty());
        assert_eq!(shelf.missing(vec![find("a")], &[2; 8]), [find("a")]);
        assert_eq!(rows(shelf.get(&find("a"))), [7]);
    }

    #[test]
    fn while_an_answer_is_away_the_newest_of_its_kind_stands_in() {
        let mut shelf = Shelf::default();
        shelf.missing(vec![find("a")], &[1; 8]);
        shelf.put(&find("a"), found(1));
        shelf.missing(vec![find("ab")], &[1; 8]);
        assert!(shelf.get(&find("ab")).is_none());
        assert_eq!(rows(shelf.newest_like(&find("ab"))), [1]);
    }

    #[test]
    fn a_question_that_was_passed_over_is_asked_again_when_it_is_wanted() {
        let mut shelf = Shelf::default();
        shelf.missing(vec![find("a")], &[1; 8]);
        shelf.put(&find("a"), None);
        assert_eq!(shelf.missing(vec![find("a")], &[1; 8]), [find("a")]);
    }

    #[test]
    fn only_the_answers_used_last_are_kept() {
        let mut shelf = Shelf::default();
        for letter in ["a", "b", "c", "d"] {
            shelf.missing(vec![find(letter)], &[1; 8]);
            shelf.put(&find(letter), found(0));
        }
        let kept: Vec<&str> = ["a", "b", "c", "d"].into_iter().filter(|l| shelf.get(&find(l)).is_some()).collect();
        assert_eq!(kept, ["c", "d"]);
    }
}
