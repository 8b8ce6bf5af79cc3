//! What the operator chose to look at: which window, which chart, which step, beside which earlier run.
//!
//! Owns the choices and how they move. What they look like is the charts'.

use crate::engine::{Curve, TrainView};
use crate::tui::charts::series::{self, Stretch};

/// Values that the mean runs over; 0: as they came.
pub const SPANS: [u32; 4] = [0, 10, 50, 200];
/// Moves of the crosshair from one end of the window to the other.
const MOVES: usize = 100;

/// The curves of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    #[default]
    Loss,
    Rate,
    Norm,
    Pace,
}

impl Which {
    pub const ALL: [Self; 4] = [Self::Loss, Self::Rate, Self::Norm, Self::Pace];

    /// With its unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss, nats a token",
            Self::Rate => "learning rate, a step",
            Self::Norm => "gradient norm",
            Self::Pace => "pace, tokens a second",
        }
    }

    pub fn curve(self, train: &TrainView) -> &Curve {
        match self {
            Self::Loss => &train.loss,
            Self::Rate => &train.lr,
            Self::Norm => &train.grad_norm,
            Self::Pace => &train.tokens_per_second,
        }
    }
}

#[derive(Debug)]
pub struct State {
    /// The whole run instead of its newest steps.
    pub whole: bool,
    /// Place in [`SPANS`].
    pub span: usize,
    pub log: bool,
    pub large: Which,
    /// The step that is read off.
    pub cross: Option<u64>,
    /// The earlier run that is drawn below.
    pub past: Option<String>,
}

impl Default for State {
    /// The mean of ten: single steps are noise, and they stay seen behind it.
    fn default() -> Self {
        Self { whole: false, span: 1, log: false, large: Which::Loss, cross: None, past: None }
    }
}

impl State {
    /// Values that the mean runs over, if it is shown.
    pub fn span(&self) -> Option<f64> {
        SPANS.get(self.span).filter(|span| **span > 0).map(|span| f64::from(*span))
    }

    pub fn next_span(&mut self) {
        self.span = (self.span + 1) % SPANS.len();
    }

    /// The chart `by` places on.
    pub fn turn(&mut self, by: usize) {
        let at = Which::ALL.iter().position(|w| *w == self.large).unwrap_or(0);
        self.large = Which::ALL[(at + by) % Which::ALL.len()];
    }

    /// What is shown of a curve.
    pub fn window(&self, curve: &Curve) -> Vec<Stretch> {
        if self.whole { series::whole(curve) } else { series::recent(curve) }
    }

    /// Moves the crosshair a hundredth of the window; it appears at the newest step, and stays inside.
    pub fn move_cross(&mut self, train: &TrainView, right: bool) {
        let shown = self.window(self.large.curve(train));
        let Some(last) = shown.len().checked_sub(1) else {
            self.cross = None;
            return;
        };
        let stride = (shown.len() / MOVES).max(1);
        let to = match self.cross {
            None => last,
            Some(step) => {
                let at = shown.partition_point(|s| s.last < step as f64).min(last);
                if right { (at + stride).min(last) } else { at.saturating_sub(stride) }
            }
        };
        self.cross = Some(shown[to].last as u64);
    }

    /// The run after the one that is drawn now, of those there are; none after the last.
    pub fn next_past(&mut self, runs: &[&str]) {
        let next = match &self.past {
            None => 0,
            Some(run) => runs.iter().position(|r| r == run).map_or(0, |at| at + 1),
        };
        self.past = runs.get(next).map(|run| (*run).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: u64) -> TrainView {
        TrainView { loss: (1..=steps).map(|s| (s, 1.0)).collect(), ..TrainView::default() }
    }

    #[test]
    fn the_crosshair_begins_at_the_newest_step_and_stays_inside() {
        let (mut state, train) = (State::default(), run(40));
        state.move_cross(&train, true);
        assert_eq!(state.cross, Some(40));
        for (right, step) in [(true, 40), (false, 39), (false, 38), (true, 39)] {
            state.move_cross(&train, right);
            assert_eq!(state.cross, Some(step));
        }
        for _ in 0..100 {
            state.move_cross(&train, false);
        }
        assert_eq!(state.cross, Some(1));
        state.move_cross(&TrainView::default(), true);
        assert_eq!(state.cross, None);
    }

    #[test]
    fn a_long_run_is_crossed_in_a_hundred_moves() {
        let (mut state, train) = (State { whole: true, ..State::default() }, run(100_000));
        state.move_cross(&train, false);
        let moves = (1..).take_while(|_| {
            state.move_cross(&train, false);
            state.cross > Some(1000)
        });
        assert!((90..=130).contains(&moves.count()));
    }

    #[test]
    fn choices_go_round() {
        let mut state = State::default();
        let spans: Vec<Option<f64>> = (0..5).map(|_| (state.span(), state.next_span()).0).collect();
        assert_eq!(spans, [Some(10.0), Some(50.0), Some(200.0), None, Some(10.0)]);
        state.turn(3);
        assert_eq!(state.large, Which::Pace);
        state.turn(1);
        assert_eq!(state.large, Which::Loss);
        let runs = ["b", "a"];
        let past: Vec<Option<String>> = (0..4).map(|_| (state.next_past(&runs), state.past.clone()).1).collect();
        assert_eq!(past, [Some("b".into()), Some("a".into()), None, Some("b".into())]);
    }
}
