//! Answers to probes, one by one, and what was made of them. What a probe is stands in `evaluate`.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use crate::domain::{Digest, UnixMillis};
use crate::workspace::WorkspaceError;

/// One answer to a probe. `item` names the question: digest of its prompt and of how it was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeAnswer {
    pub item: String,
    pub output: String,
    /// The probability-weighted score.
    pub expected: Option<f64>,
}

impl Ledger {
    /// Keeps an answer of the model with this digest.
    pub fn put_probe_answer(&mut self, model: &Digest, answer: &ProbeAnswer) -> Result<(), WorkspaceError> {
        let sql = "INSERT OR REPLACE INTO probe_answer (model, item, output, expected) VALUES (?1, ?2, ?3, ?4)";
        self.transaction(|db| db.execute(sql, params![model.as_str(), answer.item, answer.output, answer.expected]).map(|_| ()))
    }

    /// Every kept answer of a model, by its item.
    pub fn probe_answers(&self, model: &Digest) -> Result<HashMap<String, ProbeAnswer>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT item, output, expected FROM probe_answer WHERE model = ?1")?;
            let rows = query.query_map([model.as_str()], |r| {
                let answer = ProbeAnswer { item: r.get(0)?, output: r.get(1)?, expected: r.get(2)? };
                Ok((answer.item.clone(), answer))
            })?;
            rows.collect()
        })
    }

    /// Keeps what probes found, for the evaluation whose rows they were drawn from.
    pub fn put_probes(&mut self, evaluation: &Digest, body: &str, at: UnixMillis) -> Result<(), WorkspaceError> {
        let sql = "INSERT OR REPLACE INTO probe (evaluation, body, at) VALUES (?1, ?2, ?3)";
        self.transaction(|db| db.execute(sql, params![evaluation.as_str(), body, at.0]).map(|_| ()))
    }

    /// What probes found on an evaluation's rows, as JSON.
    pub fn probes_of(&self, evaluation: &Digest) -> Result<Option<String>, WorkspaceError> {
        let sql = "SELECT body FROM probe WHERE evaluation = ?1";
        self.run(|db| db.query_row(sql, [evaluation.as_str()], |r| r.get(0)).optional())
    }

    /// What the newest probes found, as JSON.
    pub fn last_probes(&self) -> Result<Option<String>, WorkspaceError> {
        let sql = "SELECT body FROM probe ORDER BY at DESC, evaluation LIMIT 1";
        self.run(|db| db.query_row(sql, [], |r| r.get(0)).optional())
    }
}
