//! What can be done on the Profiles tab alone.
//!
//! Owns the ways to a reader's draft, and taking a reader out with an undo.

use crate::domain::{Phase, Profile, write_draft};
use crate::engine::Command;
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::overlays::Overlay;
use crate::tui::overlays::editor::Editor;
use crate::tui::overlays::path::PathPrompt;
use crate::tui::toasts::Toast;

pub const ACTIONS: &[Action] = &[
    free("edit", &[Chord::char('i')], "edit", "Edit the reader here, with a preview of the prompt.", edit)
        .shown()
        .when(has_reader)
        .on(Phase::Profiles),
    free("edit-outside", &[Chord::char('e')], "$EDITOR", "Edit the reader in $EDITOR, then look at the changes.", outside)
        .shown()
        .when(has_reader)
        .on(Phase::Profiles),
    free("new-reader", &[Chord::char('n')], "new", "Write a new reader.", new).shown().on(Phase::Profiles),
    free("duplicate", &[Chord::char('d')], "duplicate", "Write a new reader that begins as a copy of this one.", duplicate)
        .shown()
        .when(has_reader)
        .on(Phase::Profiles),
    free("remove-reader", &[Chord::char('x')], "remove", "Take the reader out; u brings it back.", remove)
        .when(has_reader)
        .on(Phase::Profiles),
    free("undo-remove", &[Chord::char('u')], "undo", "Bring back the reader that was taken out last.", undo)
        .when(has_removed)
        .on(Phase::Profiles),
    free("import-profiles", &[Chord::char('I')], "import", "Import a file of readers.", import).on(Phase::Profiles),
];

/// What a new reader begins with.
const BLANK: &str = r#"id = ""
description = ""
role = ""
seniority = "mid"  # student, graduate, early, mid, senior or retired
location = "Town, Region, Country"
context = ""
motivation = "career"  # career or interest
tracked = [
]
interests = [
]
"#;

fn reader(app: &App) -> Option<Profile> {
    super::selected(&app.look()).map(|view| view.profile.clone())
}

fn has_reader(app: &App) -> Ready {
    need(reader(app).is_some(), "no reader is selected")
}

fn edit(app: &mut App) -> Effects {
    match reader(app) {
        Some(profile) => app.open(Overlay::Editor(Editor::of(&profile))),
        None => Vec::new(),
    }
}

fn outside(app: &mut App) -> Effects {
    let Some(profile) = reader(app) else { return Vec::new() };
    app.open(Overlay::Editor(Editor::of(&profile)));
    vec![Effect::Edit(write_draft(&profile))]
}

fn new(app: &mut App) -> Effects {
    app.open(Overlay::Editor(Editor::new(BLANK)))
}

fn duplicate(app: &mut App) -> Effects {
    let Some(mut profile) = reader(app) else { return Vec::new() };
    let taken = |id: &str| app.snapshot().profiles.iter().any(|view| view.profile.id.as_str() == id);
    let free = (2..1000).map(|n| format!("{}_{n}", profile.id)).find(|id| !taken(id));
    if let Some(id) = free.and_then(|id| id.parse().ok()) {
        profile.id = id;
    }
    app.open(Overlay::Editor(Editor::new(&write_draft(&profile))))
}

fn remove(app: &mut App) -> Effects {
    let Some(profile) = reader(app) else { return Vec::new() };
    let id = profile.id.clone();
    app.say(Toast::info(format!("reader {id} is taken out; u brings it back"), app.now()));
    app.own_mut().profiles.removed.push(profile);
    vec![Effect::Send(Command::RemoveProfile { id })]
}

fn has_removed(app: &App) -> Ready {
    need(!app.own().profiles.removed.is_empty(), "no reader was taken out in this session")
}

fn undo(app: &mut App) -> Effects {
    let back = app.own_mut().profiles.removed.pop();
    back.map(|profile| Effect::Send(Command::SaveProfile { profile: Box::new(profile) })).into_iter().collect()
}

fn import(app: &mut App) -> Effects {
    let hint = "A file of readers: JSON lines or an array. A reader with a known id replaces it; a bad line stores nothing.";
    let make = |path| Command::ImportProfiles { path, only: Vec::new() };
    app.open(Overlay::Path(PathPrompt::new("Import readers", hint, make)))
}
