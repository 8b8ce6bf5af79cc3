//! The drift watch on this workspace: the last live answers of whoever is served, beside the evaluation of the same model.

use serde::Serialize;

use super::super::job::Failure;
use super::voice::Meant;
use crate::deploy::drift::{Drift, Live, Reference, WINDOW};
use crate::domain::{Digest, Phase};
use crate::evaluate::Evaluation;
use crate::workspace::{Ledger, LiveScore, Workspace};

/// What the watch saw, and of whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftReport {
    /// The model that is served, in short.
    pub model: String,
    #[serde(flatten)]
    pub drift: Drift,
    /// The newest answers that went wrong, whole.
    pub examples: Vec<(String, String)>,
}

/// Answers that went wrong and are shown whole, at most.
const EXAMPLES: usize = 5;

/// The drift of what is served now.
pub fn drift(workspace: &Workspace) -> Result<DriftReport, Failure> {
    let ledger = workspace.ledger()?;
    let model = Meant::find(workspace, &ledger, false)?.name();
    let rows = ledger.live_scores(&model, WINDOW)?;
    let examples = rows.iter().filter(|r| !r.cause.is_empty()).filter_map(|r| Some((r.cause.clone(), r.output.clone()?)));
    Ok(DriftReport {
        examples: examples.take(EXAMPLES).collect(),
        drift: seen(&ledger, &model, &rows)?,
        model: model.short().to_owned(),
    })
}

/// The same for a screen; `None`: nobody is served, or nothing was scored yet.
pub(in crate::engine) fn drift_of_served(workspace: &Workspace, ledger: &Ledger) -> Option<Drift> {
    let model = Meant::find(workspace, ledger, false).ok()?.name();
    let rows = ledger.live_scores(&model, WINDOW).ok()?;
    if rows.is_empty() { None } else { seen(ledger, &model, &rows).ok() }
}

fn seen(ledger: &Ledger, model: &Digest, rows: &[LiveScore]) -> Result<Drift, Failure> {
    let window: Vec<Live> = rows.iter().map(live).collect();
    Ok(Drift::watch(&window, reference(ledger, model)?.as_ref()))
}

fn live(row: &LiveScore) -> Live {
    Live {
        score: row.score,
        cause: row.cause.clone(),
        prompt_tokens: row.prompt_tokens,
        truncated: row.truncated,
        seconds: row.seconds,
    }
}

/// What the evaluation of this model gave: that of its release, else the phase's newest if it is of this model.
fn reference(ledger: &Ledger, model: &Digest) -> Result<Option<Reference>, Failure> {
    let release = ledger.releases()?.into_iter().find(|r| r.model == *model);
    let id = match release {
        Some(release) => Some(release.evaluation),
        None => {
            let trained = ledger.last_record(Phase::Train)?.is_some_and(|r| r.output == *model);
            ledger.last_record(Phase::Validate)?.filter(|_| trained).map(|r| r.output)
        }
    };
    let Some(id) = id else { return Ok(None) };
    let body = ledger.evaluation(&id)?;
    let Some(evaluation) = body.and_then(|text| serde_json::from_str::<Evaluation>(&text).ok()) else { return Ok(None) };
    let scores: Vec<f64> = evaluation.rows.iter().filter_map(|r| r.predicted).collect();
    let answers = ledger.predictions(&evaluation.subject.answers())?;
    let seconds = answers.iter().map(|a| a.seconds).sum::<f64>();
    Ok(Some(Reference {
        unread: evaluation.rows.len() - scores.len(),
        seconds: (!answers.is_empty()).then(|| seconds / answers.len() as f64),
        scores,
    }))
}
