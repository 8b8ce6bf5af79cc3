//! The page of runs: every training of this workspace, and which of them is drawn beside the one that is shown.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::common::{age, sentence};
use super::{Look, runs};
use crate::domain::one_line;
use crate::engine::{Query, RunLine};
use crate::tui::charts::plot::short;
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::text::columns;

const HEADER: [(&str, i16); 8] =
    [("", 2), ("run", 13), ("last step", 9), ("step", -6), ("of", -6), ("loss", -6), ("eval", -6), ("student", 14)];

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let runs = runs(look);
    if runs.is_empty() {
        let words = match look.shelf.failed(&Query::Runs) {
            Some(why) => one_line(why, 300),
            None if look.shelf.waits(&Query::Runs) => "Reading the runs…".into(),
            None => "No run of this workspace has made a step yet.".into(),
        };
        return sentence(frame, area, look, "runs", &words);
    }
    let inner = pane(frame, area, look.theme, "runs of this workspace; losses in nats a token", look.tab.detail);
    let list = List { header: &columns(&HEADER), total: runs.len(), selected: look.tab.selected };
    list.draw(frame, inner, look.theme, |row, _| runs.get(row).map_or_else(Line::default, |run| line(look, run)));
}

fn line(look: &Look<'_>, run: &RunLine) -> Line<'static> {
    let here = look.snapshot.train.run.as_deref() == Some(run.run.as_str());
    let beside = look.own.train.past.as_deref() == Some(run.run.as_str());
    let (mark, role) = match (here, beside) {
        (true, _) => ("─", Role::CurveA),
        (_, true) => ("┄", Role::Accent),
        _ => (" ", Role::Text),
    };
    let loss = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |v| short(v, 0.001));
    let total = if run.total_steps == 0 { "—".into() } else { run.total_steps.to_string() };
    let ago = age(look.now, run.last);
    let texts = [
        mark.to_owned(),
        one_line(&run.run, 13),
        ago,
        run.step.to_string(),
        total,
        loss(run.loss),
        loss(run.eval_loss),
        one_line(&run.student, 40),
    ];
    let cells: Vec<(&str, i16)> = texts.iter().map(String::as_str).zip(HEADER.map(|(_, width)| width)).collect();
    Line::from(Span::styled(columns(&cells), look.theme.style(role)))
}
