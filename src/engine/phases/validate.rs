//! stub
use super::super::job::{Failure, JobContext, PhaseEnd};
use crate::domain::Digest;
pub fn run(_context: &mut JobContext, _input: &Digest) -> Result<PhaseEnd, Failure> {
    Err(Failure::new("x", "y"))
}
pub fn last_evaluation(
    _l: &crate::workspace::Ledger,
) -> Result<Option<(crate::evaluate::Evaluation, Digest)>, crate::workspace::WorkspaceError> {
    Ok(None)
}
