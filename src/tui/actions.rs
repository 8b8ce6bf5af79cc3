//! The action table: every key the console knows outside dialogs, once.
//!
//! Owns ids, keys, labels, help sentences and where an action is valid; feeds dispatch, footer, help, palette, the
//! config's `[keys]` and the docs. A tab adds its own lines (`tabs/<tab>/actions.rs`); what an action does and when it can
//! is `acts`' own, or the tab's.

use crossterm::event::KeyCode;

use super::acts;
use super::app::App;
use super::keys::Chord;
use super::msg::Effect;
use super::tabs::TABS;
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

    /// Whether it can be done on this tab at this moment, and why not.
    pub fn ready(&self, app: &App) -> Result<(), String> {
        match self.on {
            Where::Tab(phase) if phase != app.phase() => Err(format!("only on tab {}", phase.index() + 1)),
            _ => (self.enabled)(app),
        }
    }
}

/// Every action: the tabs' own first where they stand in the footer, then those that are valid everywhere.
pub fn all() -> impl Iterator<Item = &'static Action> {
    let own = TABS.iter().flat_map(|tab| tab.actions);
    EVERYWHERE[..BEFORE_THE_TABS].iter().chain(own).chain(&EVERYWHERE[BEFORE_THE_TABS..])
}

pub fn by_id(id: &str) -> Option<&'static Action> {
    all().find(|action| action.id == id)
}

#[expect(clippy::unnecessary_wraps, reason = "stands where other actions say why they cannot be done")]
fn always(_: &App) -> Result<(), String> {
    Ok(())
}

/// An action that is valid everywhere and can always be done.
pub const fn free(
    id: &'static str,
    keys: &'static [Chord],
    label: &'static str,
    help: &'static str,
    act: fn(&mut App) -> Vec<Effect>,
) -> Action {
    Action { id, keys, label, help, on: Where::Anywhere, footer: false, enabled: always, act }
}

impl Action {
    /// In the footer while it is enabled.
    #[must_use]
    pub const fn shown(mut self) -> Self {
        self.footer = true;
        self
    }

    #[must_use]
    pub const fn when(mut self, enabled: fn(&App) -> Result<(), String>) -> Self {
        self.enabled = enabled;
        self
    }

    /// On one tab alone.
    #[must_use]
    pub const fn on(mut self, phase: Phase) -> Self {
        self.on = Where::Tab(phase);
        self
    }
}

/// Of [`EVERYWHERE`], those that come before the tabs' own in the footer and the help: what drives the job.
const BEFORE_THE_TABS: usize = 8;

/// What can be done on every tab, in the order of the help and of the footer.
static EVERYWHERE: [Action; 37] = [
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
    free("engine", &[Chord::ctrl('e')], "start engine", "Find or start an engine when this one is gone.", acts::reconnect)
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
    free("narrower", &[Chord::char('<')], "narrower", "Give the list less room, and the details more.", acts::narrower),
    free("wider", &[Chord::char('>')], "wider", "Give the list more room, and the details less.", acts::wider),
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
    free("log", &[Chord::char('L')], "log", "Jobs, and all the engine said: levels, filter, follow.", acts::log).shown(),
    free("welcome", &[Chord::key(KeyCode::F(1))], "welcome", "The eight phases in one screen.", acts::welcome),
    free("help", &[Chord::char('?')], "help", "This list; type to search it.", acts::help).shown(),
    free("palette", &[Chord::char(':')], "commands", "Find an action by its name and do it.", acts::palette).shown(),
    free("quit", &[Chord::char('q'), Chord::ctrl('c')], "quit", "Leave; asks first while a job runs.", acts::quit).shown(),
];
