//! What can be done on the Articles tab alone.
//!
//! Owns the order of the list and the marks.

use crate::domain::Phase;
use crate::engine::ArticleSort;
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;

pub const ACTIONS: &[Action] = &[
    free("sort", &[Chord::char('S')], "sort", "Next order: as stored, title, source, newest, score, spread.", next_sort)
        .shown()
        .on(Phase::Articles),
    free("mark", &[Chord::char(' ')], "mark", "Mark the article, or take its mark away.", mark)
        .shown()
        .when(has_article)
        .on(Phase::Articles),
    free("unmark", &[Chord::char('u')], "unmark all", "Take every mark away.", unmark).when(has_marks).on(Phase::Articles),
];

fn next_sort(app: &mut App) -> Effects {
    let now = app.own().articles.sort;
    let at = ArticleSort::ALL.iter().position(|sort| *sort == now).unwrap_or(0);
    app.own_mut().articles.sort = ArticleSort::ALL[(at + 1) % ArticleSort::ALL.len()];
    let tab = app.tab_mut();
    (tab.selected, tab.scroll) = (0, 0);
    Vec::new()
}

fn has_article(app: &App) -> Ready {
    need(super::selected_id(&app.look()).is_some(), "no article is selected")
}

fn mark(app: &mut App) -> Effects {
    if let Some(id) = super::selected_id(&app.look()) {
        let marks = &mut app.own_mut().articles.marks;
        if !marks.remove(id.as_str()) {
            marks.insert(id.as_str().to_owned());
        }
        app.shift(1);
    }
    Vec::new()
}

fn has_marks(app: &App) -> Ready {
    need(!app.own().articles.marks.is_empty(), "nothing is marked")
}

fn unmark(app: &mut App) -> Effects {
    app.own_mut().articles.marks.clear();
    Vec::new()
}
