//! View of tab 3: what it will cost, how far it is, what was rejected and why.

use std::collections::BTreeMap;

use super::super::phases::current_traces;
use super::super::snapshot::{BatchView, DistillView, PlanView, ReceiptView, RejectView};
use super::super::state::Standing;
use super::super::wiring;
use crate::distill::Plan;
use crate::domain::{Phase, Usd};
use crate::workspace::{Ledger, SubmissionRow, Workspace, WorkspaceError};

/// Rejected answers shown whole; the counts are over all.
const REJECTS_SHOWN: usize = 200;

pub(super) fn view(workspace: &Workspace, ledger: &Ledger, standings: &[Standing]) -> Result<DistillView, WorkspaceError> {
    let standing = &standings[Phase::Distill.index()];
    let input = standing.input.as_ref().or(standing.record.as_ref().map(|r| &r.input));
    let plan = match input {
        Some(input) => Plan::recorded(ledger, input).ok().flatten(),
        None => None,
    };
    let traces = current_traces(workspace, ledger, standings)?;
    let mut view = DistillView {
        batches: ledger.submissions()?.iter().map(batch).collect(),
        kept: traces.len(),
        flagged: traces.iter().filter(|t| !t.trace.flags.is_empty()).count(),
        ..DistillView::default()
    };
    let Some(plan) = plan else {
        view.pairs = view.kept;
        return Ok(view);
    };
    view.pairs = plan.estimate.requests + plan.estimate.answered;
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for reject in ledger.rejects(&plan.digest)? {
        *counts.entry(reject.reject.kind()).or_default() += 1;
        if view.rejected.len() < REJECTS_SHOWN {
            let (pair, reason) = (reject.pair.to_string(), reject.reject.to_string());
            view.rejected.push(RejectView { pair, attempt: reject.attempt, reason, raw: reject.raw });
        }
    }
    view.rejects = counts.into_iter().map(|(kind, n)| (kind.to_owned(), n)).collect();
    view.receipt = receipt(workspace, ledger, &plan, view.kept)?;
    view.plan = Some(plan_view(workspace, ledger, plan)?);
    Ok(view)
}

fn plan_view(workspace: &Workspace, ledger: &Ledger, plan: Plan) -> Result<PlanView, WorkspaceError> {
    let teacher = &workspace.config.teacher;
    let estimate = plan.estimate;
    Ok(PlanView {
        approved: ledger.approved_ceiling(&plan.digest)?,
        digest: plan.digest,
        teacher: teacher.provider.clone(),
        model: teacher.model.clone(),
        requests: estimate.requests,
        answered: estimate.answered,
        input_tokens: estimate.input_tokens,
        output_tokens: estimate.output_tokens,
        counted_by: estimate.counted_by,
        expected: estimate.expected,
        worst: estimate.worst,
        prices: vec![estimate.price],
        samples: estimate.samples.into_iter().map(|s| (s.pair, s.text)).collect(),
    })
}

fn batch(row: &SubmissionRow) -> BatchView {
    BatchView {
        id: row.id,
        remote: row.remote.clone().unwrap_or_else(|| "—".into()),
        state: row.state.id().into(),
        requests: row.requests,
        answered: row.answered,
        attempt: row.attempt,
        created: row.created,
        ended: row.ended,
    }
}

/// Estimate against bill, recomputed from stored usage.
fn receipt(workspace: &Workspace, ledger: &Ledger, plan: &Plan, kept: usize) -> Result<Option<ReceiptView>, WorkspaceError> {
    let usage = ledger.usage(Some(&plan.digest))?;
    let teacher = &workspace.config.teacher;
    let price = wiring::prices(workspace).ok().and_then(|p| p.find(&teacher.provider, &teacher.model, crate::teacher::Mode::Batch, crate::domain::UnixMillis(0)).ok().cloned());
    let Some(price) = price.filter(|_| usage.requests > 0) else { return Ok(None) };
    let billed = price.cost(&crate::domain::Tokens::plain(usage.input_tokens, usage.output_tokens));
    let per_kept_trace = if kept == 0 { Usd::ZERO } else { Usd::new(billed.amount() / rust_decimal::Decimal::from(kept)) };
    Ok(Some(ReceiptView {
        estimated: plan.estimate.expected,
        billed,
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        attempts: usize::try_from(usage.requests).unwrap_or(usize::MAX),
        per_kept_trace,
    }))
}
