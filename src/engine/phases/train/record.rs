//! What a run's folder says of the run once its process is gone: what it began with, and its logs.
//!
//! Owns `run.json` and the way back from a folder to a view. The logs themselves are `train`'s.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::super::train_view::{BandDraw, TrainView};
use crate::train::{self, samples, steplog};
use crate::workspace::{WorkspaceError, atomic_write};

const FILE: &str = "run.json";

/// What a run began with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    pub parameters: u64,
    pub total_steps: u64,
    pub epochs: usize,
    pub forecast: Option<u64>,
    pub mix: Vec<BandDraw>,
    pub elsewhere: bool,
    pub recipe: String,
    pub student: String,
}

impl RunRecord {
    pub fn write(&self, run_dir: &Path) -> Result<(), WorkspaceError> {
        // Plain scalars and lists always serialise.
        atomic_write(&run_dir.join(FILE), &serde_json::to_vec_pretty(self).unwrap_or_default())
    }

    /// Of a run that an older version began, nothing is known.
    pub fn read(run_dir: &Path) -> Self {
        let text = std::fs::read(run_dir.join(FILE)).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
}

/// Everything that a run's folder tells.
pub fn view(run_dir: &Path, run: &str) -> TrainView {
    let record = RunRecord::read(run_dir);
    let mut view = TrainView { elsewhere: record.elsewhere, ..TrainView::default() };
    // A log that cannot be read costs the curve, not the console.
    let _ = steplog::each(&run_dir.join(steplog::FILE), |event| view.tell(&event));
    for round in samples::read(run_dir).unwrap_or_default() {
        view.tell(&round);
    }
    view.checkpoints = train::checkpoint_steps(run_dir);
    view.checkpoints_written = view.checkpoints.len() as u64;
    view.run = Some(run.to_owned());
    view.parameters = record.parameters;
    view.epochs = record.epochs;
    view.forecast = record.forecast;
    view.total_steps = record.total_steps.max(view.step());
    view.mix = record.mix;
    if view.step() < view.total_steps {
        // How far an unfinished order was read is counted while it runs.
        view.mix.clear();
    }
    for band in &mut view.mix {
        band.drawn = band.ordered;
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{EvalRecord, StepRecord, TrainEvent};

    fn log(dir: &Path, steps: u64) {
        let mut log = steplog::StepLog::open(dir, 0).expect("opens");
        for step in 1..=steps {
            let loss = 1.0 / step as f64;
            let s = StepRecord { step, epoch: 1, loss, lr: 0.1, grad_norm: 1.0, tokens: 10, loss_tokens: 5, seconds: 0.5 };
            log.add(&TrainEvent::Step(s)).expect("writes");
        }
        log.add(&TrainEvent::Eval(EvalRecord { step: steps, loss: 0.5, best: true, seconds: 1.0 })).expect("writes");
    }

    fn record() -> RunRecord {
        let band = BandDraw { band: "low".into(), drawn: 0, ordered: 12, promised: 1.0 };
        RunRecord { parameters: 77, total_steps: 3, epochs: 2, forecast: Some(1 << 20), mix: vec![band], ..RunRecord::default() }
    }

    #[test]
    fn a_run_is_known_again_after_a_restart() {
        let dir = tempfile::tempdir().expect("folder");
        record().write(dir.path()).expect("writes");
        log(dir.path(), 3);
        let view = view(dir.path(), "r");
        assert_eq!((view.parameters, view.total_steps, view.epochs, view.step()), (77, 3, 2, 3));
        assert_eq!((view.forecast, view.mix[0].drawn), (Some(1 << 20), 12));
        assert_eq!((view.loss.count(), view.best), (3, Some((3, 0.5))));
        assert_eq!((view.lr.count(), view.last_step_at), (3, None));
    }

    #[test]
    fn an_unfinished_run_says_how_long_it_was_to_be_and_no_mix_it_did_not_read() {
        let dir = tempfile::tempdir().expect("folder");
        RunRecord { total_steps: 9, ..record() }.write(dir.path()).expect("writes");
        log(dir.path(), 2);
        let view = view(dir.path(), "r");
        assert_eq!((view.step(), view.total_steps, view.mix.len()), (2, 9, 0));
    }

    #[test]
    fn a_run_of_an_older_version_has_its_curve() {
        let dir = tempfile::tempdir().expect("folder");
        log(dir.path(), 2);
        let view = view(dir.path(), "r");
        assert_eq!((view.loss.count(), view.total_steps, view.parameters), (2, 2, 0));
    }
}
