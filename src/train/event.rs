//! What a training run tells and asks its surroundings. Closed and serialisable; owns no behaviour.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::samples::SampleRecord;

/// What the surroundings want before the next optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Continue,
    /// Write a checkpoint now, then go on.
    Checkpoint,
    /// Write a checkpoint and come back.
    Stop,
}

/// The trainer's only contact with the world while it runs.
pub trait TrainControl {
    /// Called once before each optimizer step; may block while paused.
    fn gate(&mut self) -> Gate;
    /// Must not block for long: the trainer never waits for a screen.
    fn on_event(&mut self, event: &TrainEvent);
}

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Counted from 1.
    pub step: u64,
    /// Counted from 1.
    pub epoch: usize,
    pub loss: f64,
    pub lr: f64,
    /// Before clipping.
    pub grad_norm: f64,
    pub tokens: usize,
    pub loss_tokens: usize,
    pub seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    pub step: u64,
    pub loss: f64,
    /// The best so far, this one included.
    pub best: bool,
    /// It took; 0: not known.
    #[serde(default)]
    pub seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrainEvent {
    Started {
        total_steps: u64,
        /// Step of the checkpoint that the run goes on from.
        resumed_from: Option<u64>,
        parameters: usize,
        train_examples: usize,
        eval_examples: usize,
        /// Tokens of the longest example, the prompt included.
        longest: usize,
    },
    Step(StepRecord),
    Eval(EvalRecord),
    Checkpoint {
        step: u64,
        path: PathBuf,
    },
    /// A checkpoint that could not be read was passed over.
    CheckpointSkipped {
        path: PathBuf,
        why: String,
    },
    /// What the student wrote to a few held-out prompts.
    Samples {
        step: u64,
        /// That all of them took.
        seconds: f64,
        answers: Vec<SampleRecord>,
    },
    /// There will be no more of them.
    NoSamples {
        why: String,
    },
    EarlyStop {
        step: u64,
        evaluations_without_improvement: usize,
    },
    Stopped {
        step: u64,
    },
    Finished(Finish),
}

/// How a finished run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    pub steps: u64,
    pub best_step: u64,
    pub best_loss: f64,
    pub early: bool,
    /// The folder of the best student.
    pub best: PathBuf,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TrainOutcome {
    Finished(Finish),
    /// Stopped at the gate; calling again goes on from there.
    Stopped {
        step: u64,
    },
}
