//! What can be done on the Train tab alone.
//!
//! Owns the way from a key to a choice of the tab, and the checkpoint on request.

use crossterm::event::KeyCode;

use super::{RUNS, earlier, runs};
use crate::domain::Phase;
use crate::engine::{Command, JobState};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;

pub const ACTIONS: &[Action] = &[
    free("checkpoint", &[Chord::ctrl('s')], "save now", "Save a checkpoint at the next step, and go on.", checkpoint)
        .shown()
        .when(can_save)
        .on(Phase::Train),
    free("window", &[Chord::char('w')], "window", "The newest steps as they came, or the whole run.", window)
        .shown()
        .when(has_curve)
        .on(Phase::Train),
    free("mean", &[Chord::char('m')], "mean", "The mean over 10, 50 or 200 steps above the raw curve.", mean)
        .shown()
        .when(has_curve)
        .on(Phase::Train),
    free("chart", &[Chord::char('v')], "chart", "The next chart as the large one: loss, rate, norm, pace.", chart)
        .shown()
        .when(has_curve)
        .on(Phase::Train),
    free("log-scale", &[Chord::char('y')], "log scale", "Values on a logarithmic scale, or on a plain one.", log)
        .when(has_curve)
        .on(Phase::Train),
    free(
        "cross-left",
        &[Chord::key(KeyCode::Left), Chord::char('h')],
        "earlier step",
        "Crosshair to an earlier step; it says every curve's value.",
        cross_left,
    )
    .when(has_curve)
    .on(Phase::Train),
    free("cross-right", &[Chord::key(KeyCode::Right), Chord::char('l')], "later step", "Crosshair to a later step.", cross_right)
        .when(has_curve)
        .on(Phase::Train),
    free("cross-off", &[Chord::char('x')], "no crosshair", "Take the crosshair away.", cross_off)
        .when(has_cross)
        .on(Phase::Train),
    free("beside", &[Chord::char('O')], "beside", "Draw an earlier run beside this one; the next, or none.", beside)
        .shown()
        .when(has_earlier)
        .on(Phase::Train),
];

fn has_curve(app: &App) -> Ready {
    need(!app.snapshot().train.loss.is_empty(), "there is no curve yet")
}

fn has_cross(app: &App) -> Ready {
    need(app.own().train.cross.is_some(), "there is no crosshair")
}

fn has_earlier(app: &App) -> Ready {
    need(!earlier(&app.look()).is_empty(), "this workspace has no other run")
}

fn can_save(app: &App) -> Ready {
    let job = app.live_job().filter(|job| job.phase == Phase::Train);
    match job.map(|job| &job.state) {
        None => Err("no training runs".into()),
        Some(JobState::Stopping) => Err("it is being stopped, and saves by itself".into()),
        Some(_) => Ok(()),
    }
}

fn checkpoint(_: &mut App) -> Effects {
    vec![Effect::Send(Command::Checkpoint)]
}

fn window(app: &mut App) -> Effects {
    let state = &mut app.own_mut().train;
    state.whole = !state.whole;
    Vec::new()
}

fn mean(app: &mut App) -> Effects {
    app.own_mut().train.next_span();
    Vec::new()
}

fn chart(app: &mut App) -> Effects {
    app.own_mut().train.turn(1);
    Vec::new()
}

fn log(app: &mut App) -> Effects {
    let state = &mut app.own_mut().train;
    state.log = !state.log;
    Vec::new()
}

fn cross_left(app: &mut App) -> Effects {
    cross(app, false)
}

fn cross_right(app: &mut App) -> Effects {
    cross(app, true)
}

fn cross(app: &mut App, right: bool) -> Effects {
    let train = app.snapshot().train.clone();
    app.own_mut().train.move_cross(&train, right);
    Vec::new()
}

fn cross_off(app: &mut App) -> Effects {
    app.own_mut().train.cross = None;
    Vec::new()
}

/// On the page of runs the selected one, or none if it is drawn already; elsewhere the next one.
fn beside(app: &mut App) -> Effects {
    let look = app.look();
    let others: Vec<String> = earlier(&look).into_iter().map(str::to_owned).collect();
    let selected = runs(&look).get(look.tab.selected).filter(|_| look.tab.page == RUNS).map(|r| r.run.clone());
    let state = &mut app.own_mut().train;
    match selected.filter(|run| others.contains(run)) {
        Some(run) if state.past.as_ref() == Some(&run) => state.past = None,
        Some(run) => state.past = Some(run),
        None => state.next_past(&others.iter().map(String::as_str).collect::<Vec<_>>()),
    }
    Vec::new()
}
