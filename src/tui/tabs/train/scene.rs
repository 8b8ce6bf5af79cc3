//! What the Train tab draws from, taken together once a frame.

use super::state::State;
use crate::domain::{Phase, UnixMillis};
use crate::engine::{JobState, JobView, MemoryView, TrainView};
use crate::tui::tabs::Look;
use crate::tui::theme::Theme;

#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub train: &'a TrainView,
    pub machine: &'a MemoryView,
    /// The training that runs or ran last in this process.
    pub job: Option<&'a JobView>,
    pub state: &'a State,
    /// The earlier run that is drawn below.
    pub past: Option<&'a TrainView>,
    pub practice: bool,
    pub theme: &'a Theme,
    pub now: UnixMillis,
}

impl<'a> Scene<'a> {
    pub fn of(look: &Look<'a>, state: &'a State, past: Option<&'a TrainView>) -> Self {
        Self {
            train: &look.snapshot.train,
            machine: &look.snapshot.memory,
            job: look.snapshot.job.as_ref().filter(|job| job.phase == Phase::Train),
            state,
            past,
            practice: look.snapshot.workspace.practice,
            theme: look.theme,
            now: look.now,
        }
    }

    pub fn is_live(&self) -> bool {
        self.job.is_some_and(|job| job.state.is_live())
    }

    /// The run that is shown is the job's own, and not the one before it.
    pub fn has_begun(&self) -> bool {
        self.job.is_some_and(|job| self.train.since.is_some_and(|at| at >= job.started))
    }

    /// Seconds to the end; `None` while nothing moves or the pace is not known.
    pub fn seconds_left(&self) -> Option<f64> {
        self.job.filter(|job| job.state == JobState::Running && self.has_begun()).and_then(|_| self.train.seconds_left())
    }
}

/// "2 s", "3 min 20 s", "1 h 05 min".
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// "1.5 GiB", "26 MiB".
pub fn bytes(bytes: u64) -> String {
    if bytes < 1 << 30 { format!("{} MiB", bytes >> 20) } else { format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_have_their_units() {
        assert_eq!([0.0, 200.0, 3900.0, -4.0].map(duration), ["0 s", "3 min 20 s", "1 h 05 min", "0 s"]);
        assert_eq!([26 << 20, 3 << 29, 0].map(bytes), ["26 MiB", "1.5 GiB", "0 MiB"]);
    }
}
