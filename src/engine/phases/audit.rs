//! Phase 7: the queue of think blocks is laid out; reading them is the operator's.

use super::super::audit::audit_desk;
use super::super::job::{Failure, JobContext, PhaseEnd};
use super::traces_to_read;
use crate::domain::Digest;

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let traces = traces_to_read(&workspace, &context.ledger)?;
    let queue: Vec<_> = traces.iter().map(|t| &t.digest).collect();
    let desk = audit_desk(&workspace, &context.ledger)?;
    context.hold(input, &[desk.e3(&workspace)])?;
    let read: usize = desk.view(&workspace).read.iter().sum();
    let headline = format!("{} think blocks to read, {read} read", traces.len());
    Ok(PhaseEnd::Done { output: Digest::of_json(&queue), headline })
}
