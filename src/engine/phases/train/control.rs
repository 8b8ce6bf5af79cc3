//! The trainer's line to the engine: what it asks at its gate, and what its news become. Owns the translation, native and
//! elsewhere alike; what a front end sees of it is the view's.

use std::path::PathBuf;

use super::super::super::event::Event;
use super::super::super::job::{JobContext, JobMessage};
use super::super::super::subject::{Choice, run_rules};
use super::super::super::train_view::{Started, TrainUpdate};
use super::answers;
use super::mix::Mix;
use super::record::{self, RunRecord};
use super::start::Prepared;
use crate::domain::{Conduct, Digest};
use crate::train::forecast::Forecast;
use crate::train::{self, SampleRules, TrainControl, TrainEvent};
use crate::workspace::Workspace;

/// What is known of a run before its trainer says anything.
pub(super) struct Begins {
    run: String,
    run_dir: PathBuf,
    mix: Mix,
    pub record: RunRecord,
    /// Why no live answers are written.
    pub no_samples: Option<String>,
}

impl Begins {
    /// Of a run whose rows are encoded; its orders are still with it.
    pub fn of(workspace: &Workspace, input: &Digest, prepared: &Prepared, choice: &Choice) -> Self {
        let mix = prepared.mix(workspace, choice);
        let record = RunRecord {
            epochs: run_rules(&workspace.recipe, choice).epochs,
            mix: mix.bands.clone(),
            recipe: workspace.recipe.name.clone(),
            student: workspace.config.student.base.clone(),
            ..RunRecord::default()
        };
        Self { run: input.short().to_owned(), run_dir: prepared.run_dir.clone(), mix, record, no_samples: None }
    }

    /// The rules of the live answers, where there is room for them; the forecast is then of both.
    pub fn answers(&mut self, workspace: &Workspace, prepared: &Prepared, training: Option<&Forecast>) -> Option<SampleRules> {
        let total = training.map(Forecast::total);
        match answers::rules(prepared, &workspace.recipe, &workspace.config, training) {
            Ok(rules) => {
                self.record.forecast = total.map(|bytes| bytes + answers::need(prepared).total());
                Some(rules)
            }
            Err(why) => {
                (self.record.forecast, self.no_samples) = (total, Some(why));
                None
            }
        }
    }
}

pub(super) struct Control<'a> {
    pub context: &'a mut JobContext,
    pub begins: Begins,
}

impl Control<'_> {
    fn send(&self, update: TrainUpdate) {
        self.context.send(JobMessage::Train(update));
    }

    /// A run begins, or goes on: its folder learns what it is, and its view what it was.
    fn started(&mut self, total_steps: u64, parameters: u64, resumed_from: Option<u64>) {
        let begins = &mut self.begins;
        (begins.record.total_steps, begins.record.parameters) = (total_steps, parameters);
        if let Err(error) = begins.record.write(&begins.run_dir) {
            self.context.warn(format!("the run's record was not written: {error}"));
        }
        let RunRecord { forecast, elsewhere, epochs, .. } = begins.record;
        // The logs were cut back to the checkpoint before this event.
        let past = record::view(&begins.run_dir, &begins.run);
        let started = Started {
            run: begins.run.clone(),
            parameters,
            total_steps,
            epochs,
            resumed_from,
            forecast,
            mix: begins.mix.bands.clone(),
            no_samples: begins.no_samples.clone(),
            elsewhere,
            past,
        };
        self.send(TrainUpdate::Started(Box::new(started)));
        self.send(TrainUpdate::Mix(self.begins.mix.after(resumed_from.unwrap_or(0))));
    }

    fn step(&mut self, s: &train::StepRecord) {
        let tokens_per_second = if s.seconds > 0.0 { s.tokens as f64 / s.seconds } else { 0.0 };
        let (step, total_steps, epoch) = (s.step, self.begins.record.total_steps, s.epoch);
        let (loss, lr, grad_norm) = (s.loss, s.lr, s.grad_norm);
        self.context.event(Event::Step { step, total_steps, epoch, loss, lr, grad_norm, tokens_per_second });
        self.context.progress(step, total_steps, "steps", "");
        self.send(TrainUpdate::Mix(self.begins.mix.after(step)));
    }
}

impl TrainControl for Control<'_> {
    fn gate(&mut self) -> train::Gate {
        self.context.training_gate()
    }

    fn on_event(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started { total_steps, resumed_from, parameters, .. } => {
                return self.started(*total_steps, *parameters as u64, *resumed_from);
            }
            TrainEvent::Step(s) => self.step(s),
            TrainEvent::Eval(e) => self.context.event(Event::EvalLoss { step: e.step, loss: e.loss }),
            TrainEvent::Checkpoint { step, .. } => self.context.event(Event::Checkpoint { step: *step }),
            TrainEvent::Samples { step, answers, .. } => {
                for a in answers.iter().cloned() {
                    let (step, id, text, score) = (*step, a.id, a.text, a.score);
                    self.context.event(Event::Sample { step, id, text, score, defect: a.defect, teacher: a.teacher });
                }
            }
            TrainEvent::NoSamples { why } => self.context.warn(format!("no more live answers in this run: {why}")),
            TrainEvent::CheckpointSkipped { path, why } => {
                return self.context.warn(format!("checkpoint {} was passed over: {why}", path.display()));
            }
            TrainEvent::EarlyStop { .. } | TrainEvent::Stopped { .. } | TrainEvent::Finished(_) => {}
        }
        self.send(TrainUpdate::Told(event.clone()));
    }
}
