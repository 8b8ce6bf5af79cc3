//! Where a run stands, in words: progress, pace, heartbeat, checkpoints, what is wrong with it.
//!
//! Owns the sentences and when silence is a warning. Curves and gauges are its neighbours'.

use ratatui::text::Line;

use super::scene::{Scene, duration};
use crate::domain::one_line;
use crate::engine::JobState;
use crate::tui::charts::parts::number;
use crate::tui::charts::plot::short;
use crate::tui::theme::Role;
use crate::tui::widgets::text::{field_wrapped, wrapped};

/// Seconds without a step after which the heartbeat is a warning, however slow the run; and how many of its own steps.
const SILENCE: (f64, f64) = (30.0, 5.0);

/// The job's state and its last sign of life; a failure with what to do next.
pub fn heartbeat(scene: &Scene<'_>) -> (String, Role) {
    let Some(job) = scene.job else {
        return ("no training runs in this engine; the curves are the run's log".into(), Role::Dim);
    };
    let message = one_line(&job.message, 80);
    let told = if message.is_empty() { String::new() } else { format!(" · {message}") };
    if let JobState::Failed { reason, next } = &job.state {
        return (format!("✗ failed: {} → {}", one_line(reason, 300), one_line(next, 300)), Role::Bad);
    }
    if !job.state.is_live() {
        return (format!("job {}{told}", job.state.label()), Role::Strong);
    }
    if job.state == JobState::Paused {
        // Nothing moves, and no second is counted, until it goes on.
        return (format!("paused after step {}{told}", scene.train.step()), Role::Strong);
    }
    let (what, since) = match scene.train.last_step_at.filter(|at| *at >= job.started) {
        Some(at) => ("last step", scene.now.seconds_since(at)),
        None => ("last sign", scene.now.seconds_since(job.heartbeat)),
    };
    let (least, steps) = SILENCE;
    let silent = since > least.max(steps * scene.train.pace.slow);
    let mark = if silent { "! " } else { "" };
    let role = if silent { Role::Warn } else { Role::Strong };
    (format!("{mark}{} · {what} {} ago{told}", job.state.label(), duration(since)), role)
}

fn left(scene: &Scene<'_>) -> String {
    scene.seconds_left().map_or_else(|| "—".into(), duration)
}

fn of(done: impl std::fmt::Display, total: u64) -> String {
    if total == 0 { format!("{done}") } else { format!("{done} of {total}") }
}

/// One or two lines that stand under the chart of a narrow screen.
pub fn condensed(scene: &Scene<'_>) -> Vec<(String, Role)> {
    let t = scene.train;
    let rate = t.lr.value().map_or_else(|| "—".into(), |lr| format!("{lr:.1e}"));
    let best = t.best.map_or_else(|| "—".into(), |(step, loss)| format!("{loss:.4} at step {step}"));
    let tokens = number(t.tokens_per_second.value(), 0);
    let progress = format!("step {} · epoch {}", of(t.step(), t.total_steps), of(t.epoch, t.epochs as u64));
    let (loss, norm) = (number(t.loss.value(), 4), number(t.grad_norm.value(), 2));
    vec![
        (format!("{progress} · to go {} · {tokens} tokens/s", left(scene)), Role::Text),
        (format!("loss {loss} · best eval {best} · rate {rate} · norm {norm}"), Role::Text),
    ]
}

/// Everything known of the run, as (name, value).
fn facts(scene: &Scene<'_>) -> Vec<(&'static str, String)> {
    let t = scene.train;
    let best = t.best.map_or_else(|| "—".into(), |(step, loss)| format!("{loss:.4} at step {step}"));
    let checkpoints = match t.checkpoints.as_slice() {
        [] => "none yet".into(),
        [.., last] => format!("{}, last at step {last}", t.checkpoints_written),
    };
    let pace = if t.pace.steps == 0 {
        "—".into()
    } else {
        let aside = t.pace.aside / t.pace.steps as f64;
        format!("{:.2} s a step, {aside:.2} s beside it", t.pace.slow)
    };
    let rate = t.lr.value().map_or_else(|| "—".into(), |lr| format!("{lr:.2e} a step"));
    let tokens = number(t.tokens_per_second.value(), 0);
    let parameters = if t.parameters == 0 { "—".into() } else { format!("{} learn", short(t.parameters as f64, 1.0)) };
    let mut all = vec![
        ("step", of(t.step(), t.total_steps)),
        ("epoch", of(t.epoch, t.epochs as u64)),
        ("time to go", left(scene)),
        ("loss", format!("{} nats a token", number(t.loss.value(), 4))),
        ("best eval", best),
        ("rate", rate),
        ("norm", number(t.grad_norm.value(), 3)),
        ("pace", format!("{tokens} tokens/s")),
        ("", pace),
        ("checkpoints", checkpoints),
        ("parameters", parameters),
    ];
    if let Some(step) = t.resumed_from {
        all.push(("resumed", format!("from step {step}")));
    }
    if t.stopped_early {
        all.push(("ended", "early: the held-out loss fell no more".into()));
    }
    if scene.practice {
        all.push(("practice", "these are the seedling's or the rehearsal's numbers".into()));
    }
    if t.elsewhere {
        all.push(("trained by", "a program elsewhere, which tells what is shown".into()));
    }
    all
}

pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    facts(scene).iter().flat_map(|(name, value)| field_wrapped(scene.theme, name, value, columns)).collect()
}

/// What is wrong, newest first; what no longer holds is dim.
pub fn warnings(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let mut all: Vec<_> = scene.train.warnings.iter().collect();
    all.sort_by_key(|w| (!w.now, std::cmp::Reverse(w.step)));
    let say = |w: &&crate::engine::Warning| {
        let (mark, role) = if w.now { ("!", Role::Warn) } else { ("·", Role::Dim) };
        wrapped(scene.theme, role, &format!("{mark} step {}: {}", w.step, one_line(&w.text, 300)), columns)
    };
    all.iter().flat_map(say).collect()
}
