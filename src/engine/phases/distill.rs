//! Phase 3: every pair is asked about, under an approved plan; kept answers become traces.

use std::sync::Arc;

use super::super::errand::Errand;
use super::super::event::ApprovalRequest;
use super::super::job::{Failure, JobContext, JobMessage, PhaseEnd};
use super::super::{audit, views, wiring};
use super::{import_guards, selection};
use crate::dataset::checks::d13;
use crate::distill::{
    Asking, Desk, DistillError, Distilled, Distiller, Estimate, Kind, PairSet, PilotRule, Plan, Scope, Step, Tools, WallPace,
    Wanted,
};
use crate::domain::{Digest, Digester, Phase, Usd};
use crate::teacher::Teacher;
use crate::workspace::{Ledger, Pilot, TeacherChoice, Workspace};

/// Teachers of earlier plans, by what `stratos.toml` says of them now.
struct WorkspaceDesk<'a>(&'a Workspace);

impl Desk for WorkspaceDesk<'_> {
    fn teacher(&self, provider: &str, model: &str) -> Result<Arc<dyn Teacher>, DistillError> {
        wiring::teacher_of(self.0, provider, model).map_err(|failure| DistillError::NoTeacher {
            provider: provider.into(),
            model: model.into(),
            why: format!("{}. {}", failure.reason, failure.next),
        })
    }
}

/// How far a distillation is to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Make the plan and stop.
    Plan,
    /// Bring open batches on by a step.
    Tend,
    /// To the end, or to whatever wants the operator.
    End,
}

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    if !context.workspace.config.labels.takes_teacher() {
        let headline = "nothing to ask: [labels] takes imported labels only".to_owned();
        return Ok(PhaseEnd::Done { output: input.clone(), headline });
    }
    let scope = Plan::recorded(&context.ledger, input)?.map(|plan| plan.scope).unwrap_or_default();
    let step = pairs(context, input, None, &scope, Reach::End)?;
    match step {
        Step::Stopped => Ok(PhaseEnd::Stopped),
        Step::NeedsApproval(plan) => Ok(PhaseEnd::NeedsApproval(spend_request(&context.ledger, &plan)?)),
        Step::Done => finish(context, input),
    }
}

/// Distillation off the phase's path.
pub fn run_errand(context: &mut JobContext, input: &Digest, errand: &Errand) -> Result<PhaseEnd, Failure> {
    let aside = |headline: String| Ok(PhaseEnd::Aside { headline });
    let step = match errand {
        Errand::Plan { scope } => pairs(context, input, None, scope, Reach::Plan)?,
        Errand::Tend => pairs(context, input, None, &Scope::default(), Reach::Tend)?,
        Errand::SecondOpinion { teacher, scope, send } => {
            let reach = if *send { Reach::End } else { Reach::Plan };
            pairs(context, &aside_input(input, teacher), Some(teacher), scope, reach)?
        }
        Errand::Polarise { profiles, count, send } => return super::polarise::run(context, profiles, *count, *send),
        other => return Err(Failure::new(format!("{other:?} is no distillation"), "This is a fault of StratOS.")),
    };
    match step {
        Step::Stopped => Ok(PhaseEnd::Stopped),
        Step::NeedsApproval(plan) => planned(context, *plan),
        Step::Done if matches!(errand, Errand::Tend) => aside("open batches were looked at".into()),
        Step::Done => aside("nothing is left to ask: every pair in scope has its answer, or is out of attempts".into()),
    }
}

/// Shows a plan to whoever asked for it; one that is approved already asks for nothing.
pub(super) fn planned(context: &JobContext, plan: Plan) -> Result<PhaseEnd, Failure> {
    let request = spend_request(&context.ledger, &plan)?;
    let view = views::plan_view(&context.ledger, plan)?;
    let approved = view.approved;
    let name = view.digest.short().to_owned();
    context.send(JobMessage::Planned(Box::new(view)));
    Ok(match approved {
        Some(ceiling) => PhaseEnd::Aside { headline: format!("plan {name} is approved up to {ceiling}") },
        None => PhaseEnd::NeedsApproval(request),
    })
}

/// The input that a second opinion's plans are recorded under: not the phase's, so that they do not take its place.
fn aside_input(input: &Digest, teacher: &str) -> Digest {
    Digester::new().field("second opinion").field(teacher).field(input.as_str()).finish()
}

fn pairs(context: &mut JobContext, input: &Digest, teacher: Option<&str>, scope: &Scope, reach: Reach) -> Result<Step, Failure> {
    let workspace = context.workspace.clone();
    let (profiles, articles) = selection(context)?;
    let mut prompts = Vec::with_capacity(profiles.len());
    for profile in &profiles {
        prompts.push((profile.id.as_str(), workspace.renderer.reader(profile)));
    }
    context.hold(input, &[d13(prompts.iter().map(|(id, text)| (*id, text.as_str())))])?;
    let built = wiring::teacher_named(&workspace, teacher)?;
    let mut set = PairSet::new(&workspace.recipe, &workspace.renderer, built.as_ref(), &profiles, &articles);
    // What a reviewer sent back goes to the teacher who wrote it; a second opinion is another teacher's first.
    if teacher.is_none() {
        set = set.returning(audit::returned(&audit::effects(&context.ledger)?));
    }
    let choice = wiring::choice(&workspace, teacher)?.clone();
    conduct(context, &set, input, &choice, scope, reach)
}

/// Has articles written: the same way, with other questions.
pub(super) fn written(context: &mut JobContext, set: &dyn Asking, input: &Digest, send: bool) -> Result<Step, Failure> {
    let choice = context.workspace.config.teacher.clone();
    let reach = if send { Reach::End } else { Reach::Plan };
    conduct(context, set, input, &choice, &Scope::default(), reach)
}

fn conduct(
    context: &mut JobContext,
    asking: &dyn Asking,
    input: &Digest,
    choice: &TeacherChoice,
    scope: &Scope,
    reach: Reach,
) -> Result<Step, Failure> {
    let workspace = context.workspace.clone();
    let prices = wiring::prices(&workspace)?;
    let raw = workspace.raw_store()?;
    let clock = context.clock.clone();
    // The distiller's own connection: its conductor writes findings through the context's.
    let mut ledger = workspace.ledger()?;
    let pilot = match choice.pilot {
        Pilot::Auto => PilotRule::Auto,
        Pilot::Always => PilotRule::Always,
        Pilot::Never => PilotRule::Never,
    };
    let (seed, pilot_requests) = (workspace.config.seed, workspace.recipe.teacher.pilot_requests);
    let wanted = Wanted { input, scope, seed, pilot, pilot_requests };
    let desk = WorkspaceDesk(&workspace);
    let mut distiller = Distiller::new(Tools {
        asking,
        desk: &desk,
        recipe: &workspace.recipe,
        prices: &prices,
        ledger: &mut ledger,
        raw: &raw,
        clock: clock.as_ref(),
        pace: &WallPace,
        conduct: context,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let step = runtime.block_on(async {
        match reach {
            Reach::End => distiller.run(&wanted).await,
            Reach::Tend => distiller.tend_only().await.map(|()| Step::Done),
            Reach::Plan => {
                let plan = distiller.plan(&wanted).await?;
                Ok(plan.map_or(Step::Done, |plan| Step::NeedsApproval(Box::new(plan))))
            }
        }
    });
    context.send(JobMessage::Refresh(Phase::Distill));
    Ok(step?)
}

/// Before the first submission to a provider, its terms are pointed at.
fn notice(ledger: &Ledger, provider: &str) -> Result<Option<String>, Failure> {
    let terms = match provider {
        "anthropic" => "Anthropic's commercial terms",
        "openai" => "OpenAI's terms of use",
        "gemini" => "Google's Gemini API terms",
        _ => return Ok(None),
    };
    let text = format!(
        "First use of {provider}: {terms} restrict training models that compete with the provider's. Read them before you approve."
    );
    Ok((!ledger.has_used(provider)?).then_some(text))
}

/// What the operator is asked to approve.
pub fn spend_request(ledger: &Ledger, plan: &Plan) -> Result<ApprovalRequest, Failure> {
    let estimate = &plan.estimate;
    let ceiling = suggested_ceiling(estimate);
    let kind = match plan.kind {
        Kind::Pilot => "pilot",
        Kind::Traces => "judgements",
        Kind::Articles => "articles",
    };
    Ok(ApprovalRequest::Spend {
        plan: plan.digest.clone(),
        what: kind.into(),
        requests: estimate.requests,
        expected: estimate.forecast.expected,
        p95: estimate.forecast.p95,
        worst: estimate.worst,
        ceiling,
        notice: notice(ledger, &estimate.price.provider)?,
        how: format!(
            "stratos distill approve {} --ceiling {}, or 'stratos run --yes' with a ceiling",
            plan.digest.short(),
            ceiling.amount()
        ),
    })
}

/// What will usually be enough, to the next whole cent.
pub fn suggested_ceiling(estimate: &Estimate) -> Usd {
    // A pilot is worth going out at once; of the rest, what is usually enough.
    let amount = if estimate.whole.is_some() { estimate.at_once } else { estimate.forecast.p95.min(estimate.worst) };
    Usd::new(amount.amount().round_dp_with_strategy(2, rust_decimal::RoundingStrategy::AwayFromZero))
}

fn finish(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let (profiles, articles) = selection(context)?;
    let teacher = wiring::teacher(&workspace)?;
    let returned = audit::returned(&audit::effects(&context.ledger)?);
    let set = PairSet::new(&workspace.recipe, &workspace.renderer, teacher.as_ref(), &profiles, &articles).returning(returned);
    let done = Distilled::of(&set, &context.ledger)?;
    if done.traces.is_empty() {
        return Err(Failure::new("no answer was kept", "Read the rejects in the Distill tab; every raw answer is stored."));
    }
    import_guards::hold_quality(context, &done, &articles)?;
    import_guards::hold_books(context, input)?;
    let missing = done.pairs - done.traces.len();
    let lack = if missing == 0 { String::new() } else { format!(", {missing} pairs without a usable answer") };
    Ok(PhaseEnd::Done { output: done.digest.clone(), headline: format!("{} traces{lack}", done.traces.len()) })
}
