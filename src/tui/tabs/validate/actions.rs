//! What can be done on the Validate tab alone.
//!
//! Owns the way from a key to a choice of runs, to another evaluation, to probes and to a report.

use std::fmt::Write as _;

use crossterm::event::KeyCode;

use super::{METRICS, Part, RUNS, WORST, all_runs, figures, interval, name_of, shown, stored, view, worst};
use crate::domain::{Digest, Phase};
use crate::engine::{Command, Errand};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::overlays::Overlay;
use crate::tui::overlays::evaluate::Evaluate;
use crate::tui::tabs::Look;
use crate::tui::widgets::scroll::Scroll;

/// Rows that a probe from here asks about: enough for an interval, few enough to wait for.
const PROBED: usize = 30;

pub const ACTIONS: &[Action] = &[
    free("evaluate", &[Chord::char('e')], "evaluate", "Judge a predictor on rows: a baseline, the base, a server.", evaluate)
        .shown()
        .when(can_work)
        .on(Phase::Validate),
    free("show-run", &[Chord::char('v')], "show", "Show the selected run's figures on every page.", show)
        .shown()
        .when(on_runs)
        .on(Phase::Validate),
    free("mark-run", &[Chord::char('m')], "mark", "Mark the run to compare it; a third mark replaces the first.", mark)
        .shown()
        .when(on_runs)
        .on(Phase::Validate),
    free("compare-runs", &[Chord::char('C')], "compare", "Compare the marked runs; again: even across runtimes.", compare)
        .shown()
        .when(can_compare)
        .on(Phase::Validate),
    free("probe", &[Chord::char('b')], "probe", "Probe whether the reasoning causes the score, on 30 rows.", probe)
        .when(can_work)
        .on(Phase::Validate),
    free("report", &[Chord::char('w')], "report", "Write the shown run's report to files, and say where.", report)
        .shown()
        .when(has_run)
        .on(Phase::Validate),
    free("part", &[Chord::char('t'), Chord::key(KeyCode::Right)], "other part", "Model's block, teacher's block or article.", part)
        .shown()
        .when(on_worst)
        .on(Phase::Validate),
];

fn has_run(app: &App) -> Ready {
    need(!all_runs(&app.look()).is_empty(), "nothing is evaluated yet")
}

fn can_work(app: &App) -> Ready {
    need(app.live_job().is_none(), "a job runs; one at a time")
}

fn selected(app: &App) -> Option<Digest> {
    let look = app.look();
    stored(&look).get(look.tab.selected).filter(|_| look.tab.page == RUNS).map(|run| run.id.clone())
}

fn on_runs(app: &App) -> Ready {
    need(selected(app).is_some(), "choose a run on the page of runs")
}

fn on_worst(app: &App) -> Ready {
    need(app.tab().page == WORST && app.rows() > 0, "only on the page of worst rows")
}

fn can_compare(app: &App) -> Ready {
    need(app.tab().page == RUNS && app.own().validate.marks.len() == 2, "mark two runs on the page of runs first")
}

fn show(app: &mut App) -> Effects {
    app.own_mut().validate.shown = selected(app);
    app.own_mut().validate.comparing = false;
    app.show_page(METRICS);
    Vec::new()
}

fn mark(app: &mut App) -> Effects {
    let Some(id) = selected(app) else { return Vec::new() };
    let own = &mut app.own_mut().validate;
    (own.comparing, own.across) = (false, false);
    if let Some(at) = own.marks.iter().position(|m| *m == id) {
        own.marks.remove(at);
        return Vec::new();
    }
    if own.marks.len() == 2 {
        own.marks.remove(0);
    }
    own.marks.push(id);
    Vec::new()
}

fn compare(app: &mut App) -> Effects {
    let own = &mut app.own_mut().validate;
    own.across = own.comparing;
    own.comparing = true;
    Vec::new()
}

fn part(app: &mut App) -> Effects {
    let own = &mut app.own_mut().validate;
    own.part = match own.part {
        Part::Student => Part::Teacher,
        Part::Teacher => Part::Article,
        Part::Article => Part::Student,
    };
    app.tab_mut().scroll = Scroll::default();
    Vec::new()
}

fn evaluate(app: &mut App) -> Effects {
    let openings = app.snapshot().dataset.seal.as_ref().map(|seal| seal.openings.len());
    app.open(Overlay::Evaluate(Evaluate::new(openings)))
}

fn probe(_: &mut App) -> Effects {
    vec![Effect::Send(Command::Errand { errand: Errand::Probe { n: PROBED } })]
}

fn report(app: &mut App) -> Effects {
    let look = app.look();
    let run = selected(app).or_else(|| shown(&look));
    run.map(|id| Effect::Send(Command::WriteReport { run: id.to_string(), to: None })).into_iter().collect()
}

/// The table of figures, or the row far off, as text for the clipboard.
pub fn selected_text(look: &Look<'_>) -> Option<String> {
    let view = view(look)?;
    match look.tab.page {
        METRICS => {
            let mut text = format!("{}\n", name_of(view));
            for f in figures(view, look) {
                let _ = write!(text, "{}\t{}\t{}\t{}", f.name, f.value, interval(f.interval), f.n);
                for b in &f.baselines {
                    let _ = write!(text, "\t{} {}", b.name, b.value);
                }
                text.push('\n');
            }
            Some(text)
        }
        WORST => worst(view, look).get(look.tab.selected).map(|w| format!("{}\n{}\n\n{}", w.pair, w.title, w.output)),
        RUNS => stored(look).get(look.tab.selected).map(|run| run.id.to_string()),
        _ => None,
    }
}
