//! Stored evaluations: listed by what they say, found by the first digits of their names.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{Digest, PairKey, UnixMillis, one_line};
use crate::evaluate::Evaluation;
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// Fewer digits name nothing: they would soon name two.
const LEAST_DIGITS: usize = 8;

#[derive(Debug, Error)]
pub enum RunError {
    #[error("'{0}' is no name of a run; give at least {LEAST_DIGITS} of the digits that 'stratos validate list' shows")]
    Name(String),
    #[error("there is no run '{0}'; see 'stratos validate list'")]
    Unknown(String),
    #[error("'{0}' names {1} runs; give more digits")]
    Ambiguous(String, usize),
    #[error("the record of run {0} cannot be read ({1}); evaluate again, and report it with this text")]
    Damaged(String, String),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// What a list shows of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub predictor: String,
    pub rows: String,
    pub runtime: String,
    pub n: usize,
    pub parse_failures: usize,
    pub mae: Option<f64>,
    pub mae_interval: Option<(f64, f64)>,
    pub spearman: Option<f64>,
    pub skill: Option<f64>,
    /// The how manyth opening of the seal it was.
    pub opening: Option<u32>,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredRun {
    pub id: Digest,
    pub at: UnixMillis,
    #[serde(flatten)]
    pub summary: RunSummary,
}

impl RunSummary {
    pub fn of(evaluation: &Evaluation) -> Self {
        let m = &evaluation.metrics;
        Self {
            predictor: evaluation.predictor_name().to_owned(),
            rows: evaluation.rows_name().to_owned(),
            runtime: evaluation.runtime().to_string(),
            n: m.n,
            parse_failures: m.parse_failures,
            mae: m.mae,
            mae_interval: evaluation.intervals.get("mae").copied(),
            spearman: m.spearman,
            skill: m.skill,
            opening: evaluation.row_set.opening,
        }
    }
}

/// Keeps an evaluation; a repeated one takes the place of the earlier.
pub(in super::super) fn store(ledger: &mut Ledger, evaluation: &Evaluation, at: UnixMillis) -> Result<Digest, WorkspaceError> {
    let id = evaluation.subject.digest();
    let text = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    let summary = text(serde_json::to_string(&RunSummary::of(evaluation)));
    ledger.put_evaluation(&id, &text(serde_json::to_string(evaluation)), &summary, at)?;
    Ok(id)
}

/// All stored runs, newest first. Records of older versions are read whole; those that cannot be read are left out.
pub fn stored_runs(workspace: &Workspace) -> Result<Vec<StoredRun>, RunError> {
    let ledger = workspace.ledger()?;
    let mut runs = Vec::new();
    for row in ledger.evaluations()? {
        let summary = match serde_json::from_str::<RunSummary>(&row.summary) {
            Ok(summary) => Some(summary),
            Err(_) => read(&ledger, &row.subject).ok().map(|evaluation| RunSummary::of(&evaluation)),
        };
        runs.extend(summary.map(|summary| StoredRun { id: row.subject, at: row.at, summary }));
    }
    Ok(runs)
}

/// The run whose name begins with these digits.
pub fn stored_run(workspace: &Workspace, name: &str) -> Result<(Digest, Evaluation), RunError> {
    find(&workspace.ledger()?, name)
}

pub(in super::super) fn find(ledger: &Ledger, name: &str) -> Result<(Digest, Evaluation), RunError> {
    let shown = one_line(name, 80);
    let digits = name.trim().to_ascii_lowercase();
    if digits.len() < LEAST_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(RunError::Name(shown));
    }
    let mut named: Vec<Digest> = ledger.evaluations()?.into_iter().map(|r| r.subject).collect();
    named.retain(|d| d.as_str().starts_with(&digits));
    match named.as_slice() {
        [one] => Ok((one.clone(), read(ledger, one)?)),
        [] => Err(RunError::Unknown(shown)),
        more => Err(RunError::Ambiguous(shown, more.len())),
    }
}

fn read(ledger: &Ledger, id: &Digest) -> Result<Evaluation, RunError> {
    let body = ledger.evaluation(id)?.ok_or_else(|| RunError::Unknown(id.short().to_owned()))?;
    serde_json::from_str(&body).map_err(|e| RunError::Damaged(id.short().to_owned(), one_line(&e.to_string(), 200)))
}

/// What a run's predictor wrote, by pair. Records without rows are of an older version, whose answers lie under their name.
pub(in super::super) fn outputs(
    ledger: &Ledger,
    evaluation: &Evaluation,
    id: &Digest,
) -> Result<HashMap<PairKey, String>, WorkspaceError> {
    if evaluation.rows.is_empty() {
        return Ok(ledger.predictions(id)?.into_iter().map(|p| (p.pair, p.output)).collect());
    }
    let row = |r: &crate::evaluate::JudgedRow| {
        let pair = PairKey { article: r.article.parse().ok()?, profile: r.profile.parse().ok()? };
        Some((pair, r.output.clone()))
    };
    Ok(evaluation.rows.iter().filter_map(row).collect())
}
