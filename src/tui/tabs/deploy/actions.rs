//! What can be done on the Deploy tab alone.
//!
//! Owns the way to scoring an article of one's own.

use crate::domain::Phase;
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::overlays::Overlay;
use crate::tui::overlays::score::Score;

pub const ACTIONS: &[Action] = &[
    free("score", &[Chord::char('n')], "score", "Score an article of your own with the served model.", score)
        .shown()
        .when(can_score)
        .on(Phase::Deploy),
];

pub fn can_score(app: &App) -> Ready {
    need(app.snapshot().deploy.served.is_some(), "no model is served yet; press r to make a release")?;
    need(!app.snapshot().profiles.is_empty(), "there is no reader; run tab 1 first")
}

pub fn score(app: &mut App) -> Effects {
    let readers = app.snapshot().profiles.iter().map(|view| (view.profile.id.clone(), view.profile.role.clone())).collect();
    app.open(Overlay::Score(Score::new(readers)))
}
