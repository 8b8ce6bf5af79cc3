//! What can be done on the Articles tab alone.
//!
//! Owns the order of the list and the marks.

use std::path::PathBuf;

use crate::domain::{ArticleId, Phase, SourceType};
use crate::engine::{ArticleSort, Command, Errand};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, need};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::msg::Effect;
use crate::tui::overlays::Overlay;
use crate::tui::overlays::path::PathPrompt;
use crate::tui::widgets::scroll::Scroll;

pub const ACTIONS: &[Action] = &[
    free("sort", &[Chord::char('S')], "sort", "Next order: as stored, title, source, newest, score, spread.", next_sort)
        .shown()
        .on(Phase::Articles),
    free("mark", &[Chord::char(' ')], "mark", "Mark the article, or take its mark away.", mark)
        .shown()
        .when(has_article)
        .on(Phase::Articles),
    free("unmark", &[Chord::char('u')], "unmark all", "Take every mark away.", unmark).when(has_marks).on(Phase::Articles),
    free("source-type", &[Chord::char('t')], "source type", "Next source type of the marked articles, or of this one.", next_type)
        .when(has_article)
        .on(Phase::Articles),
    free("import-articles", &[Chord::char('I')], "import", "Import articles from a file or a feed.", import)
        .shown()
        .on(Phase::Articles),
    free("fetch-feeds", &[Chord::char('F')], "fetch", "Fetch every feed of stratos.toml.", |_| {
        vec![Effect::Send(Command::Errand { errand: Errand::FetchFeeds })]
    })
    .on(Phase::Articles),
];

/// In the order that a key goes through them.
const TYPES: [SourceType; 4] = [SourceType::Official, SourceType::News, SourceType::Blog, SourceType::Unknown];

/// The marked ones get the same type: the one after the selected article's.
fn next_type(app: &mut App) -> Effects {
    let look = app.look();
    let (Some(id), Some(kind)) = (super::selected_id(&look), super::selected_type(&look)) else { return Vec::new() };
    let at = TYPES.iter().position(|known| *known == kind).unwrap_or(0);
    let marks = &look.own.articles.marks;
    let articles =
        if marks.is_empty() { vec![id] } else { marks.iter().filter_map(|id| ArticleId::new(id.as_str()).ok()).collect() };
    vec![Effect::Send(Command::SetSourceType { articles, source_type: TYPES[(at + 1) % TYPES.len()] })]
}

fn import(app: &mut App) -> Effects {
    let hint = "A file or a folder of articles (JSON, CSV, Parquet, RSS, Atom), or the address of a feed. An article with a known id \
                replaces it; a bad one stores nothing.";
    let make = |path: PathBuf| Command::Errand {
        errand: Errand::ImportArticles { from: path.to_string_lossy().into_owned(), limit: None },
    };
    app.open(Overlay::Path(PathPrompt::new("Import articles", hint, make)))
}

fn next_sort(app: &mut App) -> Effects {
    let now = app.own().articles.sort;
    let at = ArticleSort::ALL.iter().position(|sort| *sort == now).unwrap_or(0);
    app.own_mut().articles.sort = ArticleSort::ALL[(at + 1) % ArticleSort::ALL.len()];
    let tab = app.tab_mut();
    (tab.selected, tab.scroll) = (0, Scroll::default());
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
