//! The ledger: SQLite in WAL mode, the truth about what was recorded, bought, decided and made.
//!
//! Owns the schema and its migrations. One file per noun below; the phases decide what the rows mean.

mod answers;
mod decisions;
mod incoming;
mod labels;
mod live;
mod phases;
mod plans;
mod predictions;
mod probes;
mod releases;
mod requests;
mod reviews;
mod scores;
mod seals;
mod sources;
mod submissions;

pub use answers::{Answered, Billed, Importer, Kept, Measured, StoredReject, StoredTrace, Usage};
pub use decisions::{Override, StoredFinding};
pub use incoming::{Incoming, Offered};
pub use labels::{LabelSource, NewSource, StoredLabel};
pub use live::{CachedAnswer, LIVE_KEPT, LIVE_TEXTS, LiveScore};
pub use phases::PhaseRecord;
pub use plans::PlanRow;
pub use predictions::{EvaluationRow, StoredPrediction};
pub use probes::ProbeAnswer;
pub use releases::{GateRow, ReleaseRow};
pub use requests::{NewRequest, Past, RequestRow, RequestState};
pub use scores::{BriefScore, NamedScore};
pub use seals::{Opening, SealRecord};
pub use sources::{Origin, Upserted};
pub use submissions::{Cancel, SubmissionRow, SubmissionState};

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::WorkspaceError;

/// Steps of the schema, in order; a released step is never edited, a new one is added.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
];

/// A connection to the ledger. Each thread has its own; SQLite keeps them apart.
pub struct Ledger {
    db: Connection,
    file: PathBuf,
}

/// What the database answers; callers outside see [`WorkspaceError`].
pub type Sql<T> = rusqlite::Result<T>;

impl Ledger {
    pub fn open(file: &Path) -> Result<Self, WorkspaceError> {
        let wrap = |e: rusqlite::Error| WorkspaceError::Ledger { file: file.to_owned(), why: explain(&e) };
        let mut db = Connection::open(file).map_err(wrap)?;
        // Long enough for another connection's largest transaction; short enough to be noticed.
        db.busy_timeout(Duration::from_secs(20)).map_err(wrap)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(wrap)?;
        // FULL: a paid answer that was reported as stored is on the disk, even if the power goes now.
        db.pragma_update(None, "synchronous", "FULL").map_err(wrap)?;
        db.pragma_update(None, "foreign_keys", true).map_err(wrap)?;
        // Imports touch rows of a whole batch in random order; 48 MB keep them in memory.
        db.pragma_update(None, "cache_size", -48_000).map_err(wrap)?;
        migrate(&mut db).map_err(wrap)?;
        Ok(Self { db, file: file.to_owned() })
    }

    /// A connection for looking only: whatever it is asked, nothing changes. Small caches, since a front end holds it.
    pub fn open_to_read(file: &Path) -> Result<Self, WorkspaceError> {
        let ledger = Self::open(file)?;
        ledger.run(|db| {
            db.pragma_update(None, "query_only", true)?;
            db.pragma_update(None, "cache_size", -4_000)
        })?;
        Ok(ledger)
    }

    /// Runs `work` and says which ledger failed.
    fn run<T>(&self, work: impl FnOnce(&Connection) -> Sql<T>) -> Result<T, WorkspaceError> {
        work(&self.db).map_err(|e| WorkspaceError::Ledger { file: self.file.clone(), why: explain(&e) })
    }

    /// A transaction that has the right to write from its beginning. One that reads first and writes then is refused at once, and
    /// not after a wait, where another process has written in between; consoles and commands open the ledger at any time.
    fn writing(&mut self) -> Sql<rusqlite::Transaction<'_>> {
        self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
    }

    /// Runs `work` in one transaction: all of it is recorded, or nothing.
    fn transaction<T>(&mut self, work: impl FnOnce(&Connection) -> Sql<T>) -> Result<T, WorkspaceError> {
        let file = self.file.clone();
        let wrap = |e: rusqlite::Error| WorkspaceError::Ledger { file, why: explain(&e) };
        let done = self.writing().and_then(|t| {
            let value = work(&t)?;
            t.commit()?;
            Ok(value)
        });
        done.map_err(wrap)
    }
}

impl Ledger {
    /// Runs `work` in one transaction and keeps what it did only if it says so.
    fn transaction_if(&mut self, work: impl FnOnce(&Connection) -> Sql<bool>) -> Result<bool, WorkspaceError> {
        let file = self.file.clone();
        let done = self.writing().and_then(|t| {
            let keep = work(&t)?;
            if keep {
                t.commit()?;
            } else {
                t.rollback()?;
            }
            Ok(keep)
        });
        done.map_err(|e| WorkspaceError::Ledger { file, why: explain(&e) })
    }
}

fn migrate(db: &mut Connection) -> Sql<()> {
    // Nothing to do is nothing to write: who only looks does not wait for who writes.
    let version: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version as usize == MIGRATIONS.len() {
        return Ok(());
    }
    let t = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = t.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = version as usize;
    if version > MIGRATIONS.len() {
        let why = format!("it was written by a newer StratOS (schema {version}; this one knows {})", MIGRATIONS.len());
        return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
    }
    for step in &MIGRATIONS[version..] {
        t.execute_batch(step)?;
    }
    t.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
    t.commit()
}

/// SQLite's words, with what to do about the usual ones.
fn explain(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode as C;
    let remedy = match error.sqlite_error_code() {
        Some(C::DiskFull) => "Free some disk space and run again; what was recorded before is safe",
        Some(C::ReadOnly | C::CannotOpen | C::PermissionDenied) => "Make .stratos/ writable, or work in a copy of the workspace",
        Some(C::DatabaseBusy | C::DatabaseLocked) => "Another process holds it; close that one and run again",
        Some(C::NotADatabase | C::DatabaseCorrupt) => {
            "Restore .stratos/ledger.sqlite from a backup; do not delete it: it holds paid answers"
        }
        _ => "Run again; if it stays, report it with this text",
    };
    match error {
        rusqlite::Error::ToSqlConversionFailure(why) => why.to_string(),
        other => format!("{other}. {remedy}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_of_a_newer_program_is_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("ledger.sqlite");
        drop(Ledger::open(&file).expect("opens"));
        Connection::open(&file).and_then(|db| db.pragma_update(None, "user_version", 99)).expect("writes");
        let error = Ledger::open(&file).err().expect("newer").to_string();
        assert!(error.contains("newer StratOS"), "{error}");
    }

    #[test]
    fn a_ledger_of_the_first_schema_is_carried_over_with_what_it_holds() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("ledger.sqlite");
        let old = Connection::open(&file).expect("opens");
        old.execute_batch(MIGRATIONS[0]).expect("the first schema");
        old.execute_batch(
            "INSERT INTO plan VALUES ('p', 'i', 'rehearsal', 'm', 1, '{}');
             INSERT INTO submission (id, plan, attempt, state, remote, requests, bodies, created) VALUES (1, 'p', 1, 'imported', 'r', 1, 'b', 1);
             INSERT INTO request VALUES ('c-1', 'p', 'k', 'a1', 'p1', 1, 'kept', 1);
             INSERT INTO response VALUES ('c-1', 'text', 'end', 10, 5, 1);
             INSERT INTO raw_result (submission, sha256, at, bytes) VALUES (1, 's', 1, x'00');
             PRAGMA user_version = 1;",
        )
        .expect("rows of an older program");
        drop(old);
        let ledger = Ledger::open(&file).expect("opens");
        let plan = ledger.plans().expect("reads").pop().expect("kept");
        assert_eq!((plan.kind.as_str(), plan.void), ("traces", None));
        assert_eq!(ledger.usage(&plan.digest).expect("reads").tokens, crate::domain::Tokens::plain(10, 5));
        assert_eq!(ledger.requests_of(1).expect("reads").len(), 1);
        let kept: i64 = ledger.db.query_row("SELECT count(*) FROM raw_result", [], |r| r.get(0)).expect("counts");
        assert_eq!(kept, 1);
    }

    #[test]
    fn a_full_disk_loses_nothing_that_was_recorded() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut ledger = Ledger::open(&dir.path().join("ledger.sqlite")).expect("opens");
        let first = crate::domain::Digest::of("first");
        ledger.acknowledge(&first, crate::domain::UnixMillis(1)).expect("recorded");
        // SQLite's own limit answers as a full disk does.
        let pages: i64 = ledger.db.pragma_query_value(None, "page_count", |r| r.get(0)).expect("counts");
        ledger.db.pragma_update(None, "max_page_count", pages).expect("limits");
        let error =
            ledger.put_evaluation(&first, &"x".repeat(1 << 20), "", crate::domain::UnixMillis(2)).expect_err("full").to_string();
        assert!(error.contains("Free some disk space"), "{error}");
        assert!(ledger.is_acknowledged(&first).expect("reads"));
        assert_eq!(ledger.evaluation(&first).expect("reads"), None);
    }

    #[test]
    fn a_file_that_is_no_database_is_not_touched() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("ledger.sqlite");
        std::fs::write(&file, vec![b'x'; 4096]).expect("writes");
        let error = Ledger::open(&file).err().expect("not a database").to_string();
        assert!(error.contains("backup"), "{error}");
        assert_eq!(std::fs::read(&file).expect("reads"), vec![b'x'; 4096]);
    }
}
