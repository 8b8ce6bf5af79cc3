//! Phase 5: the student is trained on an acknowledged dataset; a killed run goes on from its newest checkpoint.

use std::path::PathBuf;

use super::super::event::Event;
use super::super::job::{Failure, JobContext, JobMessage, PhaseEnd};
use super::super::snapshot::TrainView;
use super::super::state::Standing;
use super::super::train_view::TrainUpdate;
use super::dataset::{codec, train_example};
use super::load_dataset;
use crate::dataset::{OrderRow, Side, order};
use crate::domain::{Conduct, Digest, Finding, Gate, Phase};
use crate::train::{self, TrainControl, TrainEvent, TrainExample, TrainGate, TrainJob};
use crate::workspace::{Workspace, WorkspaceError, free_bytes};

/// Bytes of one f32 parameter in a checkpoint: the weight and two moments.
const CHECKPOINT_BYTES_PER_PARAMETER: u64 = 12;

/// Checkpoints on disk at once: two recent ones, the best, one being written.
const CHECKPOINTS_HELD: u64 = 4;

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
    let tokenizer = codec(&workspace, &dataset)?.tokenizer;
    let recipe = &workspace.recipe;
    let rows: Vec<OrderRow> = stored.side(Side::Train).map(|e| OrderRow { score: e.score, repeats: e.repeats }).collect();
    let (rules, seed) = (&recipe.seedling, workspace.config.seed);
    let orders = (0..rules.run.epochs).map(|epoch| order(&rows, rules.run.order, recipe.scale.middle(), seed, epoch)).collect();
    let examples = |side| -> Vec<TrainExample> { stored.side(side).map(train_example).collect() };
    let job = TrainJob {
        run_dir: run_dir(&workspace, input)?,
        rules: rules.clone(),
        seed,
        tokenizer,
        train: examples(Side::Train),
        eval: examples(Side::Eval),
        orders,
        data_digest: dataset,
    };
    let start = [t3(&job), job.t10()];
    context.hold(input, &start)?;
    let mut control = Control { context, run: input.short().to_owned(), total_steps: 0 };
    let outcome = train::train(&job, &mut control);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            if let Some(finding) = error.finding() {
                context.hold(input, &[finding])?;
            }
            return Err(error.into());
        }
    };
    if outcome.stopped {
        return Ok(PhaseEnd::Stopped);
    }
    let finite = Finding::pass("T5", format!("{} steps with finite loss and gradients", outcome.steps));
    let gradients = Finding::pass("T13", "every trainable tensor had a finite, non-zero gradient after the first step");
    context.hold(input, &[finite, gradients])?;
    let early = if outcome.stopped_early { ", stopped early" } else { "" };
    let headline = format!(
        "{:.1} M parameters, {} steps{early}, best eval loss {:.3} at step {}",
        outcome.parameters as f64 / 1e6,
        outcome.steps,
        outcome.best_loss,
        outcome.best_step
    );
    Ok(PhaseEnd::Done { output: outcome.digest, headline })
}

/// Guard T3: the disk holds what the run will write.
fn t3(job: &TrainJob) -> Finding {
    let need = job.parameters() as u64 * CHECKPOINT_BYTES_PER_PARAMETER * CHECKPOINTS_HELD;
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match free_bytes(&job.run_dir) {
        Some(free) if free < need => Finding::fail(
            "T3",
            format!("{} MiB are free where checkpoints go; the run needs up to {} MiB", mib(free), mib(need)),
            "Free some disk space and run again.",
        ),
        Some(free) => Finding::pass("T3", format!("{} MiB are free, up to {} MiB are needed", mib(free), mib(need))),
        None => Finding::pass("T3", format!("the system does not say how much is free; up to {} MiB are needed", mib(need))),
    }
}

/// The trainer's line to the engine.
struct Control<'a> {
    context: &'a mut JobContext,
    run: String,
    total_steps: u64,
}

impl TrainControl for Control<'_> {
    fn gate(&mut self) -> TrainGate {
        match self.context.gate() {
            Gate::Continue => TrainGate::Continue,
            Gate::Stop => TrainGate::Stop,
        }
    }

    fn on_event(&mut self, event: &TrainEvent) {
        let update = match event {
            TrainEvent::Started { total_steps, resumed_from, parameters, history, eval_history } => {
                self.total_steps = *total_steps;
                TrainUpdate::Started {
                    run: self.run.clone(),
                    parameters: *parameters as u64,
                    total_steps: *total_steps,
                    resumed_from: *resumed_from,
                    loss: history.clone(),
                    eval_loss: eval_history.clone(),
                }
            }
            TrainEvent::Step(s) => {
                let tokens_per_second = if s.seconds > 0.0 { s.tokens as f64 / s.seconds } else { 0.0 };
                let (step, total_steps, epoch) = (s.step, self.total_steps, s.epoch);
                self.context.event(Event::Step {
                    step,
                    total_steps,
                    epoch,
                    loss: s.loss,
                    lr: s.lr,
                    grad_norm: s.grad_norm,
                    tokens_per_second,
                });
                self.context.progress(step, total_steps, "steps", "");
                TrainUpdate::Step {
                    step,
                    epoch,
                    loss: s.loss,
                    lr: s.lr,
                    grad_norm: s.grad_norm,
                    tokens_per_second,
                    seconds: s.seconds,
                }
            }
            TrainEvent::Eval { step, loss } => {
                self.context.event(Event::EvalLoss { step: *step, loss: *loss });
                TrainUpdate::Eval { step: *step, loss: *loss }
            }
            TrainEvent::Checkpoint { step, .. } => TrainUpdate::Checkpoint { step: *step },
            TrainEvent::EarlyStop { .. } => TrainUpdate::StoppedEarly,
            TrainEvent::Finished { .. } => return,
        };
        self.context.send(JobMessage::Train(update));
    }
}

/// The curves of the last run, from its step log, for a console that opens later.
pub fn train_history(workspace: &Workspace, standings: &[Standing]) -> TrainView {
    let standing = &standings[Phase::Train.index()];
    let input = standing.input.as_ref().or(standing.record.as_ref().map(|r| &r.input));
    let mut view = TrainView::default();
    let Some(input) = input else { return view };
    let Ok(dir) = run_dir(workspace, input) else { return view };
    let Ok(log) = train::read_log(&dir) else { return view };
    if log.steps.is_empty() {
        return view;
    }
    view.apply(TrainUpdate::Started {
        run: input.short().to_owned(),
        parameters: log.parameters as u64,
        total_steps: log.total_steps,
        resumed_from: None,
        loss: log.steps.iter().map(|s| (s.step, s.loss)).collect(),
        eval_loss: log.evals,
    });
    if let Some(last) = log.steps.last() {
        (view.epoch, view.lr, view.grad_norm) = (last.epoch, last.lr, last.grad_norm);
    }
    view
}
