//! A model's answers, row by row, and the evaluations made of them.

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use super::decisions::pair_of;
use crate::domain::{Digest, PairKey, UnixMillis};
use crate::workspace::WorkspaceError;

/// One answer. `subject` is the digest of model, runtime, sampling and seed: what makes answers comparable.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPrediction {
    pub pair: PairKey,
    pub output: String,
    pub tokens: usize,
    pub seconds: f64,
    /// The probability-weighted score.
    pub expected: Option<f64>,
    /// Why it ended, as JSON spells it; empty where it is not known.
    pub stop: String,
    /// Digest of the prompt it answers; empty in rows of an older version.
    pub prompt: String,
}

/// What a list shows of a stored evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationRow {
    /// Digest of its subject, which names it.
    pub subject: Digest,
    pub at: UnixMillis,
    /// JSON; empty of a record that an older version wrote.
    pub summary: String,
}

impl Ledger {
    pub fn put_predictions(&mut self, subject: &Digest, rows: &[StoredPrediction]) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT OR REPLACE INTO prediction (subject, article, profile, output, tokens, seconds, expected, stop, prompt) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let mut insert = db.prepare_cached(sql)?;
            for row in rows {
                let (article, profile) = (row.pair.article.as_str(), row.pair.profile.as_str());
                let (tokens, stop, prompt) = (row.tokens as i64, &row.stop, &row.prompt);
                let values = params![
                    subject.as_str(),
                    article,
                    profile,
                    row.output,
                    tokens,
                    row.seconds,
                    row.expected.filter(|e| e.is_finite()),
                    stop,
                    prompt
                ];
                insert.execute(values)?;
            }
            Ok(())
        })
    }

    pub fn predictions(&self, subject: &Digest) -> Result<Vec<StoredPrediction>, WorkspaceError> {
        self.run(|db| {
            let sql = "SELECT article, profile, output, tokens, seconds, expected, stop, prompt FROM prediction WHERE subject = ?1 \
                       ORDER BY article, profile";
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([subject.as_str()], |r| {
                Ok(StoredPrediction {
                    pair: pair_of(&r.get::<_, String>(0)?, &r.get::<_, String>(1)?)?,
                    output: r.get(2)?,
                    tokens: usize::try_from(r.get::<_, i64>(3)?).unwrap_or(0),
                    seconds: r.get(4)?,
                    expected: r.get(5)?,
                    stop: r.get(6)?,
                    prompt: r.get(7)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Keeps an evaluation under its subject's digest; `summary` is what lists show of it.
    pub fn put_evaluation(&mut self, subject: &Digest, body: &str, summary: &str, at: UnixMillis) -> Result<(), WorkspaceError> {
        let sql = "INSERT OR REPLACE INTO evaluation (subject, body, summary, at) VALUES (?1, ?2, ?3, ?4)";
        self.transaction(|db| db.execute(sql, params![subject.as_str(), body, summary, at.0]).map(|_| ()))
    }

    pub fn evaluation(&self, subject: &Digest) -> Result<Option<String>, WorkspaceError> {
        let sql = "SELECT body FROM evaluation WHERE subject = ?1";
        self.run(|db| db.query_row(sql, [subject.as_str()], |r| r.get(0)).optional())
    }

    /// All stored evaluations, newest first.
    pub fn evaluations(&self) -> Result<Vec<EvaluationRow>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT subject, at, summary FROM evaluation ORDER BY at DESC, subject")?;
            let rows = query.query_map([], |r| {
                Ok(EvaluationRow {
                    subject: Digest::from_hex(r.get::<_, String>(0)?),
                    at: UnixMillis(r.get(1)?),
                    summary: r.get(2)?,
                })
            })?;
            rows.collect()
        })
    }
}
