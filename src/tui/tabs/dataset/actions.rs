//! What can be done on the Dataset tab alone.
//!
//! Owns the way to the loss mask of an example.

use crate::domain::Phase;
use crate::engine::Command;
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::select::selected_example;

/// Pages that `m` works from and goes to.
const EXAMPLES_PAGE: usize = 2;
const MASK_PAGE: usize = 4;

pub const ACTIONS: &[Action] = &[
    free("mask", &[Chord::char('m')], "mask", "Show which tokens of the selected example are trained.", show_mask)
        .shown()
        .when(can_mask)
        .on(Phase::Dataset),
];

pub fn can_mask(app: &App) -> Ready {
    need(app.tab().page == EXAMPLES_PAGE, "select an example on page 'examples' first")?;
    need(selected_example(app.snapshot(), app.tab()).is_some(), "no example is selected")
}

pub fn show_mask(app: &mut App) -> Effects {
    let Some(example) = selected_example(app.snapshot(), app.tab()).map(|e| e.id.clone()) else { return Vec::new() };
    app.show_page(MASK_PAGE);
    vec![Effect::Send(Command::ShowMask { example })]
}
