//! View of tab 3: what it will cost, how far it is, what was rejected and why.

use std::collections::BTreeMap;

use super::super::phases;
use super::super::phases::each_trace;
use super::super::snapshot::{BatchView, DistillView, PlanView};
use super::super::state::Standing;
use super::super::wiring;
use crate::distill::{self, Plan};
use crate::domain::{Phase, Usd};
use crate::workspace::{Cancel, Ledger, PlanRow, SubmissionRow, Workspace, WorkspaceError};

pub(super) fn view(workspace: &Workspace, ledger: &Ledger, standings: &[Standing]) -> Result<DistillView, WorkspaceError> {
    let standing = &standings[Phase::Distill.index()];
    let input = standing.input.as_ref().or(standing.record.as_ref().map(|r| &r.input));
    let plan = match input {
        Some(input) => Plan::recorded(ledger, input).ok().flatten(),
        None => None,
    };
    let (mut kept, mut flagged) = (0, 0);
    if input.is_some() {
        each_trace(workspace, ledger, |stored, _| {
            kept += 1;
            flagged += usize::from(!stored.trace.flags.is_empty());
        })?;
    }
    let mut view = DistillView {
        batches: ledger.submissions()?.iter().map(batch).collect(),
        key: wiring::key_place(workspace),
        kept,
        flagged,
        ..DistillView::default()
    };
    let plans: Vec<PlanRow> = ledger.plans()?.into_iter().filter(|p| Some(&p.input) == input).collect();
    let Some(plan) = plan else {
        view.pairs = view.kept;
        return Ok(view);
    };
    view.pairs = plan.estimate.pairs;
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for plan in plans.iter().rev() {
        for reject in ledger.rejects(&plan.digest)? {
            *counts.entry(reject.reject.kind()).or_default() += 1;
        }
    }
    view.rejects = counts.into_iter().map(|(kind, n)| (kind.to_owned(), n)).collect();
    view.receipt = distill::receipt(ledger, &plans).ok().filter(|r| !r.lines.is_empty());
    view.plan = Some(plan_view(ledger, plan)?);
    Ok(view)
}

/// A plan as it is shown, whichever it is.
pub(in super::super) fn plan_view(ledger: &Ledger, plan: Plan) -> Result<PlanView, WorkspaceError> {
    let price = &plan.estimate.price;
    Ok(PlanView {
        approved: ledger.approved_ceiling(&plan.digest)?,
        suggested: phases::suggested_ceiling(&plan.estimate),
        spent: distill::spent(ledger, &plan.digest, price).unwrap_or(Usd::ZERO),
        kind: plan.kind.id().into(),
        scope: plan.scope.words(),
        teacher: price.provider.clone(),
        model: price.model.clone(),
        digest: plan.digest,
        estimate: plan.estimate,
    })
}

fn batch(row: &SubmissionRow) -> BatchView {
    let cancel = match row.cancel {
        Cancel::No => None,
        Cancel::Asked => Some("cancellation asked for"),
        Cancel::Told => Some("cancelled"),
    };
    BatchView {
        id: row.id,
        plan: row.plan.clone(),
        remote: row.remote.clone().unwrap_or_else(|| "—".into()),
        state: row.state.id().into(),
        note: row.why.clone().or(cancel.map(str::to_owned)).unwrap_or_default(),
        requests: row.requests,
        answered: row.answered,
        attempt: row.attempt,
        created: row.created,
        ended: row.ended,
        watched: row.watched,
        expires: row.expires,
    }
}
