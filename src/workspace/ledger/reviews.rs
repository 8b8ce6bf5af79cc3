//! The audit's book: verdicts on think blocks, what becomes of rejected ones, and what was taken back. Rows are added and
//! never changed.

use rusqlite::{Row, params};

use super::decisions::pair_of;
use super::{Ledger, Sql};
use crate::domain::{Author, Digest, ReviewAct, ReviewEntry, ReviewSubject, UnixMillis};
use crate::workspace::WorkspaceError;

impl Ledger {
    /// Adds a row; its number is greater than every earlier one's.
    pub fn add_review(&mut self, subject: &ReviewSubject, act: &ReviewAct, at: UnixMillis) -> Result<i64, WorkspaceError> {
        let sql = "INSERT INTO review_entry (article, profile, author, trace, kind, act, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let kind = match act {
            ReviewAct::Judged(_) => "judged",
            ReviewAct::Remedied { .. } => "remedied",
            ReviewAct::Undone { .. } => "undone",
        };
        let (article, profile) = (subject.pair.article.as_str(), subject.pair.profile.as_str());
        self.transaction(|db| {
            let body = serde_json::to_string(act).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
            db.execute(sql, params![article, profile, subject.author.id(), subject.trace.as_str(), kind, body, at.0])?;
            Ok(db.last_insert_rowid())
        })
    }

    /// The whole book, oldest row first.
    pub fn review_entries(&self) -> Result<Vec<ReviewEntry>, WorkspaceError> {
        self.run(|db| {
            let mut query =
                db.prepare_cached("SELECT id, article, profile, author, trace, act, at FROM review_entry ORDER BY id")?;
            let rows = query.query_map([], entry_of)?;
            rows.collect()
        })
    }

    /// The number of the newest row; it tells whether the book has grown.
    pub fn last_review(&self) -> Result<i64, WorkspaceError> {
        self.run(|db| db.query_row("SELECT coalesce(max(id), 0) FROM review_entry", [], |r| r.get(0)))
    }
}

fn entry_of(r: &Row<'_>) -> Sql<ReviewEntry> {
    let unreadable = |e: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(e));
    let author = if r.get::<_, String>(3)? == Author::Student.id() { Author::Student } else { Author::Teacher };
    Ok(ReviewEntry {
        id: r.get(0)?,
        subject: ReviewSubject {
            pair: pair_of(&r.get::<_, String>(1)?, &r.get::<_, String>(2)?)?,
            author,
            trace: Digest::from_hex(r.get::<_, String>(4)?),
        },
        act: serde_json::from_str(&r.get::<_, String>(5)?).map_err(unreadable)?,
        at: UnixMillis(r.get(6)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MarkedSpan, PairKey, Reading, Remedy, Round, Verdict};
    use crate::workspace::ledger::MIGRATIONS;

    fn subject() -> ReviewSubject {
        let pair = PairKey { article: "a1".parse().expect("id"), profile: "p1".parse().expect("id") };
        ReviewSubject { pair, author: Author::Student, trace: Digest::of("read") }
    }

    fn reading() -> Reading {
        Reading {
            round: Round::Blind,
            verdict: Verdict::WrongOverlap,
            note: "an \"ordinary\" note\nof two lines".into(),
            spans: vec![MarkedSpan { start: 0, end: 4, kind: Verdict::WrongArticle }],
            seconds: Some(12.5),
            score: Some(7.5),
            source: "m".into(),
            drawn: "random".into(),
            carried: false,
        }
    }

    #[test]
    fn every_act_comes_back_as_it_was_written_in_the_order_it_was() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut ledger = Ledger::open(&dir.path().join("l.sqlite")).expect("opens");
        assert_eq!(ledger.last_review().expect("reads"), 0);
        let acts = [
            ReviewAct::Judged(reading()),
            ReviewAct::Remedied { choice: Remedy::Fix { score: 3.5, reason: "Because.".into(), keeps_think: true } },
            ReviewAct::Remedied { choice: Remedy::Retry { why: "w".into() } },
            ReviewAct::Undone { entry: 2 },
        ];
        for (i, act) in acts.iter().enumerate() {
            let id = ledger.add_review(&subject(), act, UnixMillis(i as i64)).expect("writes");
            assert_eq!(id, i as i64 + 1);
        }
        let entries = ledger.review_entries().expect("reads");
        assert_eq!(entries.iter().map(|e| e.act.clone()).collect::<Vec<_>>(), acts);
        assert!(entries.iter().all(|e| e.subject == subject()));
        assert_eq!(ledger.last_review().expect("reads"), 4);
    }

    #[test]
    fn verdicts_of_an_earlier_version_are_carried_over_with_their_notes() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("l.sqlite");
        let old = rusqlite::Connection::open(&file).expect("opens");
        for step in &MIGRATIONS[..5] {
            old.execute_batch(step).expect("an earlier schema");
        }
        old.execute_batch(
            "INSERT INTO review VALUES ('a1', 'p1', 't1', 'keep', '', 5);
             INSERT INTO review VALUES ('a0', 'p1', 't0', 'reject', 'says \"no\"', 7);
             PRAGMA user_version = 5;",
        )
        .expect("rows of an older program");
        drop(old);
        let ledger = Ledger::open(&file).expect("opens");
        let entries = ledger.review_entries().expect("reads");
        let told: Vec<(&str, Verdict, &str, i64)> = entries
            .iter()
            .map(|e| match &e.act {
                ReviewAct::Judged(r) => {
                    assert!(r.carried && r.round == Round::First && r.spans.is_empty() && r.seconds.is_none());
                    (e.subject.pair.article.as_str(), r.verdict, r.note.as_str(), e.at.0)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [("a1", Verdict::Faithful, "", 5), ("a0", Verdict::Unfaithful, "says \"no\"", 7)]);
        assert!(entries.iter().all(|e| e.subject.author == Author::Teacher));
        let kept: i64 = ledger.db.query_row("SELECT count(*) FROM review", [], |r| r.get(0)).expect("counts");
        assert_eq!(kept, 2, "the old table stays");
    }
}
