//! Requests: one question, asked once per attempt. Each ends as kept or rejected.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use super::decisions::pair_of;
use super::{Ledger, Sql};
use crate::domain::{Digest, PairKey, Reject, UnixMillis};
use crate::workspace::WorkspaceError;

/// Where one request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestState {
    Planned,
    Submitted,
    Kept,
    Rejected,
}

impl RequestState {
    pub const ALL: [Self; 4] = [Self::Planned, Self::Submitted, Self::Kept, Self::Rejected];

    pub fn id(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Submitted => "submitted",
            Self::Kept => "kept",
            Self::Rejected => "rejected",
        }
    }

    pub(super) fn from_id(id: &str) -> Self {
        // A state this version does not know is treated with the most caution: it may be at the provider.
        Self::ALL.into_iter().find(|s| s.id() == id).unwrap_or(Self::Submitted)
    }
}

/// A request as it is planned.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRequest {
    pub custom_id: String,
    /// Digest of the question: provider, model, prompt. The same question is the same key.
    pub cache_key: Digest,
    pub pair: PairKey,
    pub attempt: u32,
    pub rung: String,
    /// What the model is told about its previous answer.
    pub why: String,
    pub max_output: u64,
    /// Digest of the encoded body.
    pub body: Digest,
    /// Prompt tokens as counted or estimated, and the most they can be.
    pub prompt_estimate: u64,
    pub prompt_most: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RequestRow {
    pub row: i64,
    pub state: RequestState,
    /// When it went out alone.
    pub sent: Option<UnixMillis>,
    pub request: NewRequest,
}

/// One earlier attempt at a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    pub attempt: u32,
    pub rung: String,
    pub max_output: u64,
    pub state: RequestState,
    pub reject: Option<Reject>,
}

const COLUMNS: &str = "rowid, state, sent, custom_id, cache_key, article, profile, attempt, rung, why, max_output, body, prompt_estimate, prompt_most";

fn request_of(r: &rusqlite::Row<'_>) -> Sql<RequestRow> {
    let count = |i| r.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(RequestRow {
        row: r.get(0)?,
        state: RequestState::from_id(&r.get::<_, String>(1)?),
        sent: r.get::<_, Option<i64>>(2)?.map(UnixMillis),
        request: NewRequest {
            custom_id: r.get(3)?,
            cache_key: Digest::from_hex(r.get::<_, String>(4)?),
            pair: pair_of(&r.get::<_, String>(5)?, &r.get::<_, String>(6)?)?,
            attempt: r.get(7)?,
            rung: r.get(8)?,
            why: r.get(9)?,
            max_output: count(10)?,
            body: Digest::from_hex(r.get::<_, String>(11)?),
            prompt_estimate: count(12)?,
            prompt_most: count(13)?,
        },
    })
}

pub(super) fn insert_requests(db: &rusqlite::Connection, plan: &Digest, requests: &[NewRequest]) -> Sql<()> {
    // A request that an abandoned plan never sent moves to the new plan; one that was sent stays where it was paid.
    let sql = "INSERT INTO request (custom_id, plan, cache_key, article, profile, attempt, state, rung, why, max_output, body, prompt_estimate, prompt_most) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'planned', ?7, ?8, ?9, ?10, ?11, ?12) \
               ON CONFLICT (custom_id) DO UPDATE SET plan = excluded.plan, rung = excluded.rung, why = excluded.why, \
               max_output = excluded.max_output, body = excluded.body, prompt_estimate = excluded.prompt_estimate, \
               prompt_most = excluded.prompt_most WHERE state = 'planned'";
    let mut insert = db.prepare(sql)?;
    for q in requests {
        insert.execute(params![
            q.custom_id,
            plan.as_str(),
            q.cache_key.as_str(),
            q.pair.article.as_str(),
            q.pair.profile.as_str(),
            q.attempt,
            q.rung,
            q.why,
            q.max_output as i64,
            q.body.as_str(),
            q.prompt_estimate as i64,
            q.prompt_most as i64
        ])?;
    }
    Ok(())
}

impl Ledger {
    /// Adds the requests of a further attempt to a plan.
    pub fn add_requests(&mut self, plan: &Digest, requests: &[NewRequest]) -> Result<(), WorkspaceError> {
        self.transaction(|db| insert_requests(db, plan, requests))
    }

    /// Requests of a plan in one state, in the order they were planned.
    pub fn requests_in(&self, plan: &Digest, state: RequestState) -> Result<Vec<RequestRow>, WorkspaceError> {
        let sql = format!("SELECT {COLUMNS} FROM request WHERE plan = ?1 AND state = ?2 ORDER BY rowid");
        self.run(|db| db.prepare(&sql)?.query_map(params![plan.as_str(), state.id()], request_of)?.collect())
    }

    pub fn count_requests(&self, plan: &Digest, state: RequestState) -> Result<usize, WorkspaceError> {
        let sql = "SELECT count(*) FROM request WHERE plan = ?1 AND state = ?2";
        let count: i64 = self.run(|db| db.query_row(sql, params![plan.as_str(), state.id()], |r| r.get(0)))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub fn requests_of(&self, submission: i64) -> Result<Vec<RequestRow>, WorkspaceError> {
        let sql = format!("SELECT {COLUMNS} FROM request WHERE submission = ?1 ORDER BY rowid");
        self.run(|db| db.prepare(&sql)?.query_map([submission], request_of)?.collect())
    }

    /// The submission that a custom id went out with.
    pub fn submission_of_request(&self, custom_id: &str) -> Result<Option<i64>, WorkspaceError> {
        let sql = "SELECT submission FROM request WHERE custom_id = ?1";
        self.run(|db| db.query_row(sql, [custom_id], |r| r.get::<_, Option<i64>>(0)).optional().map(Option::flatten))
    }

    /// Written before a request goes out alone: found without an answer later, it may have been billed.
    pub fn mark_sent(&mut self, custom_id: &str, at: UnixMillis) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            db.execute("UPDATE request SET sent = ?2 WHERE custom_id = ?1", params![custom_id, at.0]).map(|_| ())
        })
    }

    /// Takes back [`Self::mark_sent`] where the provider said clearly that it took nothing.
    pub fn unmark_sent(&mut self, custom_id: &str) -> Result<(), WorkspaceError> {
        self.transaction(|db| db.execute("UPDATE request SET sent = NULL WHERE custom_id = ?1", [custom_id]).map(|_| ()))
    }

    /// Every attempt at a question that was ever sent, oldest first.
    pub fn history(&self, key: &Digest) -> Result<Vec<Past>, WorkspaceError> {
        let sql = "SELECT q.attempt, q.rung, q.max_output, q.state, j.reason FROM request q LEFT JOIN reject j USING (custom_id) \
                   WHERE q.cache_key = ?1 AND q.state != 'planned' ORDER BY q.attempt";
        self.run(|db| {
            let mut query = db.prepare_cached(sql)?;
            let rows = query.query_map([key.as_str()], |r| {
                let reason: Option<String> = r.get(4)?;
                Ok(Past {
                    attempt: r.get(0)?,
                    rung: r.get(1)?,
                    max_output: r.get::<_, i64>(2).map(|n| u64::try_from(n).unwrap_or(0))?,
                    state: RequestState::from_id(&r.get::<_, String>(3)?),
                    reject: reason.and_then(|text| serde_json::from_str(&text).ok()),
                })
            })?;
            rows.collect()
        })
    }

    /// Which of these questions were ever asked; the others need no look at their history.
    pub fn asked_keys(&self) -> Result<HashSet<Digest>, WorkspaceError> {
        let sql = "SELECT DISTINCT cache_key FROM request WHERE state != 'planned'";
        self.run(|db| {
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([], |r| r.get::<_, String>(0).map(Digest::from_hex))?;
            rows.collect()
        })
    }

    /// Pairs that a model has a kept trace of, under whatever question.
    pub fn pairs_traced_by(&self, provider: &str, model: &str) -> Result<HashSet<PairKey>, WorkspaceError> {
        let sql = "SELECT DISTINCT t.article, t.profile FROM trace t JOIN request q USING (custom_id) JOIN plan p ON p.digest = q.plan \
                   WHERE p.provider = ?1 AND p.model = ?2";
        self.run(|db| {
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([provider, model], |r| pair_of(&r.get::<_, String>(0)?, &r.get::<_, String>(1)?))?;
            rows.collect()
        })
    }
}
