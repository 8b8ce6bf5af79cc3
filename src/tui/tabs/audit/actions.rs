//! What can be done on the Audit tab alone.
//!
//! Owns the verdict on the selected think block.

use crate::domain::Phase;
use crate::engine::{Command, Verdict};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::select::selected_audit;

pub const ACTIONS: &[Action] = &[
    free("keep", &[Chord::char('y')], "keep", "Keep the selected trace: its think block is sound.", keep)
        .shown()
        .when(can_judge)
        .on(Phase::Audit),
    free("reject", &[Chord::char('x')], "reject", "Reject the trace; the dataset's next build leaves it out.", reject)
        .shown()
        .when(can_judge)
        .on(Phase::Audit),
];

pub fn can_judge(app: &App) -> Ready {
    need(selected_audit(app.snapshot(), app.tab()).is_some(), "no think block is selected")
}

pub fn keep(app: &mut App) -> Effects {
    judge(app, Verdict::Keep)
}

pub fn reject(app: &mut App) -> Effects {
    judge(app, Verdict::Reject)
}

/// Judges the selected trace and goes to the next.
fn judge(app: &mut App, verdict: Verdict) -> Effects {
    let Some(pair) = selected_audit(app.snapshot(), app.tab()).map(|item| item.pair.clone()) else { return Vec::new() };
    app.tab_mut().detail = false;
    app.shift(1);
    vec![Effect::Send(Command::Judge { pair, verdict, note: String::new() })]
}
