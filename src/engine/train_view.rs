//! The training view, kept up to date step by step from what the trainer tells.
//!
//! Owns what a console knows of a run: its curves, its pace, how its mix of bands goes, what it wrote lately, and what is
//! wrong with it. Judges nothing itself (`warnings` does) and reads no file.

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::warnings::{self, WarningKind};
use crate::domain::UnixMillis;
use crate::train::{SampleRecord, TrainEvent};

/// Checkpoints that are told by their steps; older ones are only counted.
const CHECKPOINTS: usize = 8;
/// Rounds of live answers that are kept for eyes; all of them are in the run's folder.
const ROUNDS: usize = 3;
/// How quickly the two means of seconds per step follow: about the last five steps, and the last twenty.
const FAST: f64 = 0.3;
const SLOW: f64 = 0.05;
/// Steps of this session before a pace is more than a guess.
const STEPS_FOR_PACE: u64 = 10;
/// Share by which the two means may differ while the pace counts as settled.
const SETTLED: f64 = 0.25;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainView {
    pub run: Option<String>,
    /// 0: not known.
    pub parameters: u64,
    pub total_steps: u64,
    /// Nats per trained token.
    pub loss: Curve,
    pub eval_loss: Curve,
    pub lr: Curve,
    /// Before clipping.
    pub grad_norm: Curve,
    pub tokens_per_second: Curve,
    pub epoch: usize,
    /// Of the whole run; 0: not known.
    pub epochs: usize,
    pub resumed_from: Option<u64>,
    pub best: Option<(u64, f64)>,
    /// Steps of the newest checkpoints, and how many there were.
    pub checkpoints: Vec<u64>,
    pub checkpoints_written: u64,
    pub stopped_early: bool,
    pub pace: Pace,
    /// When this session of the run began; `None` for a run that only its log tells of.
    pub since: Option<UnixMillis>,
    /// When the last step ended; `None` for a run that only its log tells of.
    pub last_step_at: Option<UnixMillis>,
    /// Bytes that guard T15 said the run needs.
    pub forecast: Option<u64>,
    /// By band, in the recipe's order.
    pub mix: Vec<BandDraw>,
    /// Oldest first.
    pub samples: Vec<SampleRound>,
    /// Why no live answers are written, where they are not.
    pub no_samples: Option<String>,
    pub warnings: Vec<Warning>,
    /// Trained by a program of the operator's own.
    pub elsewhere: bool,
}

/// How fast a run goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Steps of this session.
    pub steps: u64,
    /// Mean seconds of the last few and of the last twenty steps; 0 before the first.
    pub fast: f64,
    pub slow: f64,
    /// Seconds of this session spent on evaluations and live answers.
    pub aside: f64,
}

/// One band of what a run reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BandDraw {
    pub band: String,
    /// Rows read so far.
    pub drawn: u64,
    /// Rows that the order reads in the whole run.
    pub ordered: u64,
    /// Share that repeats and weights promise, of 1.
    pub promised: f64,
}

/// The answers that a student in training wrote at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRound {
    pub step: u64,
    /// That the whole round took.
    pub seconds: f64,
    pub answers: Vec<SampleView>,
}

/// One of them. Its text is untrusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleView {
    pub id: String,
    pub text: String,
    pub tokens: usize,
    /// It did not come to its end in the tokens it was given.
    pub cut: bool,
    /// As far as any score can be read.
    pub score: Option<f64>,
    /// Why it is not in the recipe's full format; `None`: it is.
    pub defect: Option<String>,
    pub teacher: f64,
}

/// Something that an operator should know of a run, once per kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    pub kind: WarningKind,
    /// When it was seen first.
    pub step: u64,
    pub text: String,
    /// It still holds.
    pub now: bool,
}

/// One piece of news from a training run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TrainUpdate {
    /// A run begins, or goes on with the history of its log.
    Started(Box<Started>),
    /// Rows of each band that were read so far, where the order is known.
    Mix(Vec<u64>),
    /// What the trainer tells of a step, an evaluation, a checkpoint, live answers or an early stop.
    Told(TrainEvent),
    /// A loss or gradient norm that is no finite number ends the run.
    NotFinite { what: String, step: u64 },
}

/// What a run begins with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Started {
    pub run: String,
    pub parameters: u64,
    pub total_steps: u64,
    pub epochs: usize,
    pub resumed_from: Option<u64>,
    pub forecast: Option<u64>,
    pub mix: Vec<BandDraw>,
    pub no_samples: Option<String>,
    pub elsewhere: bool,
    /// Steps, evaluations and live answers of earlier sessions.
    pub past: TrainView,
}

impl Pace {
    fn step(&mut self, seconds: f64) {
        let mean = |mean: f64, weight: f64| if mean == 0.0 { seconds } else { mean + weight * (seconds - mean) };
        (self.fast, self.slow) = (mean(self.fast, FAST), mean(self.slow, SLOW));
        self.steps += 1;
    }

    /// Seconds that a step costs, what is done beside it included; `None` until that has settled.
    pub fn per_step(&self) -> Option<f64> {
        let settled = self.steps >= STEPS_FOR_PACE && (self.fast - self.slow).abs() <= SETTLED * self.slow;
        (settled && self.slow > 0.0).then(|| self.slow + self.aside / self.steps as f64)
    }
}

impl From<&SampleRecord> for SampleView {
    fn from(r: &SampleRecord) -> Self {
        Self {
            id: r.id.clone(),
            text: r.text.clone(),
            tokens: r.tokens,
            cut: r.cut,
            score: r.score,
            defect: r.defect.clone(),
            teacher: r.teacher,
        }
    }
}

impl TrainView {
    /// Every curve, in one order.
    pub fn curves(&self) -> [&Curve; 5] {
        [&self.loss, &self.eval_loss, &self.lr, &self.grad_norm, &self.tokens_per_second]
    }

    /// [`Self::curves`], to change.
    pub fn curves_mut(&mut self) -> [&mut Curve; 5] {
        [&mut self.loss, &mut self.eval_loss, &mut self.lr, &mut self.grad_norm, &mut self.tokens_per_second]
    }

    /// Everything else.
    #[must_use]
    pub fn without_curves(&self) -> Self {
        let mut bare = self.clone();
        for curve in bare.curves_mut() {
            *curve = Curve::default();
        }
        bare
    }

    /// Takes in a piece of news; what came up with it that the operator should know.
    pub(super) fn apply(&mut self, update: TrainUpdate, now: UnixMillis) -> Vec<String> {
        match update {
            TrainUpdate::Started(started) => {
                self.start(*started);
                self.since = Some(now);
            }
            TrainUpdate::Mix(drawn) => self.mix.iter_mut().zip(drawn).for_each(|(band, n)| band.drawn = n),
            TrainUpdate::Told(event) => {
                let step = matches!(event, TrainEvent::Step(_));
                self.tell(&event);
                if step {
                    self.last_step_at = Some(now);
                }
                return self.watch();
            }
            TrainUpdate::NotFinite { what, step } => {
                let curve = if what.contains("eval") {
                    &mut self.eval_loss
                } else if what.contains("grad") {
                    &mut self.grad_norm
                } else {
                    &mut self.loss
                };
                curve.push(step, f64::NAN);
                return self.watch();
            }
        }
        Vec::new()
    }

    fn start(&mut self, started: Started) {
        let Started { run, parameters, total_steps, epochs, resumed_from, forecast, mix, no_samples, elsewhere, past } = started;
        let run = Some(run);
        *self = Self { run, parameters, total_steps, epochs, resumed_from, forecast, mix, no_samples, elsewhere, ..past };
        self.pace = Pace::default();
        self.last_step_at = None;
    }

    /// One event of the trainer, live or from a log.
    pub(super) fn tell(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Step(s) => {
                self.epoch = s.epoch;
                self.loss.push(s.step, s.loss);
                // A trainer elsewhere may not say these; 0 stands for that.
                if !self.elsewhere || s.lr > 0.0 {
                    self.lr.push(s.step, s.lr);
                }
                if !self.elsewhere || s.grad_norm > 0.0 {
                    self.grad_norm.push(s.step, s.grad_norm);
                }
                if s.tokens > 0 && s.seconds > 0.0 {
                    self.tokens_per_second.push(s.step, s.tokens as f64 / s.seconds);
                }
                if s.seconds > 0.0 {
                    self.pace.step(s.seconds);
                }
            }
            TrainEvent::Eval(e) => {
                self.eval_loss.push(e.step, e.loss);
                self.pace.aside += e.seconds;
                if self.best.is_none_or(|(_, best)| e.loss < best) {
                    self.best = Some((e.step, e.loss));
                }
            }
            TrainEvent::Checkpoint { step, .. } => {
                self.checkpoints_written += 1;
                self.checkpoints.push(*step);
                if self.checkpoints.len() > CHECKPOINTS {
                    self.checkpoints.remove(0);
                }
            }
            TrainEvent::Samples { step, seconds, answers } => {
                self.pace.aside += seconds;
                let answers = answers.iter().map(SampleView::from).collect();
                self.samples.push(SampleRound { step: *step, seconds: *seconds, answers });
                if self.samples.len() > ROUNDS {
                    self.samples.remove(0);
                }
            }
            TrainEvent::NoSamples { why } => self.no_samples = Some(why.clone()),
            TrainEvent::EarlyStop { .. } => self.stopped_early = true,
            TrainEvent::Started { .. }
            | TrainEvent::CheckpointSkipped { .. }
            | TrainEvent::Stopped { .. }
            | TrainEvent::Finished(_) => {}
        }
    }

    /// Compares what holds now with what was said before; gives what is new.
    fn watch(&mut self) -> Vec<String> {
        let step = self.step();
        let seen = warnings::seen(self);
        for known in &mut self.warnings {
            known.now = seen.iter().any(|(kind, _)| *kind == known.kind);
        }
        let mut new = Vec::new();
        for (kind, text) in seen {
            if self.warnings.iter().all(|known| known.kind != kind) {
                new.push(format!("step {step}: {text}"));
                self.warnings.push(Warning { kind, step, text, now: true });
            }
        }
        new
    }

    /// The newest step that anything is known of.
    pub fn step(&self) -> u64 {
        self.loss.last().map_or(0, |p| p.step)
    }

    /// Seconds to the last step; `None` while the pace has not settled or the length is not known.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.total_steps.checked_sub(self.step())?;
        Some(self.pace.per_step()? * left as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{EvalRecord, StepRecord};

    fn step(step: u64, seconds: f64) -> TrainUpdate {
        let record = StepRecord { step, epoch: 1, loss: 1.0, lr: 0.1, grad_norm: 1.0, tokens: 100, loss_tokens: 9, seconds };
        TrainUpdate::Told(TrainEvent::Step(record))
    }

    fn eval(step: u64, loss: f64, seconds: f64) -> TrainUpdate {
        TrainUpdate::Told(TrainEvent::Eval(EvalRecord { step, loss, best: false, seconds }))
    }

    #[test]
    fn the_best_evaluation_is_remembered() {
        let mut view = TrainView::default();
        for (step, loss) in [(1, 3.0), (2, 1.0), (3, 2.0)] {
            view.apply(eval(step, loss, 0.0), UnixMillis(0));
        }
        assert_eq!(view.best, Some((2, 1.0)));
    }

    #[test]
    fn the_time_left_is_unknown_until_ten_steps_keep_one_pace_and_counts_what_is_done_beside_them() {
        let mut view = TrainView { total_steps: 100, ..TrainView::default() };
        for n in 1..=9 {
            view.apply(step(n, 2.0), UnixMillis(7));
            assert_eq!(view.seconds_left(), None);
        }
        view.apply(step(10, 2.0), UnixMillis(7));
        assert_eq!((view.seconds_left(), view.last_step_at), (Some(180.0), Some(UnixMillis(7))));
        view.apply(eval(10, 1.0, 10.0), UnixMillis(8));
        assert_eq!(view.seconds_left(), Some(90.0 * 3.0));
        for n in 11..=14 {
            view.apply(step(n, 9.0), UnixMillis(9));
        }
        assert_eq!(view.seconds_left(), None, "the pace changes");
    }

    #[test]
    fn a_run_that_goes_on_keeps_its_curves_and_forgets_its_pace() {
        let mut past = TrainView::default();
        past.apply(step(1, 2.0), UnixMillis(1));
        let started = Started { run: "r".into(), total_steps: 9, resumed_from: Some(1), past, ..Started::default() };
        let mut view = TrainView::default();
        view.apply(TrainUpdate::Started(Box::new(started)), UnixMillis(2));
        assert_eq!((view.loss.count(), view.pace, view.last_step_at), (1, Pace::default(), None));
        assert_eq!(view.since, Some(UnixMillis(2)));
    }

    #[test]
    fn what_is_no_number_is_warned_of_once_and_stays_a_hole() {
        let mut view = TrainView::default();
        view.apply(step(1, 1.0), UnixMillis(1));
        let broke = || TrainUpdate::NotFinite { what: "gradient norm".into(), step: 2 };
        assert_eq!(view.apply(broke(), UnixMillis(1)).len(), 1);
        assert!(view.apply(broke(), UnixMillis(1)).is_empty());
        assert_eq!((view.grad_norm.holes(), view.warnings[0].kind), (2, WarningKind::NotFinite));
    }

    #[test]
    fn a_view_stays_small_however_long_the_run() {
        let mut view = TrainView::default();
        for n in 1..30_000 {
            view.tell(&TrainEvent::Checkpoint { step: n, path: "x".into() });
            let TrainUpdate::Told(event) = step(n, 0.1) else { continue };
            view.tell(&event);
        }
        assert_eq!((view.checkpoints.len(), view.checkpoints_written), (CHECKPOINTS, 29_999));
        assert!(serde_json::to_vec(&view).expect("serialises").len() < 400 << 10);
    }
}
