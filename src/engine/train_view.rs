//! The training view, kept up to date step by step from what the trainer tells.

use super::snapshot::TrainView;

/// One piece of news from a training run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TrainUpdate {
    /// A run begins, or goes on with the history of its step log.
    Started {
        run: String,
        parameters: u64,
        total_steps: u64,
        resumed_from: Option<u64>,
        loss: Vec<(u64, f64)>,
        eval_loss: Vec<(u64, f64)>,
    },
    Step {
        step: u64,
        epoch: usize,
        loss: f64,
        lr: f64,
        grad_norm: f64,
        tokens_per_second: f64,
        seconds: f64,
    },
    Eval {
        step: u64,
        loss: f64,
    },
    Checkpoint {
        step: u64,
    },
    StoppedEarly,
}

/// How quickly the mean seconds per step follow: about the last twenty steps.
const SMOOTHING: f64 = 0.05;

impl TrainView {
    pub(super) fn apply(&mut self, update: TrainUpdate) {
        match update {
            TrainUpdate::Started { run, parameters, total_steps, resumed_from, loss, eval_loss } => {
                let best = eval_loss.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
                *self = Self { run: Some(run), parameters, total_steps, resumed_from, loss, eval_loss, best, ..Self::default() };
            }
            TrainUpdate::Step { step, epoch, loss, lr, grad_norm, tokens_per_second, seconds } => {
                self.loss.push((step, loss));
                (self.epoch, self.lr, self.grad_norm, self.tokens_per_second) = (epoch, lr, grad_norm, tokens_per_second);
                let first = self.seconds_per_step == 0.0;
                self.seconds_per_step =
                    if first { seconds } else { self.seconds_per_step + SMOOTHING * (seconds - self.seconds_per_step) };
            }
            TrainUpdate::Eval { step, loss } => {
                self.eval_loss.push((step, loss));
                if self.best.is_none_or(|(_, best)| loss < best) {
                    self.best = Some((step, loss));
                }
            }
            TrainUpdate::Checkpoint { step } => self.checkpoints.push(step),
            TrainUpdate::StoppedEarly => self.stopped_early = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_evaluation_is_remembered() {
        let mut view = TrainView::default();
        for (step, loss) in [(1, 3.0), (2, 1.0), (3, 2.0)] {
            view.apply(TrainUpdate::Eval { step, loss });
        }
        assert_eq!(view.best, Some((2, 1.0)));
    }
}
