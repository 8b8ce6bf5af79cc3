//! Answers: what came back, what it used, and what became of it. Importing twice changes nothing.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::decisions::pair_of;
use super::requests::{RequestRow, RequestState};
use super::{Ledger, Sql};
use crate::domain::{Article, Digest, PairKey, Reject, Tokens, Trace, UnixMillis};
use crate::workspace::WorkspaceError;

/// Whether an answer is on the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billed {
    No,
    Yes,
    /// It was lost on the way; its tokens are the most it can have used.
    Perhaps,
}

impl Billed {
    fn level(self) -> i64 {
        match self {
            Self::No => 0,
            Self::Yes => 1,
            Self::Perhaps => 2,
        }
    }
}

/// What an answer was worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    Trace(Trace),
    Articles(Vec<Article>),
}

/// One request's answer, examined: what import writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub row: i64,
    pub custom_id: String,
    pub cache_key: Digest,
    pub text: String,
    pub stop: String,
    pub tokens: Tokens,
    pub billed: Billed,
    pub result: Result<Kept, Reject>,
}

impl Answered {
    /// A request that no usable answer came back for. What may be billed counts with the most it can have used.
    pub fn without(row: &RequestRow, reject: Reject, billed: Billed) -> Self {
        let q = &row.request;
        let tokens = if billed == Billed::No { Tokens::default() } else { Tokens::plain(q.prompt_most, q.max_output) };
        Self {
            row: row.row,
            custom_id: q.custom_id.clone(),
            cache_key: q.cache_key.clone(),
            text: String::new(),
            stop: "none".into(),
            tokens,
            billed,
            result: Err(reject),
        }
    }
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

/// Tokens of one billed answer beside what was expected of its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    pub prompt_estimate: u64,
    pub tokens: Tokens,
}

/// What a plan used, from stored usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Billed answers.
    pub requests: u64,
    pub tokens: Tokens,
    /// Answers that were lost and may be on the bill, and the most they can have used.
    pub lost: u64,
    pub lost_tokens: Tokens,
    pub kept: u64,
    pub rejected: u64,
}

/// Writes the answers of one submission inside one transaction.
pub struct Importer<'a> {
    response: CachedStatement<'a>,
    trace: CachedStatement<'a>,
    draft: CachedStatement<'a>,
    reject: CachedStatement<'a>,
    unreject: CachedStatement<'a>,
    state: CachedStatement<'a>,
    pub written: usize,
}

impl<'a> Importer<'a> {
    fn new(db: &'a Connection) -> Sql<Self> {
        Ok(Self {
            response: db.prepare_cached(
                // An answer that comes after all takes the place of the row that said there was none.
                "INSERT INTO response (custom_id, text, stop, input_tokens, output_tokens, billed, cache_write_5m, cache_write_1h, cache_read) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                 ON CONFLICT (custom_id) DO UPDATE SET text = excluded.text, stop = excluded.stop, input_tokens = excluded.input_tokens, \
                 output_tokens = excluded.output_tokens, billed = excluded.billed, cache_write_5m = excluded.cache_write_5m, \
                 cache_write_1h = excluded.cache_write_1h, cache_read = excluded.cache_read \
                 WHERE response.stop = 'none' AND excluded.stop != 'none'",
            )?,
            trace: db.prepare_cached(
                "INSERT OR IGNORE INTO trace (cache_key, custom_id, article, profile, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            draft: db.prepare_cached("INSERT OR IGNORE INTO draft (cache_key, custom_id, body) VALUES (?1, ?2, ?3)")?,
            reject: db.prepare_cached("INSERT OR REPLACE INTO reject (custom_id, reason) VALUES (?1, ?2)")?,
            unreject: db.prepare_cached("DELETE FROM reject WHERE custom_id = ?1")?,
            state: db.prepare_cached("UPDATE request SET state = ?2 WHERE rowid = ?1 AND state != 'kept'")?,
            written: 0,
        })
    }

    /// Writes one answer; false: the id has its answer already, and keeps it.
    pub fn put(&mut self, a: &Answered) -> Sql<bool> {
        // A kept answer's text is in its trace, and every byte is in the raw file.
        let text = if a.result.is_ok() { "" } else { a.text.as_str() };
        let t = a.tokens;
        let values = params![
            a.custom_id,
            text,
            a.stop,
            t.input as i64,
            t.output as i64,
            a.billed.level(),
            t.cache_write_5m as i64,
            t.cache_write_1h as i64,
            t.cache_read as i64
        ];
        if self.response.execute(values)? == 0 {
            return Ok(false);
        }
        self.written += 1;
        if a.result.is_ok() {
            self.unreject.execute([&a.custom_id])?;
        }
        let state = match &a.result {
            Ok(Kept::Trace(trace)) => {
                let body = serde_json::to_string(trace).unwrap_or_default();
                let pair = &trace.pair;
                self.trace.execute(params![
                    a.cache_key.as_str(),
                    a.custom_id,
                    pair.article.as_str(),
                    pair.profile.as_str(),
                    body
                ])?;
                RequestState::Kept
            }
            Ok(Kept::Articles(articles)) => {
                let body = serde_json::to_string(articles).unwrap_or_default();
                self.draft.execute(params![a.cache_key.as_str(), a.custom_id, body])?;
                RequestState::Kept
            }
            Err(reject) => {
                self.reject.execute(params![a.custom_id, serde_json::to_string(reject).unwrap_or_default()])?;
                RequestState::Rejected
            }
        };
        self.state.execute(params![a.row, state.id()]).map(|_| true)
    }
}

impl Ledger {
    /// Imports one submission's answers and closes it, in one step: `work` writes through the importer; unless it says
    /// `Ok(true)`, nothing of it is recorded.
    pub fn import(
        &mut self,
        submission: i64,
        at: UnixMillis,
        work: impl FnOnce(&mut Importer<'_>) -> Sql<bool>,
    ) -> Result<bool, WorkspaceError> {
        self.transaction_if(|db| {
            let mut importer = Importer::new(db)?;
            if !work(&mut importer)? {
                return Ok(false);
            }
            let sql = "UPDATE submission SET state = 'imported', answered = max(answered, ?2), ended = coalesce(ended, ?3) WHERE id = ?1";
            db.execute(sql, params![submission, importer.written as i64, at.0])?;
            Ok(true)
        })
    }

    /// The kept trace of each of these keys, where there is one.
    pub fn traces(&self, keys: &[Digest]) -> Result<Vec<StoredTrace>, WorkspaceError> {
        let mut found = Vec::new();
        self.each_trace(keys, |trace| found.push(trace))?;
        Ok(found)
    }

    /// Calls `take` with one of them after the other: however many there are, one is in memory.
    pub fn each_trace(&self, keys: &[Digest], mut take: impl FnMut(StoredTrace)) -> Result<(), WorkspaceError> {
        self.run(|db| {
            let sql = "SELECT t.body, p.provider, p.model FROM trace t JOIN request q USING (custom_id) JOIN plan p ON p.digest = q.plan \
                       WHERE t.cache_key = ?1";
            let mut query = db.prepare(sql)?;
            for key in keys {
                let row = query.query_row([key.as_str()], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?))).optional()?;
                let Some((body, provider, model)) = row else { continue };
                if let Ok(trace) = serde_json::from_str(&body) {
                    take(StoredTrace { trace, cache_key: key.clone(), digest: Digest::of(&body), provider, model });
                }
            }
            Ok(())
        })
    }

    /// Every kept trace of one model, newest question first where a pair was asked more than once.
    pub fn traces_by(&self, provider: &str, model: &str) -> Result<Vec<StoredTrace>, WorkspaceError> {
        self.run(|db| {
            let sql = "SELECT t.body, t.cache_key, p.provider, p.model FROM trace t JOIN request q USING (custom_id) \
                       JOIN plan p ON p.digest = q.plan WHERE p.provider = ?1 AND p.model = ?2 ORDER BY q.rowid DESC";
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([provider, model], |r| {
                Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, String>(3)?))
            })?;
            let mut found = Vec::new();
            for row in rows {
                let (body, key, provider, model) = row?;
                if let Ok(trace) = serde_json::from_str(&body) {
                    found.push(StoredTrace {
                        trace,
                        cache_key: Digest::from_hex(key),
                        digest: Digest::of(&body),
                        provider,
                        model,
                    });
                }
            }
            Ok(found)
        })
    }

    /// How many traces there are, and the number of the newest; it tells whether more came.
    pub fn trace_mark(&self) -> Result<(i64, i64), WorkspaceError> {
        self.run(|db| db.query_row("SELECT count(*), coalesce(max(rowid), 0) FROM trace", [], |r| Ok((r.get(0)?, r.get(1)?))))
    }

    /// Articles that a plan's answers brought.
    pub fn drafts(&self, plan: &Digest) -> Result<Vec<Article>, WorkspaceError> {
        let sql = "SELECT d.body FROM draft d JOIN request q USING (custom_id) WHERE q.plan = ?1 ORDER BY q.rowid";
        let bodies: Vec<String> = self.run(|db| db.prepare(sql)?.query_map([plan.as_str()], |r| r.get(0))?.collect())?;
        Ok(bodies.iter().filter_map(|body| serde_json::from_str::<Vec<Article>>(body).ok()).flatten().collect())
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

    /// A rejected answer as it came; empty where there was none.
    pub fn reject_text(&self, plan: &Digest, pair: &PairKey, attempt: u32) -> Result<Option<String>, WorkspaceError> {
        let sql = "SELECT coalesce(r.text, '') FROM reject j JOIN request q USING (custom_id) LEFT JOIN response r USING (custom_id) \
                   WHERE q.plan = ?1 AND q.article = ?2 AND q.profile = ?3 AND q.attempt = ?4";
        let values = params![plan.as_str(), pair.article.as_str(), pair.profile.as_str(), attempt];
        self.run(|db| db.query_row(sql, values, |r| r.get(0)).optional())
    }

    /// What a plan used, recomputed from stored usage.
    pub fn usage(&self, plan: &Digest) -> Result<Usage, WorkspaceError> {
        let sql = "SELECT r.billed, count(*), sum(r.input_tokens), sum(r.cache_write_5m), sum(r.cache_write_1h), sum(r.cache_read), \
                   sum(r.output_tokens), sum(q.state = 'kept'), sum(q.state = 'rejected') \
                   FROM response r JOIN request q USING (custom_id) WHERE q.plan = ?1 GROUP BY r.billed";
        self.run(|db| {
            let mut usage = Usage::default();
            let mut query = db.prepare(sql)?;
            let mut rows = query.query([plan.as_str()])?;
            while let Some(r) = rows.next()? {
                let count = |i| r.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
                let tokens = Tokens {
                    input: count(2)?,
                    cache_write_5m: count(3)?,
                    cache_write_1h: count(4)?,
                    cache_read: count(5)?,
                    output: count(6)?,
                };
                match r.get::<_, i64>(0)? {
                    1 => (usage.requests, usage.tokens) = (count(1)?, tokens),
                    2 => (usage.lost, usage.lost_tokens) = (count(1)?, tokens),
                    _ => {}
                }
                usage.kept += count(7)?;
                usage.rejected += count(8)?;
            }
            Ok(usage)
        })
    }

    /// The most that a plan's requests under way can still use: prompt tokens, output tokens.
    pub fn under_way(&self, plan: &Digest) -> Result<(u64, u64), WorkspaceError> {
        let sql = "SELECT coalesce(sum(prompt_most), 0), coalesce(sum(max_output), 0) FROM request WHERE plan = ?1 AND state = 'submitted'";
        let count = |r: &rusqlite::Row<'_>, i| r.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
        self.run(|db| db.query_row(sql, [plan.as_str()], |r| Ok((count(r, 0)?, count(r, 1)?))))
    }

    /// Billed answers of a family of plans at one model, newest first, at most `limit`; and the rejects among all of them.
    pub fn measured(
        &self,
        provider: &str,
        model: &str,
        family: &Digest,
        limit: usize,
    ) -> Result<(Vec<Measured>, Vec<Reject>), WorkspaceError> {
        let from = "FROM request q JOIN plan p ON p.digest = q.plan";
        let of = "p.provider = ?1 AND p.model = ?2 AND p.family = ?3";
        self.run(|db| {
            let sql = format!(
                "SELECT q.prompt_estimate, r.input_tokens, r.cache_write_5m, r.cache_write_1h, r.cache_read, r.output_tokens {from} \
                 JOIN response r USING (custom_id) WHERE {of} AND r.billed = 1 ORDER BY q.rowid DESC LIMIT ?4"
            );
            let mut query = db.prepare(&sql)?;
            let rows = query.query_map(params![provider, model, family.as_str(), limit as i64], |r| {
                let count = |i| r.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
                let tokens = Tokens {
                    input: count(1)?,
                    cache_write_5m: count(2)?,
                    cache_write_1h: count(3)?,
                    cache_read: count(4)?,
                    output: count(5)?,
                };
                Ok(Measured { prompt_estimate: count(0)?, tokens })
            })?;
            let measured = rows.collect::<Sql<Vec<_>>>()?;
            let sql = format!(
                "SELECT j.reason {from} JOIN reject j USING (custom_id) WHERE {of} AND q.attempt = 1 ORDER BY q.rowid DESC LIMIT ?4"
            );
            let mut query = db.prepare(&sql)?;
            let rows = query.query_map(params![provider, model, family.as_str(), limit as i64], |r| r.get::<_, String>(0))?;
            let rejects = rows.collect::<Sql<Vec<_>>>()?.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            Ok((measured, rejects))
        })
    }
}
