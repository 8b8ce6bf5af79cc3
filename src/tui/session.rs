//! What the console remembers from one time to the next: where the operator was, and how lists were ordered.
//!
//! Owns what is worth remembering and its file. A file that cannot be read is a fresh start, never an error: nothing in it
//! is a fact.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::app::App;
use super::tabs::TABS;
use super::widgets::pane::Share;
use crate::engine::ArticleSort;

/// One tab's part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TabMemory {
    pub page: usize,
    pub filter: String,
    pub share: Share,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    pub tab: usize,
    pub tabs: Vec<TabMemory>,
    /// Place in [`ArticleSort::ALL`].
    pub article_sort: usize,
    /// The welcome was seen.
    pub welcomed: bool,
}

impl Session {
    pub fn of(app: &App) -> Self {
        let tabs = (0..TABS.len()).map(|at| app.tab_at(at));
        Self {
            tab: app.current(),
            tabs: tabs.map(|tab| TabMemory { page: tab.page, filter: tab.filter.clone(), share: tab.share }).collect(),
            article_sort: ArticleSort::ALL.iter().position(|sort| *sort == app.own().articles.sort).unwrap_or(0),
            welcomed: app.welcomed(),
        }
    }

    /// What the file says; nothing where it is missing or was written by somebody else.
    pub fn read(file: &Path) -> Self {
        fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        // The console may be killed at any moment: the file is whole, or the old one.
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, file)
    }
}

/// Writes the session when it has changed.
#[derive(Debug)]
pub struct Keeper {
    file: Option<PathBuf>,
    last: Session,
}

impl Keeper {
    pub fn new(file: Option<PathBuf>) -> Self {
        let last = file.as_deref().map(Session::read).unwrap_or_default();
        Self { file, last }
    }

    pub fn session(&self) -> &Session {
        &self.last
    }

    /// A disk that is full or read-only costs the memory, not the work.
    pub fn keep(&mut self, app: &App) {
        let now = Session::of(app);
        if now == self.last {
            return;
        }
        if let Some(file) = &self.file
            && let Err(error) = now.write(file)
        {
            tracing::warn!("the session cannot be written to {}: {error}", file.display());
            self.file = None;
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::Snapshot;
    use crate::tui::theme::Theme;

    #[test]
    fn what_was_kept_is_there_the_next_time_and_a_broken_file_is_a_fresh_start() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("console.json");
        let mut app = App::new(Arc::new(Snapshot::default()), Theme::default());
        app.show_tab(3);
        app.show_page(2);
        app.own_mut().articles.sort = ArticleSort::Spread;
        let mut keeper = Keeper::new(Some(file.clone()));
        keeper.keep(&app);
        let again = App::new(Arc::new(Snapshot::default()), Theme::default()).with_session(&Session::read(&file));
        assert_eq!((again.current(), again.tab().page, again.own().articles.sort), (3, 2, ArticleSort::Spread));
        fs::write(&file, "{\"tab\": 99, \"tabs\": [").expect("writes");
        assert_eq!(Session::read(&file), Session::default());
    }

    #[test]
    fn a_session_of_another_version_never_points_outside() {
        let session = Session {
            tab: 99,
            tabs: vec![TabMemory { page: 77, filter: "x".into(), ..TabMemory::default() }; 20],
            article_sort: 50,
            welcomed: true,
        };
        let mut app = App::new(Arc::new(Snapshot::default()), Theme::default()).with_session(&session);
        assert!(app.current() < TABS.len());
        app.update(crate::tui::msg::Msg::Resize);
        assert!(app.tab().page < app.spec().pages.len());
    }
}
