//! Phase 3: every pair is asked about, under an approved plan; kept answers become traces.

use super::super::event::ApprovalRequest;
use super::super::job::{Failure, JobContext, JobMessage, PhaseEnd};
use super::super::wiring;
use super::selection;
use crate::dataset::checks::d13;
use crate::distill::{Distilled, Distiller, PairSet, Plan, Step};
use crate::domain::{Digest, Phase};

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let teacher = wiring::teacher(&workspace)?;
    let prices = wiring::prices(&workspace)?;
    let price = prices.find(teacher.provider(), teacher.model(), crate::teacher::Mode::Batch, context.clock.now())?.clone();
    let (profiles, articles) = selection(context)?;
    let mut prompts = Vec::with_capacity(profiles.len());
    for profile in &profiles {
        prompts.push((profile.id.as_str(), workspace.renderer.reader(profile)));
    }
    context.hold(input, &[d13(prompts.iter().map(|(id, text)| (*id, text.as_str())))])?;
    let set = PairSet {
        recipe: &workspace.recipe,
        renderer: &workspace.renderer,
        teacher: teacher.as_ref(),
        profiles: &profiles,
        articles: &articles,
    };
    let clock = context.clock.clone();
    // The distiller's own connection: its conductor writes findings through the context's.
    let mut ledger = workspace.ledger()?;
    let mut distiller = Distiller { set, ledger: &mut ledger, price: &price, clock: clock.as_ref(), conduct: context };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let step = runtime.block_on(distiller.run(input))?;
    context.send(JobMessage::Refresh(Phase::Distill));
    match step {
        Step::Stopped => Ok(PhaseEnd::Stopped),
        Step::NeedsApproval(plan) => Ok(PhaseEnd::NeedsApproval(spend_request(&plan))),
        Step::Done(done) => finish(&done),
    }
}

/// What the operator is asked to approve.
pub fn spend_request(plan: &Plan) -> ApprovalRequest {
    let estimate = &plan.estimate;
    ApprovalRequest::Spend {
        plan: plan.digest.clone(),
        requests: estimate.requests,
        expected: estimate.expected,
        worst: estimate.worst,
        how: format!(
            "stratos distill approve {} --ceiling {}, or 'stratos run --yes' with a ceiling of at least the worst case",
            plan.digest.short(),
            estimate.worst.amount()
        ),
    }
}

fn finish(done: &Distilled) -> Result<PhaseEnd, Failure> {
    if done.traces.is_empty() {
        return Err(Failure::new("no answer was kept", "Read the rejects in the Distill tab; every raw answer is stored."));
    }
    let missing = done.pairs - done.traces.len();
    let lack = if missing == 0 { String::new() } else { format!(", {missing} pairs without a usable answer") };
    Ok(PhaseEnd::Done { output: done.digest.clone(), headline: format!("{} traces{lack}", done.traces.len()) })
}
