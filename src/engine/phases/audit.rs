//! Phase 7: the queue of think blocks is laid out; reading them is the operator's.

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::kept_traces;
use crate::domain::Digest;

pub fn run(context: &mut JobContext) -> Result<PhaseEnd, Failure> {
    let traces = kept_traces(context)?;
    let reviews = context.ledger.reviews()?.len();
    let queue: Vec<_> = traces.iter().map(|t| &t.digest).collect();
    let headline = format!("{} think blocks to read, {reviews} read", traces.len());
    Ok(PhaseEnd::Done { output: Digest::of_json(&queue), headline })
}
