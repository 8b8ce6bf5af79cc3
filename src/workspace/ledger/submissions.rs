//! Submissions: one batch at a provider, or one handful of requests asked one by one. The row is written before the
//! call is made; found unfinished at start-up, it says what nobody knows.

use rusqlite::{OptionalExtension, params};

use super::{Ledger, Sql};
use crate::domain::{Digest, UnixMillis};
use crate::workspace::{RawFile, WorkspaceError};

/// Where one submission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmissionState {
    /// Written before the call is made; found at start-up, it means nobody knows.
    Submitting,
    Submitted,
    /// Nothing was made: the provider said so, or it was never found there.
    NotSubmitted,
    /// The call went out and no clear answer came back; reconciled by listing.
    Unknown,
    /// All result bytes are stored.
    Downloaded,
    Imported,
}

impl SubmissionState {
    const ALL: [Self; 6] =
        [Self::Submitting, Self::Submitted, Self::NotSubmitted, Self::Unknown, Self::Downloaded, Self::Imported];

    pub fn id(self) -> &'static str {
        match self {
            Self::Submitting => "submitting",
            Self::Submitted => "submitted",
            Self::NotSubmitted => "not submitted",
            Self::Unknown => "unknown",
            Self::Downloaded => "downloaded",
            Self::Imported => "imported",
        }
    }

    fn from_id(id: &str) -> Self {
        // A state this version does not know is treated with the most caution.
        Self::ALL.into_iter().find(|s| s.id() == id).unwrap_or(Self::Unknown)
    }

    pub fn is_open(self) -> bool {
        !matches!(self, Self::NotSubmitted | Self::Imported)
    }
}

/// How far a cancellation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    No,
    /// The operator asked for it.
    Asked,
    /// The provider was told.
    Told,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SubmissionRow {
    pub id: i64,
    pub plan: Digest,
    pub attempt: u32,
    pub state: SubmissionState,
    /// The provider's id of the batch.
    pub remote: Option<String>,
    /// Ours, as the provider was told it.
    pub label: String,
    pub requests: usize,
    pub answered: usize,
    pub created: UnixMillis,
    pub ended: Option<UnixMillis>,
    /// When the provider was last heard of it.
    pub watched: Option<UnixMillis>,
    pub expires: Option<UnixMillis>,
    pub why: Option<String>,
    pub cancel: Cancel,
}

const COLUMNS: &str =
    "id, plan, attempt, state, remote, label, requests, answered, created, ended, watched, expires, why, cancel";

fn submission_of(r: &rusqlite::Row<'_>) -> Sql<SubmissionRow> {
    let time = |i| r.get::<_, Option<i64>>(i).map(|t| t.map(UnixMillis));
    Ok(SubmissionRow {
        id: r.get(0)?,
        plan: Digest::from_hex(r.get::<_, String>(1)?),
        attempt: r.get(2)?,
        state: SubmissionState::from_id(&r.get::<_, String>(3)?),
        remote: r.get(4)?,
        label: r.get(5)?,
        requests: usize::try_from(r.get::<_, i64>(6)?).unwrap_or(0),
        answered: usize::try_from(r.get::<_, i64>(7)?).unwrap_or(0),
        created: UnixMillis(r.get(8)?),
        ended: time(9)?,
        watched: time(10)?,
        expires: time(11)?,
        why: r.get(12)?,
        cancel: match r.get::<_, i64>(13)? {
            0 => Cancel::No,
            1 => Cancel::Asked,
            _ => Cancel::Told,
        },
    })
}

impl Ledger {
    /// The write-ahead row: durable before the provider hears of the batch. The label names it at the provider.
    pub fn begin_submission(
        &mut self,
        plan: &Digest,
        attempt: u32,
        custom_ids: &[String],
        bodies: &Digest,
        at: UnixMillis,
    ) -> Result<SubmissionRow, WorkspaceError> {
        let id = self.transaction(|db| {
            let sql = "INSERT INTO submission (plan, attempt, state, requests, bodies, created) VALUES (?1, ?2, 'submitting', ?3, ?4, ?5)";
            db.execute(sql, params![plan.as_str(), attempt, custom_ids.len() as i64, bodies.as_str(), at.0])?;
            let id = db.last_insert_rowid();
            let label = format!("stratos-{id}-{}", bodies.short());
            db.execute("UPDATE submission SET label = ?2 WHERE id = ?1", params![id, label])?;
            let mut update = db.prepare("UPDATE request SET state = 'submitted', submission = ?2 WHERE custom_id = ?1 AND state = 'planned'")?;
            for custom_id in custom_ids {
                if update.execute(params![custom_id, id])? != 1 {
                    // Somebody else took it: nothing of this chunk may go out.
                    return Err(rusqlite::Error::QueryReturnedNoRows);
                }
            }
            Ok(id)
        })?;
        self.submission(id)?.ok_or_else(|| WorkspaceError::Ledger { file: self.file.clone(), why: "a new row is gone".into() })
    }

    pub fn submission(&self, id: i64) -> Result<Option<SubmissionRow>, WorkspaceError> {
        let sql = format!("SELECT {COLUMNS} FROM submission WHERE id = ?1");
        self.run(|db| db.query_row(&sql, [id], submission_of).optional())
    }

    /// Moves a submission on. What was not made frees its requests to be asked again under the same attempt.
    pub fn set_submission(
        &mut self,
        id: i64,
        state: SubmissionState,
        remote: Option<&str>,
        why: Option<&str>,
        at: UnixMillis,
    ) -> Result<(), WorkspaceError> {
        let ended = (!state.is_open()).then_some(at.0);
        let sql = "UPDATE submission SET state = ?2, remote = coalesce(?3, remote), why = coalesce(?4, why), ended = coalesce(?5, ended) WHERE id = ?1";
        self.transaction(|db| {
            db.execute(sql, params![id, state.id(), remote, why, ended])?;
            if state == SubmissionState::NotSubmitted {
                let free = "UPDATE request SET state = 'planned', submission = NULL, sent = NULL WHERE submission = ?1 AND state = 'submitted'";
                db.execute(free, [id])?;
            }
            Ok(())
        })
    }

    /// Forgets a remote id that turned out to be somebody else's batch.
    pub fn disown(&mut self, id: i64, why: &str) -> Result<(), WorkspaceError> {
        let sql = "UPDATE submission SET state = 'unknown', remote = NULL, why = ?2 WHERE id = ?1";
        self.transaction(|db| db.execute(sql, params![id, why]).map(|_| ()))
    }

    /// What a look at the batch told.
    pub fn set_watched(
        &mut self,
        id: i64,
        answered: Option<usize>,
        expires: Option<UnixMillis>,
        at: UnixMillis,
    ) -> Result<(), WorkspaceError> {
        let sql = "UPDATE submission SET answered = coalesce(?2, answered), expires = coalesce(?3, expires), watched = ?4 WHERE id = ?1";
        let values = params![id, answered.map(|n| n as i64), expires.map(|t| t.0), at.0];
        self.transaction(|db| db.execute(sql, values).map(|_| ()))
    }

    pub fn set_cancel(&mut self, id: i64, cancel: Cancel) -> Result<(), WorkspaceError> {
        let level = match cancel {
            Cancel::No => 0,
            Cancel::Asked => 1,
            Cancel::Told => 2,
        };
        self.transaction(|db| {
            db.execute("UPDATE submission SET cancel = max(cancel, ?2) WHERE id = ?1", params![id, level]).map(|_| ())
        })
    }

    /// Submissions that are not finished, oldest first, of any plan: what was paid for is always brought home.
    pub fn open_submissions(&self) -> Result<Vec<SubmissionRow>, WorkspaceError> {
        let sql = format!("SELECT {COLUMNS} FROM submission WHERE state NOT IN ('imported', 'not submitted') ORDER BY id");
        self.run(|db| db.prepare(&sql)?.query_map([], submission_of)?.collect())
    }

    pub fn submissions(&self) -> Result<Vec<SubmissionRow>, WorkspaceError> {
        let sql = format!("SELECT {COLUMNS} FROM submission ORDER BY id");
        self.run(|db| db.prepare(&sql)?.query_map([], submission_of)?.collect())
    }

    /// Records result bytes that are on the disk, before anything reads them; the same bytes twice are one row, the newer.
    pub fn put_raw(&mut self, submission: i64, raw: &RawFile, at: UnixMillis) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT INTO raw_file (submission, sha256, bytes, file, at) VALUES (?1, ?2, ?3, ?4, ?5) \
                       ON CONFLICT (submission, sha256) DO UPDATE SET at = max(at, excluded.at)";
            db.execute(sql, params![submission, raw.sha256.as_str(), raw.bytes as i64, raw.name, at.0]).map(|_| ())
        })
    }

    /// The newest stored download of a submission.
    pub fn raw_of(&self, submission: i64) -> Result<Option<RawFile>, WorkspaceError> {
        let sql = "SELECT file, sha256, bytes FROM raw_file WHERE submission = ?1 ORDER BY at DESC, id DESC LIMIT 1";
        self.run(|db| {
            db.query_row(sql, [submission], |r| {
                let sha256 = Digest::from_hex(r.get::<_, String>(1)?);
                Ok(RawFile { name: r.get(0)?, sha256, bytes: u64::try_from(r.get::<_, i64>(2)?).unwrap_or(0) })
            })
            .optional()
        })
    }
}
