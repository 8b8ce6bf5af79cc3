//! What each action does, and when it can: the functions that the action table names.
//!
//! Owns the way from the selection to a command; keys and words are `actions`' own.

use super::app::App;
use super::msg::Effect;
use super::overlays::{
    Overlay, Step, approval::Approval, confirm::Confirm, filter, help as help_list, log::LogPane, palette as command_list,
    reason::Reason, welcome::Welcome,
};
use super::tabs::{TABS, audit, dataset, distill, validate};
use super::toasts::Toast;
use super::widgets::scroll::Scroll;
use crate::domain::Phase;
use crate::engine::{Command, Consent, FindingView, JobState};

pub type Effects = Vec<Effect>;
pub type Ready = Result<(), String>;

/// Rows that a page key moves by: half of the body at 80×24.
const PAGE: i32 = 10;

pub fn need(condition: bool, why: &str) -> Ready {
    if condition { Ok(()) } else { Err(why.into()) }
}

// Moving about.

pub fn down(app: &mut App) -> Effects {
    moved(app, 1)
}

pub fn up(app: &mut App) -> Effects {
    moved(app, -1)
}

pub fn page_down(app: &mut App) -> Effects {
    moved(app, PAGE)
}

pub fn page_up(app: &mut App) -> Effects {
    moved(app, -PAGE)
}

pub fn top(app: &mut App) -> Effects {
    moved(app, -i32::from(u16::MAX))
}

pub fn bottom(app: &mut App) -> Effects {
    // The end of a text is known to its tab alone.
    let by = if app.tab().detail || app.rows() == 0 { PAGE * 5 } else { i32::MAX };
    moved(app, by)
}

/// The next row while its details are read, or the one before: from its first line.
pub fn step(app: &mut App, back: bool) -> Effects {
    let last = app.rows().saturating_sub(1);
    let tab = app.tab_mut();
    tab.selected = if back { tab.selected.saturating_sub(1) } else { (tab.selected + 1).min(last) };
    tab.scroll = Scroll::default();
    Vec::new()
}

fn moved(app: &mut App, by: i32) -> Effects {
    app.shift(by);
    Vec::new()
}

pub fn narrower(app: &mut App) -> Effects {
    app.tab_mut().share = app.tab().share.moved(-5);
    Vec::new()
}

pub fn wider(app: &mut App) -> Effects {
    app.tab_mut().share = app.tab().share.moved(5);
    Vec::new()
}

pub fn go(app: &mut App, index: usize) -> Effects {
    app.show_tab(index);
    Vec::new()
}

pub fn tab_next(app: &mut App) -> Effects {
    go(app, (app.current() + 1) % TABS.len())
}

pub fn tab_previous(app: &mut App) -> Effects {
    go(app, (app.current() + TABS.len() - 1) % TABS.len())
}

pub fn can_turn(app: &App) -> Ready {
    need(app.spec().pages.len() > 1, "this tab has one page")
}

pub fn page_next(app: &mut App) -> Effects {
    turn(app, 1)
}

pub fn page_previous(app: &mut App) -> Effects {
    let pages = app.spec().pages.len();
    turn(app, pages.saturating_sub(1))
}

fn turn(app: &mut App, by: usize) -> Effects {
    let pages = app.spec().pages.len().max(1);
    app.show_page((app.tab().page + by) % pages);
    Vec::new()
}

pub fn detail(app: &mut App) -> Effects {
    app.tab_mut().detail = true;
    Vec::new()
}

/// One thing at a time: messages, the details' focus, the filter.
pub fn back(app: &mut App) -> Effects {
    if app.dismiss() {
        return Vec::new();
    }
    let tab = app.tab_mut();
    if tab.detail {
        tab.detail = false;
        tab.scroll = Scroll::default();
    } else {
        tab.filter.clear();
    }
    Vec::new()
}

pub fn filter(app: &mut App) -> Effects {
    let overlay = filter::Filter::new(&app.tab().filter);
    app.open(Overlay::Filter(overlay))
}

pub fn help(app: &mut App) -> Effects {
    app.open(Overlay::Help(help_list::Help::default()))
}

pub fn log(app: &mut App) -> Effects {
    app.open(Overlay::Log(LogPane::default()))
}

pub fn welcome(app: &mut App) -> Effects {
    app.open(Overlay::Welcome(Welcome))
}

pub fn palette(app: &mut App) -> Effects {
    app.open(Overlay::Palette(command_list::Palette::default()))
}

// The job.

pub fn can_run(app: &App) -> Ready {
    match app.live_job() {
        Some(job) => Err(format!("{} is {}; stop it first, or wait", job.phase, job.state.label())),
        None => Ok(()),
    }
}

pub fn run_phase(app: &mut App) -> Effects {
    run_to(app.phase())
}

pub fn run_all(_: &mut App) -> Effects {
    run_to(Phase::Deploy)
}

fn run_to(to: Phase) -> Effects {
    vec![Effect::Send(Command::Run { to, consent: Consent::default() })]
}

pub fn can_run_again(app: &App) -> Ready {
    can_run(app)?;
    let done = app.snapshot().phases.iter().any(|view| view.phase == app.phase() && !view.headline.is_empty());
    need(done, "it has not run yet; press r")
}

pub fn run_again(app: &mut App) -> Effects {
    let phase = app.phase();
    let question = format!("{} runs again from its inputs. Phases after it become stale if its result differs.", phase.title());
    let answers = vec![("keep it".into(), Step::Close), ("run again".into(), Step::Send(Command::Rerun { phase }))];
    app.open(Overlay::Confirm(Confirm::new(format!("Run {phase} again?"), question, answers)))
}

pub fn can_pause(app: &App) -> Ready {
    match app.live_job().map(|job| &job.state) {
        None => Err("no job runs".into()),
        Some(JobState::Stopping) => Err("the job is stopping".into()),
        Some(_) => Ok(()),
    }
}

pub fn pause(app: &mut App) -> Effects {
    let held = app.live_job().is_some_and(|job| matches!(job.state, JobState::Pausing | JobState::Paused));
    vec![Effect::Send(if held { Command::Resume } else { Command::Pause })]
}

pub fn can_stop(app: &App) -> Ready {
    can_pause(app)
}

pub fn stop(_: &mut App) -> Effects {
    vec![Effect::Send(Command::Stop)]
}

/// Asks while a job is live; asked again while it saves, it goes at once.
pub fn quit(app: &mut App) -> Effects {
    let Some(job) = app.live_job().filter(|_| !app.leaving()) else { return vec![Effect::Quit] };
    if matches!(app.overlays().last(), Some(Overlay::Confirm(_))) {
        return Vec::new();
    }
    let question = format!(
        "{} is {}. The engine works without this console; what becomes of the job?",
        job.phase.title(),
        job.state.label()
    );
    let answers =
        vec![("cancel".into(), Step::Close), ("leave running".into(), Step::Quit), ("stop after checkpoint".into(), Step::Leave)];
    let meanings = vec![
        "Stay in this console.".into(),
        "Quit; the job goes on, and 'stratos' shows it again.".into(),
        "Finish the unit, save, then quit; r goes on later.".into(),
    ];
    app.open(Overlay::Confirm(Confirm::new("A job is running", question, answers).explained(meanings)))
}

pub fn can_reconnect(app: &App) -> Ready {
    need(app.engine_gone(), "the engine is there")
}

/// Finds the workspace's engine, or starts one.
pub fn reconnect(app: &mut App) -> Effects {
    app.say(Toast::info("looking for an engine, or starting one", app.now()));
    vec![Effect::Reconnect]
}

// Decisions.

pub fn can_approve(app: &App) -> Ready {
    need(app.snapshot().approval.is_some(), "nothing waits for approval")
}

pub fn approve(app: &mut App) -> Effects {
    match app.snapshot().approval.clone() {
        Some(request) => app.open(Overlay::Approval(Approval::new(request))),
        None => Vec::new(),
    }
}

/// Failed stop guards of this tab that nobody has overridden.
fn stopped_by(app: &App) -> Vec<FindingView> {
    let phase = app.phase();
    let stops = |f: &&FindingView| f.phase == phase && f.stops && f.finding.failed() && f.overridden.is_none();
    app.snapshot().findings.iter().filter(stops).cloned().collect()
}

pub fn can_override(app: &App) -> Ready {
    need(!stopped_by(app).is_empty(), "no stop guard of this tab has failed")
}

pub fn override_guard(app: &mut App) -> Effects {
    let findings = stopped_by(app);
    app.open(Overlay::Reason(Reason::new(findings)))
}

/// The selected row as text; only where the shell knows which row that is.
fn selected_text(app: &App) -> Option<String> {
    match app.phase() {
        Phase::Distill => distill::selected_text(&app.look()),
        Phase::Dataset => dataset::selected_text(&app.look()),
        Phase::Validate => validate::selected_text(&app.look()),
        Phase::Audit => audit::selected_text(&app.look()),
        _ => None,
    }
}

pub fn can_copy(app: &App) -> Ready {
    need(
        selected_text(app).is_some(),
        "nothing to copy here; think blocks, requests, answers, examples and the report can be copied",
    )
}

pub fn copy(app: &mut App) -> Effects {
    selected_text(app).map(Effect::Copy).into_iter().collect()
}
