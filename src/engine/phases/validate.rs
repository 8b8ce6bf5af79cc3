//! Phase 6: the student answers the held-out rows and the sanity articles; the answers become an evaluation. Any other
//! evaluation is an errand of the same machinery.

use super::super::evaluation::{self, EvaluationRequest};
use super::super::job::{Failure, JobContext, PhaseEnd};
use crate::domain::{Digest, Phase};
use crate::evaluate::Evaluation;
use crate::workspace::{Ledger, WorkspaceError};

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let done = evaluation::conduct(context, &EvaluationRequest::default(), Some(input))?;
    Ok(match done {
        Some(done) => PhaseEnd::Done { output: done.id, headline: done.evaluation.verdict_words() },
        None => PhaseEnd::Stopped,
    })
}

/// An evaluation off the phase's path: it makes no phase done or stale.
pub fn run_errand(context: &mut JobContext, request: &EvaluationRequest) -> Result<PhaseEnd, Failure> {
    let done = evaluation::conduct(context, request, None)?;
    Ok(match done {
        Some(done) => PhaseEnd::Aside { headline: format!("run {}: {}", done.id.short(), done.evaluation.verdict_words()) },
        None => PhaseEnd::Stopped,
    })
}

/// The newest evaluation of the phase and the digest of its subject.
pub fn last_evaluation(ledger: &Ledger) -> Result<Option<(Evaluation, Digest)>, WorkspaceError> {
    let Some(record) = ledger.last_record(Phase::Validate)? else { return Ok(None) };
    let body = ledger.evaluation(&record.output)?;
    Ok(body.and_then(|text| serde_json::from_str(&text).ok()).map(|evaluation| (evaluation, record.output)))
}
