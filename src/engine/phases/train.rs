//! Phase 5: the student is trained on an acknowledged dataset; a killed run goes on from its newest checkpoint.

use std::path::PathBuf;

use super::super::errand::Errand;
use super::super::event::Event;
use super::super::job::{Failure, JobContext, JobMessage, PhaseEnd};
use super::super::snapshot::TrainView;
use super::super::state::Standing;
use super::super::subject::Choice;
use super::super::train_view::TrainUpdate;
use super::load_dataset;
use crate::domain::{Digest, Finding, Phase};
use crate::student::Student;
use crate::student::tokenizer::TURN_END;
use crate::train::{self, TrainError, TrainEvent, TrainJob, TrainOutcome, neighbours, steplog};
use crate::workspace::{Backend, Device, Workspace, WorkspaceError};
use control::{Begins, Control};
pub use reading::sampler;
use start::Prepared;

mod answers;
mod control;
mod elsewhere;
mod mix;
mod reading;
pub mod record;
mod start;

/// Where the run of one training input lives.
pub fn run_dir(workspace: &Workspace, input: &Digest) -> Result<PathBuf, WorkspaceError> {
    workspace.state_dir(&format!("runs/{}", input.short()))
}

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let dataset = super::upstream_output(context, Phase::Dataset)?;
    if !context.ledger.is_acknowledged(&dataset)? {
        let how = format!("Read 'stratos dataset stats', then 'stratos dataset acknowledge {}'.", dataset.short());
        return Err(Failure::new("the statistics of this dataset were not acknowledged", how));
    }
    let stored = load_dataset(&workspace, &dataset)?;
    let choice = Choice::of(&workspace)?;
    let mut prepared = Prepared::of(&workspace, &choice, &stored, run_dir(&workspace, input)?)?;
    drop(stored);
    let dry_run = context.errand == Some(Errand::DryRun);
    if workspace.config.train.backend == Backend::External {
        if dry_run {
            let next = "Dry runs are this binary's; the other trainer's first steps are shown as it makes them.";
            return Err(Failure::new("training elsewhere has no dry run", next));
        }
        return elsewhere::run(context, input, &choice, &prepared);
    }
    let mut findings = prepared.text_proofs(&workspace, &choice)?;
    let (fits, forecast) = prepared.memory(&workspace, &choice);
    findings.push(fits);
    if workspace.config.train.device != Device::Cpu {
        findings.extend(neighbours::find(neighbours::OLLAMA_URL).map(|found| found.finding()));
    }
    context.hold(input, &findings)?;
    let mut begins = Begins::of(&workspace, input, &prepared, &choice);
    let samples = begins.answers(&workspace, &prepared, forecast.as_ref());
    let mut job = prepared.job(&workspace, &choice)?;
    job.samples = samples;
    let parameters: u64 = job.subject.shapes().values().map(|s| s.iter().product::<usize>() as u64).sum();
    let findings = start::model_proofs(context, input, &job, [&prepared.train, &prepared.eval])?;
    context.hold(input, &findings)?;
    if dry_run || start::wants_rehearsal(&workspace, &choice, &job) {
        let known = start::rehearsed_before(&job).filter(|_| !dry_run);
        let finding = match known {
            Some(finding) => Some(finding),
            None => start::rehearse(context, &job, [&prepared.train, &prepared.eval], forecast.as_ref())?,
        };
        let Some(finding) = finding else { return Ok(PhaseEnd::Stopped) };
        context.hold(input, std::slice::from_ref(&finding))?;
        if dry_run {
            return Ok(PhaseEnd::Aside { headline: format!("dry run: {}", finding.saw) });
        }
    }
    let mut control = Control { context, begins };
    let outcome = match train::train_rows(&job, prepared.train, prepared.eval, &mut control) {
        Ok(outcome) => outcome,
        Err(error) => {
            if let TrainError::NotFinite { what, step, .. } = &error {
                tell_not_finite(context, what, *step);
            }
            if let Some(finding) = step_finding(&error) {
                context.ledger.put_findings(Phase::Train, input, std::slice::from_ref(&finding), context.clock.now())?;
                context.event(Event::Finding { phase: Phase::Train, finding });
            }
            return Err(error.into());
        }
    };
    let TrainOutcome::Finished(end) = outcome else { return Ok(PhaseEnd::Stopped) };
    let finite = Finding::pass("T5", format!("{} steps with finite loss and gradients", end.steps));
    let gradients = Finding::pass("T13", "every trainable tensor had a finite, non-zero gradient after the first step");
    context.hold(input, &[finite, gradients])?;
    let student = Student::load(&end.best)?;
    let early = if end.early { ", stopped early" } else { "" };
    let headline = format!(
        "{:.1} M parameters, {} steps{early}, best eval loss {:.3} at step {}",
        parameters as f64 / 1e6,
        end.steps,
        end.best_loss,
        end.best_step
    );
    Ok(PhaseEnd::Done { output: student.digest().clone(), headline })
}

/// Guard T10: the end token is looked up by name, carries loss, and is the one the configuration stops at.
fn t10(job: &TrainJob) -> Result<Finding, Failure> {
    let end = job.codec.tokenizer.end();
    let Some(first) = job.train.first() else {
        return Ok(Finding::fail("T10", "there is no training row", "Build the dataset again."));
    };
    let encoded = job.codec.example(&first.messages)?;
    let closes = encoded.ids.last() == Some(&end) && encoded.loss_tokens() > 0;
    let stops = job.subject.config().eos_token_ids.contains(&end);
    Ok(if closes && stops {
        Finding::pass("T10", format!("{TURN_END} (id {end}) ends every target, carries loss and ends generation"))
    } else {
        Finding::fail(
            "T10",
            format!(
                "targets end with token {:?}, generation stops at {:?}, {TURN_END} is {end}",
                encoded.ids.last(),
                job.subject.config().eos_token_ids
            ),
            "Use one end token in the chat template and the configuration.",
        )
    })
}

/// The guard that a failed step belongs to.
fn step_finding(error: &TrainError) -> Option<Finding> {
    let guard = match error {
        TrainError::NotFinite { .. } => "T5",
        TrainError::NoGradient { .. } => "T13",
        _ => return None,
    };
    Some(Finding::fail(guard, error.to_string(), "See the message; the last good checkpoint is kept."))
}

/// Tells the view of a step that was no number, which ends the run.
fn tell_not_finite(context: &JobContext, what: &str, step: u64) {
    context.send(JobMessage::Train(TrainUpdate::NotFinite { what: what.to_owned(), step }));
}

/// The losses of a run by step: of the rows that were trained on, and of those held out.
pub fn loss_curves(workspace: &Workspace, run: &str) -> (Losses, Losses) {
    let dir = workspace.state_dir(&format!("runs/{run}"));
    let log = dir.ok().and_then(|dir| steplog::read(&dir.join(steplog::FILE)).ok()).unwrap_or_default();
    let loss = log.iter().filter_map(|e| if let TrainEvent::Step(s) = e { Some((s.step, s.loss)) } else { None });
    let eval = log.iter().filter_map(|e| if let TrainEvent::Eval(e) = e { Some((e.step, e.loss)) } else { None });
    (loss.collect(), eval.collect())
}

pub type Losses = Vec<(u64, f64)>;

/// The last run from its own folder, for a console that opens later: the one that would go on now, or else the one that
/// was finished last.
pub fn train_history(workspace: &Workspace, standings: &[Standing]) -> TrainView {
    let standing = &standings[Phase::Train.index()];
    let mut inputs = standing.input.iter().chain(standing.record.as_ref().map(|r| &r.input));
    let known = |input: &Digest| {
        let dir = workspace.state_dir(&format!("runs/{}", input.short())).ok()?;
        let view = record::view(&dir, input.short());
        (!view.loss.is_empty()).then_some(view)
    };
    inputs.find_map(known).unwrap_or_default()
}
