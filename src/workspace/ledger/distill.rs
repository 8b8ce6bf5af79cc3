//! Plans, approvals, submissions, requests, raw answers, traces: nothing bought twice, nothing lost.
//!
//! Owns the rows and the order in which they become durable. Which transitions are right is `distill`'s.

use rusqlite::{OptionalExtension, params};

use super::decisions::pair_of;
use super::{Ledger, Sql};
use crate::domain::{Digest, PairKey, Reject, Trace, UnixMillis, Usd};
use crate::workspace::WorkspaceError;

/// What an approval is for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRow {
    pub digest: Digest,
    /// The distill phase's input that the plan was made for.
    pub input: Digest,
    pub provider: String,
    pub model: String,
    pub created: UnixMillis,
    /// The estimate, as JSON.
    pub estimate: String,
}

/// Where one request stands. Every request ends as kept or rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    Planned,
    Submitted,
    Kept,
    Rejected,
}

impl RequestState {
    pub fn id(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Submitted => "submitted",
            Self::Kept => "kept",
            Self::Rejected => "rejected",
        }
    }
}

/// Where one batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmissionState {
    /// Written before the call is made; found at start-up, it means nobody knows.
    Submitting,
    Submitted,
    /// The provider said clearly that it made nothing.
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
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewRequest {
    pub custom_id: String,
    pub cache_key: Digest,
    pub pair: PairKey,
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RequestRow {
    pub custom_id: String,
    pub cache_key: Digest,
    pub pair: PairKey,
    pub attempt: u32,
    pub state: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SubmissionRow {
    pub id: i64,
    pub plan: Digest,
    pub attempt: u32,
    pub state: SubmissionState,
    pub remote: Option<String>,
    pub requests: usize,
    pub answered: usize,
    pub bodies: Digest,
    pub created: UnixMillis,
    pub ended: Option<UnixMillis>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// One request's answer, examined: what import writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub request: RequestRow,
    pub text: String,
    pub stop: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub billed: bool,
    pub result: Result<Trace, Reject>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StoredTrace {
    pub trace: Trace,
    pub cache_key: Digest,
    pub digest: Digest,
    pub provider: String,
    pub model: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StoredReject {
    pub pair: PairKey,
    pub attempt: u32,
    pub reject: Reject,
    pub raw: String,
}

const SUBMISSION_COLUMNS: &str = "id, plan, attempt, state, remote, requests, answered, bodies, created, ended";

fn submission_of(r: &rusqlite::Row<'_>) -> Sql<SubmissionRow> {
    Ok(SubmissionRow {
        id: r.get(0)?,
        plan: Digest::from_hex(r.get::<_, String>(1)?),
        attempt: r.get(2)?,
        state: SubmissionState::from_id(&r.get::<_, String>(3)?),
        remote: r.get(4)?,
        requests: usize::try_from(r.get::<_, i64>(5)?).unwrap_or(0),
        answered: usize::try_from(r.get::<_, i64>(6)?).unwrap_or(0),
        bodies: Digest::from_hex(r.get::<_, String>(7)?),
        created: UnixMillis(r.get(8)?),
        ended: r.get::<_, Option<i64>>(9)?.map(UnixMillis),
    })
}

fn request_of(r: &rusqlite::Row<'_>) -> Sql<RequestRow> {
    Ok(RequestRow {
        custom_id: r.get(0)?,
        cache_key: Digest::from_hex(r.get::<_, String>(1)?),
        pair: pair_of(&r.get::<_, String>(2)?, &r.get::<_, String>(3)?)?,
        attempt: r.get(4)?,
        state: r.get(5)?,
    })
}

impl Ledger {
    /// Records a plan and its requests. A plan that is known already stays as it is.
    pub fn put_plan(&mut self, plan: &PlanRow, requests: &[NewRequest]) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql =
                "INSERT OR IGNORE INTO plan (digest, input, provider, model, created, estimate) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let values =
                params![plan.digest.as_str(), plan.input.as_str(), plan.provider, plan.model, plan.created.0, plan.estimate];
            db.execute(sql, values)?;
            insert_requests(db, &plan.digest, requests)
        })
    }

    /// Adds the requests of a further attempt to a plan.
    pub fn add_requests(&mut self, plan: &Digest, requests: &[NewRequest]) -> Result<(), WorkspaceError> {
        self.transaction(|db| insert_requests(db, plan, requests))
    }

    /// The newest plan made for an input.
    pub fn plan_for(&self, input: &Digest) -> Result<Option<PlanRow>, WorkspaceError> {
        let sql = "SELECT digest, input, provider, model, created, estimate FROM plan WHERE input = ?1 ORDER BY created DESC, rowid DESC LIMIT 1";
        self.run(|db| {
            db.query_row(sql, [input.as_str()], |r| {
                Ok(PlanRow {
                    digest: Digest::from_hex(r.get::<_, String>(0)?),
                    input: Digest::from_hex(r.get::<_, String>(1)?),
                    provider: r.get(2)?,
                    model: r.get(3)?,
                    created: UnixMillis(r.get(4)?),
                    estimate: r.get(5)?,
                })
            })
            .optional()
        })
    }

    /// Records an approval and returns the ceiling in force.
    pub fn put_approval(&mut self, plan: &Digest, ceiling: Usd, at: UnixMillis) -> Result<(), WorkspaceError> {
        let sql = "INSERT INTO approval (plan, ceiling, at) VALUES (?1, ?2, ?3)";
        let ceiling = ceiling.amount().to_string();
        self.transaction(|db| db.execute(sql, params![plan.as_str(), ceiling, at.0]).map(|_| ()))
    }

    /// The ceiling last approved for a plan.
    pub fn approved_ceiling(&self, plan: &Digest) -> Result<Option<Usd>, WorkspaceError> {
        let sql = "SELECT ceiling FROM approval WHERE plan = ?1 ORDER BY id DESC LIMIT 1";
        let text: Option<String> = self.run(|db| db.query_row(sql, [plan.as_str()], |r| r.get(0)).optional())?;
        Ok(text.and_then(|t| t.parse().ok()))
    }

    /// Requests of a plan in one state, in the order they were planned.
    pub fn requests_in(&self, plan: &Digest, state: RequestState) -> Result<Vec<RequestRow>, WorkspaceError> {
        let sql = "SELECT custom_id, cache_key, article, profile, attempt, state FROM request WHERE plan = ?1 AND state = ?2 ORDER BY rowid";
        self.run(|db| db.prepare(sql)?.query_map(params![plan.as_str(), state.id()], request_of)?.collect())
    }

    pub fn requests_of(&self, submission: i64) -> Result<Vec<RequestRow>, WorkspaceError> {
        let sql =
            "SELECT custom_id, cache_key, article, profile, attempt, state FROM request WHERE submission = ?1 ORDER BY rowid";
        self.run(|db| db.prepare(sql)?.query_map([submission], request_of)?.collect())
    }

    /// The write-ahead row: durable before the provider hears of the batch.
    pub fn begin_submission(
        &mut self,
        plan: &Digest,
        attempt: u32,
        custom_ids: &[String],
        bodies: &Digest,
        at: UnixMillis,
    ) -> Result<i64, WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT INTO submission (plan, attempt, state, requests, bodies, created) VALUES (?1, ?2, 'submitting', ?3, ?4, ?5)";
            db.execute(sql, params![plan.as_str(), attempt, custom_ids.len() as i64, bodies.as_str(), at.0])?;
            let id = db.last_insert_rowid();
            let mut update = db.prepare("UPDATE request SET state = 'submitted', submission = ?2 WHERE custom_id = ?1 AND state = 'planned'")?;
            for custom_id in custom_ids {
                update.execute(params![custom_id, id])?;
            }
            Ok(id)
        })
    }

    pub fn set_submission(
        &mut self,
        id: i64,
        state: SubmissionState,
        remote: Option<&str>,
        at: UnixMillis,
    ) -> Result<(), WorkspaceError> {
        let ended = matches!(state, SubmissionState::NotSubmitted | SubmissionState::Imported).then_some(at.0);
        let sql = "UPDATE submission SET state = ?2, remote = coalesce(?3, remote), ended = coalesce(?4, ended) WHERE id = ?1";
        self.transaction(|db| {
            db.execute(sql, params![id, state.id(), remote, ended])?;
            if state == SubmissionState::NotSubmitted {
                // Nothing was made at the provider: its requests are free to be asked again.
                db.execute(
                    "UPDATE request SET state = 'planned', submission = NULL WHERE submission = ?1 AND state = 'submitted'",
                    [id],
                )?;
            }
            Ok(())
        })
    }

    pub fn set_answered(&mut self, id: i64, answered: usize) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            db.execute("UPDATE submission SET answered = ?2 WHERE id = ?1", params![id, answered as i64]).map(|_| ())
        })
    }

    /// Submissions that are not finished, oldest first, of any plan: what was paid for is always brought home.
    pub fn open_submissions(&self) -> Result<Vec<SubmissionRow>, WorkspaceError> {
        let sql =
            format!("SELECT {SUBMISSION_COLUMNS} FROM submission WHERE state NOT IN ('imported', 'not submitted') ORDER BY id");
        self.run(|db| db.prepare(&sql)?.query_map([], submission_of)?.collect())
    }

    pub fn submissions(&self) -> Result<Vec<SubmissionRow>, WorkspaceError> {
        let sql = format!("SELECT {SUBMISSION_COLUMNS} FROM submission ORDER BY id");
        self.run(|db| db.prepare(&sql)?.query_map([], submission_of)?.collect())
    }

    /// Stores result bytes before anything reads them; the same bytes twice are one row.
    pub fn put_raw(&mut self, submission: i64, bytes: &[u8], at: UnixMillis) -> Result<(), WorkspaceError> {
        let sha = Digest::of(bytes);
        self.transaction(|db| {
            let sql = "INSERT OR IGNORE INTO raw_result (submission, sha256, at, bytes) VALUES (?1, ?2, ?3, ?4)";
            db.execute(sql, params![submission, sha.as_str(), at.0, bytes])?;
            db.execute("UPDATE submission SET state = 'downloaded' WHERE id = ?1 AND state != 'imported'", [submission])
                .map(|_| ())
        })
    }

    pub fn raw_of(&self, submission: i64) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let sql = "SELECT bytes FROM raw_result WHERE submission = ?1 ORDER BY id DESC LIMIT 1";
        self.run(|db| db.query_row(sql, [submission], |r| r.get(0)).optional())
    }

    /// Records examined answers and closes their submission, in one step: importing twice changes nothing.
    pub fn import_answers(&mut self, submission: i64, answers: &[Answered], at: UnixMillis) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            for answer in answers {
                import_one(db, answer)?;
            }
            let sql = "UPDATE submission SET state = 'imported', answered = ?2, ended = ?3 WHERE id = ?1";
            db.execute(sql, params![submission, answers.len() as i64, at.0]).map(|_| ())
        })
    }

    /// The kept trace of each of these keys, where there is one.
    pub fn traces(&self, keys: &[Digest]) -> Result<Vec<StoredTrace>, WorkspaceError> {
        self.run(|db| {
            let sql = "SELECT t.body, p.provider, p.model FROM trace t JOIN request q USING (custom_id) JOIN plan p ON p.digest = q.plan \
                       WHERE t.cache_key = ?1";
            let mut query = db.prepare(sql)?;
            let mut found = Vec::new();
            for key in keys {
                let row = query.query_row([key.as_str()], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?))).optional()?;
                let Some((body, provider, model)) = row else { continue };
                if let Ok(trace) = serde_json::from_str(&body) {
                    found.push(StoredTrace { trace, cache_key: key.clone(), digest: Digest::of(&body), provider, model });
                }
            }
            Ok(found)
        })
    }

    /// Rejected answers of a plan, newest first.
    pub fn rejects(&self, plan: &Digest) -> Result<Vec<StoredReject>, WorkspaceError> {
        self.run(|db| {
            let sql = "SELECT q.article, q.profile, q.attempt, j.reason, coalesce(r.text, '') FROM reject j JOIN request q USING (custom_id) \
                       LEFT JOIN response r USING (custom_id) WHERE q.plan = ?1 ORDER BY q.rowid DESC";
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([plan.as_str()], |r| {
                Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get(2)?, r.get::<_, String>(3)?, r.get(4)?))
            })?;
            let mut rejects = Vec::new();
            for row in rows {
                let (article, profile, attempt, reason, raw) = row?;
                if let Ok(reject) = serde_json::from_str(&reason) {
                    rejects.push(StoredReject { pair: pair_of(&article, &profile)?, attempt, reject, raw });
                }
            }
            Ok(rejects)
        })
    }

    /// What a plan used, recomputed from stored usage; of all plans of all times with `None`.
    pub fn usage(&self, plan: Option<&Digest>) -> Result<Usage, WorkspaceError> {
        let sql = "SELECT count(*), coalesce(sum(r.input_tokens), 0), coalesce(sum(r.output_tokens), 0) \
                   FROM response r JOIN request q USING (custom_id) WHERE r.billed = 1 AND (?1 IS NULL OR q.plan = ?1)";
        let number = |r: &rusqlite::Row<'_>, i| r.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
        self.run(|db| {
            db.query_row(sql, [plan.map(Digest::as_str)], |r| {
                Ok(Usage { requests: number(r, 0)?, input_tokens: number(r, 1)?, output_tokens: number(r, 2)? })
            })
        })
    }

    /// The highest attempt ever sent for a key, and whether it was refused.
    pub fn attempts(&self, key: &Digest) -> Result<(u32, bool), WorkspaceError> {
        let sql = "SELECT coalesce(max(q.attempt), 0), coalesce(max(j.reason LIKE '%\"refused\"%'), 0) FROM request q \
                   LEFT JOIN reject j USING (custom_id) WHERE q.cache_key = ?1 AND q.state != 'planned'";
        self.run(|db| db.query_row(sql, [key.as_str()], |r| Ok((r.get(0)?, r.get::<_, i64>(1)? != 0))))
    }
}

fn insert_requests(db: &rusqlite::Connection, plan: &Digest, requests: &[NewRequest]) -> Sql<()> {
    // A request that an abandoned plan never sent moves to the new plan; one that was sent stays where it was paid.
    let sql = "INSERT INTO request (custom_id, plan, cache_key, article, profile, attempt, state) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'planned') \
               ON CONFLICT (custom_id) DO UPDATE SET plan = excluded.plan WHERE state = 'planned'";
    let mut insert = db.prepare(sql)?;
    for q in requests {
        let (article, profile) = (q.pair.article.as_str(), q.pair.profile.as_str());
        insert.execute(params![q.custom_id, plan.as_str(), q.cache_key.as_str(), article, profile, q.attempt])?;
    }
    Ok(())
}

fn import_one(db: &rusqlite::Connection, answer: &Answered) -> Sql<()> {
    let q = &answer.request;
    let mut response = db.prepare_cached(
        "INSERT OR IGNORE INTO response (custom_id, text, stop, input_tokens, output_tokens, billed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (input, output) = (answer.input_tokens as i64, answer.output_tokens as i64);
    response.execute(params![q.custom_id, answer.text, answer.stop, input, output, answer.billed])?;
    let state = match &answer.result {
        Ok(trace) => {
            let body = serde_json::to_string(trace).unwrap_or_default();
            let mut insert = db.prepare_cached(
                "INSERT OR IGNORE INTO trace (cache_key, custom_id, article, profile, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            insert.execute(params![q.cache_key.as_str(), q.custom_id, q.pair.article.as_str(), q.pair.profile.as_str(), body])?;
            RequestState::Kept
        }
        Err(reject) => {
            let reason = serde_json::to_string(reject).unwrap_or_default();
            let mut insert = db.prepare_cached("INSERT OR IGNORE INTO reject (custom_id, reason) VALUES (?1, ?2)")?;
            insert.execute(params![q.custom_id, reason])?;
            RequestState::Rejected
        }
    };
    db.prepare_cached("UPDATE request SET state = ?2 WHERE custom_id = ?1")?.execute(params![q.custom_id, state.id()]).map(|_| ())
}
