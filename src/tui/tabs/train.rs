//! The Train tab: is it learning, how long yet, does it fit?
//!
//! Owns what is said of a run beside its curves. Does not keep the curves (the engine does) nor draw marks (charts do).
//!
//! ```text
//! wide:  ┌ loss by step ───────┐┌ run ──┐    narrow:  ┌ loss by step ───────────┐
//!        │                     ││       │             └─────────────────────────┘
//!        └─────────────────────┘└───────┘             ┌ run ────────────────────┐
//! ```

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::{Look, Tab, wants_nothing};
use crate::domain::{Phase, one_line};
use crate::engine::{JobState, JobView, Snapshot, TrainView};
use crate::tui::charts::parts::{WIDE, empty, fact, fit, line, notices, number, pane, span};
use crate::tui::charts::{gauge, loss_chart};
use crate::tui::theme::Role;

/// Steps before a time to go is more than a guess.
const STEPS_FOR_ETA: u64 = 10;

/// Seconds without a sign of life after which the heartbeat is a warning.
const SILENCE: f64 = 30.0;

pub const TAB: Tab = Tab { phase: Phase::Train, pages: &["curves"], actions: &[], rows, draw, wants: wants_nothing };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(_: &Look<'_>) -> usize {
    0
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = notices(frame, area, look, Phase::Train);
    let train = &look.snapshot.train;
    let job = job(look.snapshot);
    if train.run.is_none() && train.loss.is_empty() && job.is_none() {
        let next = "Nothing is trained yet: run this phase, and its loss curves appear here.";
        empty(frame, area, look, Phase::Train, next);
        return;
    }
    let wide = area.width >= WIDE;
    let [chart, panel] = if wide {
        Layout::horizontal([Constraint::Min(0), Constraint::Length(44)]).areas(area)
    } else {
        // The panel has nine lines and two borders; the curve wants at least eight rows.
        let panel = 11.min(area.height.saturating_sub(8)).max(area.height / 3);
        Layout::vertical([Constraint::Min(0), Constraint::Length(panel)]).areas(area)
    };
    loss_chart(frame, chart, look.theme, &train.loss, &train.eval_loss);
    let inner = usize::from(panel.width.saturating_sub(2));
    let mut lines = job.map(|job| job_lines(job, look)).unwrap_or_default();
    lines.extend(if wide { stacked(look, job) } else { paired(look, job) });
    lines.extend(memory(look, inner));
    let run = train.run.as_deref().unwrap_or("a run begins");
    let title = format!("{} · no GPU here: gauges show RAM", one_line(run, 30));
    pane(frame, panel, look, &title, lines, look.tab.detail);
}

fn job(snapshot: &Snapshot) -> Option<&JobView> {
    snapshot.job.as_ref().filter(|job| job.phase == Phase::Train)
}

fn job_lines(job: &JobView, look: &Look<'_>) -> Vec<Line<'static>> {
    let message = one_line(&job.message, 80);
    let told = if message.is_empty() { String::new() } else { format!(" · {message}") };
    if let JobState::Failed { reason, next } = &job.state {
        let text = format!("✗ failed: {} → {}", one_line(reason, 300), one_line(next, 300));
        return vec![line(text, look, Role::Bad)];
    }
    if !job.state.is_live() {
        return vec![line(format!("job {}{told}", job.state.label()), look, Role::Strong)];
    }
    let silence = look.now.seconds_since(job.heartbeat);
    // A paused job is silent on purpose.
    let worrying = silence > SILENCE && job.state != JobState::Paused;
    let (mark, role) = if worrying { ("! ", Role::Warn) } else { ("", Role::Strong) };
    vec![line(format!("{mark}job {} · last sign {} ago{told}", job.state.label(), duration(silence)), look, role)]
}

/// Everything known of the run, as (name, value).
fn facts(look: &Look<'_>, job: Option<&JobView>) -> Vec<(&'static str, String)> {
    let t = &look.snapshot.train;
    let positive = |value: f64| Some(value).filter(|v| *v > 0.0);
    let (step, loss) = t.loss.last().map_or((0, None), |&(step, loss)| (step, Some(loss)));
    let total = if t.total_steps == 0 { "—".into() } else { t.total_steps.to_string() };
    let best = t.best.map_or_else(|| "—".into(), |(step, loss)| format!("{} at step {step}", number(Some(loss), 4)));
    let checkpoints = match t.checkpoints.as_slice() {
        [] => "—".into(),
        [.., last] => format!("{}, last at step {last}", t.checkpoints.len()),
    };
    let rate = positive(t.lr).map_or_else(|| "—".into(), |lr| format!("{lr:.2e}"));
    vec![
        ("step", format!("{step} of {total}")),
        ("time to go", eta(t, job).map_or_else(|| "—".into(), duration)),
        ("loss", number(loss, 4)),
        ("best eval loss", best),
        ("epoch", t.epoch.to_string()),
        ("grad norm", number(positive(t.grad_norm), 3)),
        ("learning rate", rate),
        ("tokens/s", number(positive(t.tokens_per_second), 0)),
        ("s/step", number(positive(t.seconds_per_step), 2)),
        ("checkpoints", checkpoints),
        ("resumed from", t.resumed_from.map_or_else(|| "—".into(), |step| format!("step {step}"))),
        ("stopped early", if t.stopped_early { "yes".into() } else { "no".into() }),
        ("parameters", t.parameters.to_string()),
    ]
}

/// Seconds to the last step; `None` while the pace is not known or nothing moves.
fn eta(train: &TrainView, job: Option<&JobView>) -> Option<f64> {
    let step = train.loss.last()?.0;
    let seen = step.saturating_sub(train.resumed_from.unwrap_or(0));
    let moving = job.is_some_and(|job| job.state == JobState::Running);
    let paced = train.seconds_per_step.is_finite() && train.seconds_per_step > 0.0;
    (moving && paced && seen >= STEPS_FOR_ETA && train.total_steps > 0)
        .then(|| train.total_steps.saturating_sub(step) as f64 * train.seconds_per_step)
}

fn stacked(look: &Look<'_>, job: Option<&JobView>) -> Vec<Line<'static>> {
    facts(look, job).iter().map(|(name, value)| fact(name, value, look)).collect()
}

/// Two facts a line, for 80 columns.
fn paired(look: &Look<'_>, job: Option<&JobView>) -> Vec<Line<'static>> {
    let both = |pair: &[(&str, String)]| {
        let mut out = Line::default();
        for (name, value) in pair {
            out.extend([span(fit(name, 15), look, Role::Dim), span(fit(value, 23), look, Role::Text)]);
        }
        out
    };
    // Thirteen facts and four other lines do not fit beside a curve in 24 rows; the parameters are what can be missed.
    facts(look, job)[..12].chunks(2).map(both).collect()
}

/// Cells of one of two gauges on a line, and the width from which they fit.
const PAIR: usize = 38;
const PAIRED: usize = 2 * PAIR;

fn memory(look: &Look<'_>, width: usize) -> Vec<Line<'static>> {
    let m = look.snapshot.memory;
    if m.total == 0 {
        return Vec::new();
    }
    let ram = |label, bytes: u64, width| {
        let reading = format!("{} of {}", gib(bytes), gib(m.total));
        gauge(look.theme, label, bytes as f64 / m.total as f64, &reading, width)
    };
    let cpu = gauge(look.theme, "cpu", f64::from(m.cpu), &format!("{:.0} % of all cores", m.cpu * 100.0), width);
    if width < PAIRED {
        return vec![ram("process", m.process, width), ram("machine", m.used, width), cpu];
    }
    let mut both = ram("process", m.process, PAIR);
    both.push_span("  ");
    both.extend(ram("machine", m.used, PAIR).spans);
    vec![both, cpu]
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// "2 s", "3 min 20 s", "1 h 05 min".
fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tui::tabs::TabState;
    use crate::tui::charts::fixture::{busy, drawn, expect, nothing, with_finding};

    const HERE: Phase = Phase::Train;

    #[test]
    fn a_run_shows_curves_numbers_heartbeat_and_gauges() {
        let words =
            ["loss by step", "⠒ train", "40 of 100", "0.7000 at step 40", "last sign 2 s ago", "2 min 00 s", "75 % of all cores"];
        expect(HERE, &busy(), &TabState::default(), &words);
        let gauges = ["2.0 GiB of 16.0 GiB", "75 % of all cores", "no GPU here: gauges show RAM", "step 20", "1234"];
        let text = drawn(HERE, &busy(), &TabState::default(), (120, 40));
        for word in gauges {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
    }

    #[test]
    fn the_time_to_go_is_unknown_before_ten_steps_of_this_session() {
        let mut snapshot = busy();
        let left = |s: &Snapshot| eta(&s.train, s.job.as_ref());
        assert_eq!(left(&snapshot), Some(120.0));
        Arc::make_mut(&mut snapshot.train).resumed_from = Some(31);
        assert_eq!(left(&snapshot), None);
        Arc::make_mut(&mut snapshot.train).resumed_from = Some(30);
        assert_eq!(left(&snapshot), Some(120.0));
        snapshot.job.as_mut().unwrap().state = JobState::Paused;
        assert_eq!(left(&snapshot), None);
    }

    #[test]
    fn an_empty_tab_says_what_is_missing() {
        expect(HERE, &nothing(), &TabState::default(), &["Train is locked: the dataset is not built."]);
    }

    #[test]
    fn a_failed_job_says_why_and_what_next() {
        let mut snapshot = busy();
        let failed = JobState::Failed { reason: "the loss is \u{1b}[5mNaN".into(), next: "lower the rate".into() };
        snapshot.job.as_mut().unwrap().state = failed;
        expect(HERE, &snapshot, &TabState::default(), &["failed: the loss is [5mNaN", "→ lower the"]);
    }

    #[test]
    fn a_failed_guard_stands_on_top_with_its_remedy_and_its_override() {
        let mut snapshot = busy();
        with_finding(&mut snapshot, HERE, None);
        let text = "✗ stops: few-rows: only 3 rows are critical → label more articles";
        expect(HERE, &snapshot, &TabState::default(), &[text]);
        with_finding(&mut snapshot, HERE, Some("a demo"));
        expect(HERE, &snapshot, &TabState::default(), &[text, "a demo"]);
    }
}
