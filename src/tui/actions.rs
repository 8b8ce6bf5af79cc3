//! The action table: every key the console knows outside dialogs, once.
//!
//! Owns ids, keys, labels, help sentences and where an action is valid; feeds dispatch, footer, help and palette. What
//! an action does and when it can is `acts`' own.

use crossterm::event::{KeyCode, KeyEvent};

use super::acts;
use super::app::App;
use super::keys::Chord;
use super::msg::Effect;
use crate::domain::Phase;

/// Where an action is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    Anywhere,
    Tab(Phase),
}

#[derive(Debug)]
pub struct Action {
    pub id: &'static str,
    pub keys: &'static [Chord],
    /// Two words, for the footer.
    pub label: &'static str,
    /// One sentence of at most [`HELP_WIDTH`] columns, for the help.
    pub help: &'static str,
    pub on: Where,
    /// Shown in the footer while it is enabled.
    pub footer: bool,
    /// Why it cannot be done now.
    pub enabled: fn(&App) -> Result<(), String>,
    pub act: fn(&mut App) -> Vec<Effect>,
}

/// Columns a help sentence has beside its keys at 80 columns.
pub const HELP_WIDTH: usize = 60;

impl Action {
    pub fn valid_on(&self, phase: Phase) -> bool {
        match self.on {
            Where::Anywhere => true,
            Where::Tab(here) => here == phase,
        }
    }

    /// "j ↓"
    pub fn keys_text(&self) -> String {
        self.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// Whether it can be done on this tab at this moment, and why not.
    pub fn ready(&self, app: &App) -> Result<(), String> {
        match self.on {
            Where::Tab(phase) if phase != app.phase() => Err(format!("only on tab {}", phase.index() + 1)),
            _ => (self.enabled)(app),
        }
    }
}

/// The action a key means on a tab.
pub fn find(key: &KeyEvent, phase: Phase) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.valid_on(phase) && action.keys.iter().any(|chord| chord.matches(key)))
}

pub fn by_id(id: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.id == id)
}

#[expect(clippy::unnecessary_wraps, reason = "stands where other actions say why they cannot be done")]
fn always(_: &App) -> Result<(), String> {
    Ok(())
}

/// An action that is valid everywhere and can always be done.
const fn free(
    id: &'static str,
    keys: &'static [Chord],
    label: &'static str,
    help: &'static str,
    act: fn(&mut App) -> Vec<Effect>,
) -> Action {
    Action { id, keys, label, help, on: Where::Anywhere, footer: false, enabled: always, act }
}

impl Action {
    const fn shown(mut self) -> Self {
        self.footer = true;
        self
    }

    const fn when(mut self, enabled: fn(&App) -> Result<(), String>) -> Self {
        self.enabled = enabled;
        self
    }

    const fn on(mut self, phase: Phase) -> Self {
        self.on = Where::Tab(phase);
        self
    }
}

/// In the order of the help and of the footer.
pub static ACTIONS: [Action; 39] = [
    free("approve", &[Chord::char('a')], "approve", "Read and approve what the engine waits for.", acts::approve)
        .shown()
        .when(acts::can_approve),
    free("run", &[Chord::char('r')], "run", "Run this tab's phase, and before it what it needs.", acts::run_phase)
        .shown()
        .when(acts::can_run),
    free("run-all", &[Chord::char('R')], "run all", "Run everything that is not done, up to a release.", acts::run_all)
        .shown()
        .when(acts::can_run),
    free("run-again", &[Chord::ctrl('r')], "run again", "Run this tab's phase again, even if it is done.", acts::run_again)
        .when(acts::can_run_again),
    free("engine", &[Chord::char('E')], "start engine", "Find or start an engine when this one is gone.", acts::reconnect)
        .shown()
        .when(acts::can_reconnect),
    free("pause", &[Chord::char('p')], "pause", "Pause the job, or let a paused job go on.", acts::pause)
        .shown()
        .when(acts::can_pause),
    free("stop", &[Chord::char('s')], "stop", "Stop the job after its current unit; its work is saved.", acts::stop)
        .shown()
        .when(acts::can_stop),
    free(
        "override",
        &[Chord::char('o')],
        "override",
        "Override a failed stop guard of this tab, with a reason.",
        acts::override_guard,
    )
    .shown()
    .when(acts::can_override),
    free("look", &[Chord::char('b')], "look", "Look at the open batches once; nothing new is sent.", acts::look_at_batches)
        .shown()
        .when(acts::can_look_at_batches)
        .on(Phase::Distill),
    free("cancel", &[Chord::char('x')], "cancel", "Cancel the open batches; asks first.", acts::cancel_batches)
        .shown()
        .when(acts::can_cancel_batches)
        .on(Phase::Distill),
    free("mask", &[Chord::char('m')], "mask", "Show which tokens of the selected example are trained.", acts::show_mask)
        .shown()
        .when(acts::can_mask)
        .on(Phase::Dataset),
    free("keep", &[Chord::char('y')], "keep", "Keep the selected trace: its think block is sound.", acts::keep)
        .shown()
        .when(acts::can_judge)
        .on(Phase::Audit),
    free("reject", &[Chord::char('x')], "reject", "Reject the trace; the dataset's next build leaves it out.", acts::reject)
        .shown()
        .when(acts::can_judge)
        .on(Phase::Audit),
    free("score", &[Chord::char('n')], "score", "Score an article of your own with the served model.", acts::score)
        .shown()
        .when(acts::can_score)
        .on(Phase::Deploy),
    free("filter", &[Chord::char('/')], "filter", "Filter the rows as you type; enter keeps, esc reverts.", acts::filter).shown(),
    free("page-next", &[Chord::char(']')], "next page", "Next page of this tab.", acts::page_next).shown().when(acts::can_turn),
    free("page-previous", &[Chord::char('[')], "previous page", "Previous page of this tab.", acts::page_previous)
        .when(acts::can_turn),
    free("detail", &[Chord::key(KeyCode::Enter)], "detail", "Move to the details; up and down scroll them.", acts::detail)
        .shown(),
    free("back", &[Chord::key(KeyCode::Esc)], "back", "Close messages, leave the details, clear the filter.", acts::back),
    free("copy", &[Chord::char('c')], "copy", "Copy the selected row to the terminal's clipboard.", acts::copy)
        .when(acts::can_copy),
    free(
        "down",
        &[Chord::char('j'), Chord::key(KeyCode::Down)],
        "down",
        "Next row, or one line down in the details.",
        acts::down,
    ),
    free("up", &[Chord::char('k'), Chord::key(KeyCode::Up)], "up", "Previous row, or one line up in the details.", acts::up),
    free(
        "page-down",
        &[Chord::ctrl('d'), Chord::key(KeyCode::PageDown)],
        "page down",
        "Ten rows or lines down.",
        acts::page_down,
    ),
    free("page-up", &[Chord::ctrl('u'), Chord::key(KeyCode::PageUp)], "page up", "Ten rows or lines up.", acts::page_up),
    free("top", &[Chord::char('g'), Chord::key(KeyCode::Home)], "top", "First row or line.", acts::top),
    free("bottom", &[Chord::char('G'), Chord::key(KeyCode::End)], "bottom", "Last row.", acts::bottom),
    free("tab-next", &[Chord::key(KeyCode::Tab)], "next tab", "Next tab.", acts::tab_next),
    free("tab-previous", &[Chord::key(KeyCode::BackTab)], "previous tab", "Previous tab.", acts::tab_previous),
    free("tab-1", &[Chord::char('1')], "profiles", "Readers: who the scores are for.", |app| acts::go(app, 0)),
    free("tab-2", &[Chord::char('2')], "articles", "Articles: what is scored.", |app| acts::go(app, 1)),
    free("tab-3", &[Chord::char('3')], "distill", "Distill: what the teacher costs and answered.", |app| acts::go(app, 2)),
    free("tab-4", &[Chord::char('4')], "dataset", "Dataset: what the student is trained on.", |app| acts::go(app, 3)),
    free("tab-5", &[Chord::char('5')], "train", "Train: curves and checkpoints.", |app| acts::go(app, 4)),
    free("tab-6", &[Chord::char('6')], "validate", "Validate: how good the student is.", |app| acts::go(app, 5)),
    free("tab-7", &[Chord::char('7')], "audit", "Audit: think blocks to read and judge.", |app| acts::go(app, 6)),
    free("tab-8", &[Chord::char('8')], "deploy", "Deploy: releases, and scoring with one.", |app| acts::go(app, 7)),
    free("help", &[Chord::char('?')], "help", "This list; type to search it.", acts::help).shown(),
    free("palette", &[Chord::char(':')], "commands", "Find an action by its name and do it.", acts::palette).shown(),
    free("quit", &[Chord::char('q'), Chord::ctrl('c')], "quit", "Leave; asks first while a job runs.", acts::quit).shown(),
];
