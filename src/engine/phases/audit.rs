//! Phase 7: the queue of think blocks is laid out; reading them is the operator's.

use super::super::audit::audit_desk;
use super::super::job::{Failure, JobContext, PhaseEnd};
use super::each_trace;
use crate::domain::Digest;

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let mut queue = Vec::new();
    each_trace(&workspace, &context.ledger, |stored, _| queue.push((stored.trace.pair, stored.digest)))?;
    queue.sort();
    let queue: Vec<_> = queue.into_iter().map(|(_, trace)| trace).collect();
    let desk = audit_desk(&workspace, &context.ledger)?;
    context.hold(input, &[desk.e3(&workspace)])?;
    let read: usize = desk.view(&workspace).read.iter().sum();
    let headline = format!("{} think blocks to read, {read} read", queue.len());
    Ok(PhaseEnd::Done { output: Digest::of_json(&queue), headline })
}
