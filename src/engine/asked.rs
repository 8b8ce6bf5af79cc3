//! What is asked of a workspace without a job: reports that only read, and files written out of it. Owns the error they share;
//! each is its own module's.

use thiserror::Error;

use super::job::Failure;

/// Why a question has no answer, and what to do about it.
#[derive(Debug, Clone, Error)]
#[error("{reason}. {next}")]
pub struct AskError {
    pub reason: String,
    pub next: String,
}

impl From<Failure> for AskError {
    fn from(failure: Failure) -> Self {
        Self { reason: failure.reason, next: failure.next }
    }
}

/// What the sampler of the run that would begin now reads, beside what its weights promise.
pub fn sampler_report(workspace: &crate::workspace::Workspace) -> Result<crate::dataset::SamplerReport, AskError> {
    Ok(super::phases::sampler(workspace)?)
}
