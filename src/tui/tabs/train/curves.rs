//! The charts of a run, and what they say at the crosshair.
//!
//! Owns which curves a chart shows and in which order; marks and axes are the charts'.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use super::scene::Scene;
use super::state::Which;
use crate::domain::one_line;
use crate::engine::TrainView;
use crate::tui::charts::canvas::Ink;
use crate::tui::charts::plot::{self, Plot, short};
use crate::tui::charts::series::{Series, Stretch, smooth, whole};

/// Rows that a small chart wants, and the width from which it says anything.
const SMALL: (u16, u16) = (8, 24);
/// Rows that the large one keeps.
const LARGE_ROWS: u16 = 10;

/// The large chart, and the others below it where there is room.
pub fn draw(frame: &mut Frame<'_>, area: Rect, scene: &Scene<'_>) {
    let (rows, columns) = SMALL;
    let others: Vec<Which> = Which::ALL.into_iter().filter(|w| *w != scene.state.large).collect();
    let across = usize::from(area.width / columns).min(others.len());
    if area.height < LARGE_ROWS + rows || across < others.len() {
        return chart(frame, area, scene, scene.state.large);
    }
    let below = (area.height / 3).clamp(rows, 16);
    let [large, small] = Layout::vertical([Constraint::Min(LARGE_ROWS), Constraint::Length(below)]).areas(area);
    chart(frame, large, scene, scene.state.large);
    let places = Layout::horizontal(vec![Constraint::Fill(1); others.len()]).split(small);
    for (place, which) in places.iter().zip(others) {
        chart(frame, *place, scene, which);
    }
}

fn chart(frame: &mut Frame<'_>, area: Rect, scene: &Scene<'_>, which: Which) {
    let large = which == scene.state.large;
    let (series, legend) = series(scene, which);
    let legend = if large { legend } else { Vec::new() };
    let chart = Plot {
        name: &name(scene, which),
        legend,
        series,
        log: scene.state.log && which != Which::Pace,
        cross: scene.state.cross,
        nothing: if scene.train.run.is_none() { "no run yet" } else { "nothing measured yet" },
        focus: false,
    };
    plot::draw(frame, area, scene.theme, &chart);
}

fn name(scene: &Scene<'_>, which: Which) -> String {
    if which != scene.state.large {
        return which.name().to_owned();
    }
    let window = if scene.state.whole { "whole run" } else { "newest steps" };
    format!("{} · {window}", which.name())
}

fn series(scene: &Scene<'_>, which: Which) -> (Vec<Series>, Vec<(Ink, String)>) {
    let (state, train) = (scene.state, scene.train);
    let shown = state.window(which.curve(train));
    let ends = shown.first().zip(shown.last()).map(|(a, b)| (a.first, b.last));
    let inside = |s: &Stretch| state.whole || ends.is_none_or(|(left, right)| s.last >= left && s.first <= right);
    let (mut all, mut legend) = (Vec::new(), Vec::new());
    if let Some(past) = scene.past {
        let stretches: Vec<Stretch> = whole(which.curve(past)).into_iter().filter(inside).collect();
        let stretches = state.span().map_or(stretches.clone(), |span| smooth(&stretches, span));
        all.push(Series { ink: Ink::Past, stretches });
        legend.push((Ink::Past, format!("run {}", run_name(past))));
    }
    let train_name = if which == Which::Loss { "train" } else { "this run" };
    if let Some(span) = state.span() {
        let mean = smooth(&shown, span);
        all.push(Series { ink: Ink::Raw, stretches: shown });
        all.push(Series { ink: Ink::Line, stretches: mean });
        legend.push((Ink::Line, format!("{train_name}, mean of {span:.0}")));
        legend.push((Ink::Raw, "as it came".into()));
    } else {
        all.push(Series { ink: Ink::Line, stretches: shown });
        legend.push((Ink::Line, train_name.to_owned()));
    }
    if which == Which::Loss && !train.eval_loss.is_empty() {
        let stretches = state.window(&train.eval_loss).into_iter().filter(inside).collect();
        all.push(Series { ink: Ink::Points, stretches });
        legend.push((Ink::Points, "eval".into()));
    }
    (all, legend)
}

fn run_name(run: &TrainView) -> String {
    one_line(run.run.as_deref().unwrap_or("—"), 16)
}

/// What every curve says at the crosshair; `None` where there is none.
pub fn reading(scene: &Scene<'_>) -> Option<String> {
    let step = scene.state.cross?;
    let train = scene.train;
    let mut parts = Vec::new();
    let mut say = |name: &str, curve: &crate::engine::Curve, unit: &str| {
        if let Some(at) = curve.at(step) {
            let value = at.value.map_or_else(|| "no number".to_owned(), |v| short(v, v.abs() / 1e3));
            let mean = if at.first < at.last { " (mean)" } else { "" };
            parts.push(format!("{name} {value}{unit}{mean}"));
        }
    };
    say("loss", &train.loss, "");
    if let Some(at) = train.eval_loss.at(step) {
        say(&format!("eval of step {}", at.last), &train.eval_loss, "");
    }
    say("rate", &train.lr, "");
    say("norm", &train.grad_norm, "");
    say("", &train.tokens_per_second, " tokens/s");
    if let Some(past) = scene.past.filter(|past| past.step() >= step) {
        say(&format!("run {}", run_name(past)), scene.state.large.curve(past), "");
    }
    let parts: Vec<&str> = parts.iter().map(|p| p.trim()).collect();
    Some(format!("at step {step}: {}", parts.join(" · ")))
}
