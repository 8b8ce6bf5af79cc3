//! A model's answers, row by row, and the evaluation made of them.

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use super::decisions::pair_of;
use crate::domain::{Digest, PairKey, UnixMillis};
use crate::workspace::WorkspaceError;

/// One answer. `subject` is the digest of model, runtime, sampling, seed and rows: what makes answers comparable.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPrediction {
    pub pair: PairKey,
    pub output: String,
    pub tokens: usize,
    pub seconds: f64,
}

impl Ledger {
    pub fn put_predictions(&mut self, subject: &Digest, rows: &[StoredPrediction]) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT OR REPLACE INTO prediction (subject, article, profile, output, tokens, seconds) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let mut insert = db.prepare(sql)?;
            for row in rows {
                let (article, profile) = (row.pair.article.as_str(), row.pair.profile.as_str());
                insert.execute(params![subject.as_str(), article, profile, row.output, row.tokens as i64, row.seconds])?;
            }
            Ok(())
        })
    }

    pub fn predictions(&self, subject: &Digest) -> Result<Vec<StoredPrediction>, WorkspaceError> {
        self.run(|db| {
            let sql =
                "SELECT article, profile, output, tokens, seconds FROM prediction WHERE subject = ?1 ORDER BY article, profile";
            let mut query = db.prepare(sql)?;
            let rows = query.query_map([subject.as_str()], |r| {
                Ok(StoredPrediction {
                    pair: pair_of(&r.get::<_, String>(0)?, &r.get::<_, String>(1)?)?,
                    output: r.get(2)?,
                    tokens: usize::try_from(r.get::<_, i64>(3)?).unwrap_or(0),
                    seconds: r.get(4)?,
                })
            })?;
            rows.collect()
        })
    }

    pub fn put_evaluation(&mut self, subject: &Digest, body: &str, at: UnixMillis) -> Result<(), WorkspaceError> {
        let sql = "INSERT OR REPLACE INTO evaluation (subject, body, at) VALUES (?1, ?2, ?3)";
        self.transaction(|db| db.execute(sql, params![subject.as_str(), body, at.0]).map(|_| ()))
    }

    pub fn evaluation(&self, subject: &Digest) -> Result<Option<String>, WorkspaceError> {
        let sql = "SELECT body FROM evaluation WHERE subject = ?1";
        self.run(|db| db.query_row(sql, [subject.as_str()], |r| r.get(0)).optional())
    }
}
