//! What can be done on the Deploy tab alone.
//!
//! Owns the ways to scoring an article of one's own, to another release, and to holding one against the trained student.

use super::selected;
use crate::domain::{Phase, one_line};
use crate::engine::{Command, Errand, Parity};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::overlays::confirm::Confirm;
use crate::tui::overlays::score::Score;
use crate::tui::overlays::{Overlay, Step};

pub const ACTIONS: &[Action] = &[
    free("score", &[Chord::char('n')], "score", "Score an article of your own with the served model.", score)
        .shown()
        .when(can_score)
        .on(Phase::Deploy),
    free("serve", &[Chord::char('v')], "serve", "Serve the selected release, if it passed its gate.", serve)
        .shown()
        .when(can_serve)
        .on(Phase::Deploy),
    free("roll-back", &[Chord::char('b')], "roll back", "Serve the release again that was served before.", roll_back)
        .shown()
        .when(can_roll_back)
        .on(Phase::Deploy),
    free("gate", &[Chord::char('e')], "gate", "Hold the selected release against the trained student.", gate)
        .shown()
        .when(can_gate)
        .on(Phase::Deploy),
    free("clear", &[Chord::char('x')], "clear", "Look at what a clean-up would delete, then delete it.", clear)
        .when(can_clear)
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

fn no_job(app: &App) -> Ready {
    need(app.live_job().is_none(), "a job runs; one at a time")
}

fn can_serve(app: &App) -> Ready {
    no_job(app)?;
    let look = app.look();
    let Some(release) = selected(&look) else { return Err("no release is selected".into()) };
    need(!release.live, "it is served already")?;
    need(release.gate.as_ref().is_none_or(Parity::passed), "it did not pass its gate; page 2 says why")
}

fn errand(errand: Errand) -> Effects {
    vec![Effect::Send(Command::Errand { errand })]
}

fn serve(app: &mut App) -> Effects {
    let release = selected(&app.look()).map(|release| release.name.clone());
    release.map_or_else(Vec::new, |release| errand(Errand::GoLive { release: Some(release) }))
}

fn can_roll_back(app: &App) -> Ready {
    no_job(app)?;
    need(app.snapshot().deploy.back.is_some(), "no other release was served before this one")
}

fn roll_back(_: &mut App) -> Effects {
    errand(Errand::GoLive { release: None })
}

fn can_gate(app: &App) -> Ready {
    no_job(app)?;
    need(selected(&app.look()).is_some(), "no release is selected")
}

fn gate(app: &mut App) -> Effects {
    let release = selected(&app.look()).map(|release| release.name.clone());
    release.map_or_else(Vec::new, |release| errand(Errand::GateRelease { release }))
}

fn can_clear(app: &App) -> Ready {
    no_job(app)?;
    let deploy = &app.snapshot().deploy;
    need(!deploy.clearable.is_empty(), &format!("nothing to delete: deploy.keep leaves {} beside the live one", deploy.keep))
}

fn clear(app: &mut App) -> Effects {
    let deploy = &app.snapshot().deploy;
    let names = deploy.clearable.clone();
    let bytes: u64 = deploy
        .releases
        .iter()
        .filter(|release| names.contains(&release.name))
        .flat_map(|release| release.forms.iter().map(|(_, bytes)| *bytes))
        .sum();
    let shown: Vec<String> = names.iter().take(6).map(|name| one_line(name, 50)).collect();
    let more = if names.len() > shown.len() { format!(" and {} more", names.len() - shown.len()) } else { String::new() };
    let question = format!(
        "{} releases would be deleted, {:.1} MiB in their forms: {}{more}. The live one, the one that b goes back to and {} \
         others stay.",
        names.len(),
        bytes as f64 / f64::from(1 << 20),
        shown.join(", "),
        deploy.keep
    );
    let delete = Command::Errand { errand: Errand::ClearReleases { releases: names } };
    let answers = vec![("keep them".to_owned(), Step::Close), ("delete".to_owned(), Step::Send(delete))];
    app.open(Overlay::Confirm(Confirm::new("Clear old releases", question, answers)))
}
