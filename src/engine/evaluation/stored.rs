//! Stored evaluations: listed by what they say, found by their place or by the first digits of their names.

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
    #[error("'{0}' names no run: give at least {LEAST_DIGITS} digits of its id, 'last', or 'last~1' for the one before")]
    Name(String),
    #[error("there is no run '{name}'; there are {known}. See 'stratos validate list'")]
    Unknown { name: String, known: String },
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
    runs_in(&workspace.ledger()?)
}

pub(in super::super) fn runs_in(ledger: &Ledger) -> Result<Vec<StoredRun>, RunError> {
    let mut runs = Vec::new();
    for row in ledger.evaluations()? {
        let summary = match serde_json::from_str::<RunSummary>(&row.summary) {
            Ok(summary) => Some(summary),
            Err(_) => read(ledger, &row.subject).ok().map(|evaluation| RunSummary::of(&evaluation)),
        };
        runs.extend(summary.map(|summary| StoredRun { id: row.subject, at: row.at, summary }));
    }
    Ok(runs)
}

/// The run that is meant by `last`, `last~N` or the first digits of its id.
pub fn stored_run(workspace: &Workspace, name: &str) -> Result<(Digest, Evaluation), RunError> {
    find(&workspace.ledger()?, name)
}

/// What a name can mean.
enum Name {
    /// So many before the newest.
    Back(usize),
    Digits(String),
}

fn read_name(name: &str) -> Option<Name> {
    let name = name.trim();
    if name == "last" {
        return Some(Name::Back(0));
    }
    if let Some(back) = name.strip_prefix("last~") {
        return back.parse().ok().map(Name::Back);
    }
    let digits = name.to_ascii_lowercase();
    let enough = digits.len() >= LEAST_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    enough.then_some(Name::Digits(digits))
}

pub(in super::super) fn find(ledger: &Ledger, name: &str) -> Result<(Digest, Evaluation), RunError> {
    let shown = one_line(name, 80);
    let all: Vec<Digest> = ledger.evaluations()?.into_iter().map(|r| r.subject).collect();
    let found: Vec<&Digest> = match read_name(name).ok_or_else(|| RunError::Name(shown.clone()))? {
        Name::Back(back) => all.get(back).into_iter().collect(),
        Name::Digits(digits) => all.iter().filter(|d| d.as_str().starts_with(&digits)).collect(),
    };
    match found.as_slice() {
        [one] => Ok(((*one).clone(), read(ledger, one)?)),
        [] => Err(RunError::Unknown { name: shown, known: known(&all) }),
        more => Err(RunError::Ambiguous(shown, more.len())),
    }
}

fn known(all: &[Digest]) -> String {
    const SHOWN: usize = 6;
    if all.is_empty() {
        return "none yet".into();
    }
    let names: Vec<&str> = all.iter().take(SHOWN).map(Digest::short).collect();
    let more = if all.len() > SHOWN { format!(" and {} older", all.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn read(ledger: &Ledger, id: &Digest) -> Result<Evaluation, RunError> {
    let body = ledger.evaluation(id)?.unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_place_or_by_enough_digits() {
        let back = |name: &str| matches!(read_name(name), Some(Name::Back(_)));
        let digits = |name: &str| matches!(read_name(name), Some(Name::Digits(_)));
        assert!(back("last") && back("last~0") && back("last~12") && digits("0123abcd") && digits("0123ABCD"));
        for wrong in ["", "last~", "last~x", "first", "0123abc", "zzzzzzzz"] {
            assert!(read_name(wrong).is_none(), "{wrong}");
        }
    }
}
