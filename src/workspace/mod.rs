//! The workspace: a folder with `stratos.toml`, `data/` (human-made and exported files) and `.stratos/` (ledger, runs,
//! releases, logs).
//!
//! Owns every path, the ledger, and the rule that a file in the workspace overrides the one shipped in the binary.
//! Does not know what the phases do with what is stored.

mod articles;
mod config;
mod deploy_choice;
mod embedded;
mod error;
mod export_choice;
mod feed_choice;
mod files;
mod jsonl;
mod label_choice;
mod ledger;
mod lock;
mod models;
mod raw;
mod scoring_choice;
mod shelter;
mod train_choice;

pub use articles::{ArticleFile, ArticleRow, FeedTerms};
pub use config::{Config, Pilot, Select, TeacherChoice};
pub use deploy_choice::DeployChoice;
pub use embedded::{shipped_recipes, shipped_theme};
pub use error::WorkspaceError;
pub use export_choice::ExportChoice;
pub use feed_choice::FeedChoice;
pub use files::{atomic_write, free_bytes};
pub use jsonl::{JsonRecords, MAX_LINE_BYTES};
pub use label_choice::LabelChoice;
pub use ledger::*;
pub use lock::WorkspaceLock;
pub use models::{model_in, models_dir};
pub use raw::{RawFile, RawStore, RawWriter};
pub use scoring_choice::{CascadeChoice, ScoringChoice, ServerKind};
pub use shelter::is_sheltered;
pub use train_choice::{Backend, Device, ExternalChoice, RUINOUS_SETTINGS, TrainChoice};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::{Recipe, Renderer};

/// An opened workspace: its folder, its configuration and the recipe they name.
pub struct Workspace {
    root: PathBuf,
    pub config: Config,
    pub recipe: Recipe,
    pub renderer: Renderer,
}

impl Workspace {
    /// Opens the workspace in `root`. A folder without `stratos.toml` is not one, and is told how to become one.
    pub fn open(root: &Path) -> Result<Arc<Self>, WorkspaceError> {
        let file = root.join("stratos.toml");
        if !file.is_file() {
            return Err(WorkspaceError::NotAWorkspace { root: root.to_owned() });
        }
        let config =
            Config::from_toml(&files::read_text(&file)?).map_err(|why| WorkspaceError::Config { file: file.clone(), why })?;
        let shipped = embedded::find_text(root, &format!("recipes/{}.toml", config.recipe))?;
        let Some((recipe_text, origin)) = shipped else {
            return Err(WorkspaceError::UnknownRecipe { name: config.recipe.clone(), known: shipped_recipes().join(", ") });
        };
        let wrap =
            |why: crate::domain::recipe::RecipeError| WorkspaceError::Recipe { file: origin.clone(), why: why.to_string() };
        let recipe = Recipe::from_toml(&recipe_text).map_err(wrap)?;
        let renderer = Renderer::new(&recipe).map_err(wrap)?;
        Ok(Arc::new(Self { root: root.to_owned(), config, recipe, renderer }))
    }

    /// Makes a new workspace: `stratos.toml`, `data/`, and a `.gitignore` for what the binary writes.
    pub fn init(root: &Path, config: &Config) -> Result<(), WorkspaceError> {
        let file = root.join("stratos.toml");
        if file.exists() {
            return Err(WorkspaceError::AlreadyAWorkspace { file });
        }
        let data = root.join("data");
        std::fs::create_dir_all(&data).map_err(|e| WorkspaceError::io("create", &data, e))?;
        let ignore = root.join(".gitignore");
        if !ignore.exists() {
            atomic_write(&ignore, b"/.stratos\n/data/training_*.jsonl\n/data/eval_*.jsonl\n")?;
        }
        atomic_write(&file, config.to_toml().as_bytes())
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `data/NAME`
    pub fn data_file(&self, name: &str) -> PathBuf {
        self.root.join("data").join(name)
    }

    /// `.stratos/PART`, made if it is not there.
    pub fn state_dir(&self, part: &str) -> Result<PathBuf, WorkspaceError> {
        let dir = self.root.join(".stratos").join(part);
        std::fs::create_dir_all(&dir).map_err(|e| WorkspaceError::io("create", &dir, e))?;
        Ok(dir)
    }

    /// Opens the ledger; every thread opens its own.
    pub fn ledger(&self) -> Result<Ledger, WorkspaceError> {
        let dir = self.state_dir("")?;
        Ledger::open(&dir.join("ledger.sqlite"))
    }

    /// The ledger for looking only.
    pub fn reader(&self) -> Result<Ledger, WorkspaceError> {
        Ledger::open_to_read(&self.state_dir("")?.join("ledger.sqlite"))
    }

    /// Where raw answers are kept.
    pub fn raw_store(&self) -> Result<RawStore, WorkspaceError> {
        Ok(RawStore::new(self.state_dir("raw")?))
    }

    /// Takes the workspace's lock: one engine at a time.
    pub fn lock(&self) -> Result<WorkspaceLock, WorkspaceError> {
        WorkspaceLock::take(&self.state_dir("")?.join("engine.lock"))
    }

    /// The text of a data file: the workspace's own, or the shipped one. With the name of where it came from.
    pub fn data_text(&self, name: &str) -> Result<Option<(String, String)>, WorkspaceError> {
        embedded::find_text(&self.root, name)
    }
}

/// The text of a recipe by name, from a folder's `data/recipes/` or the binary; needs no workspace.
pub fn recipe_text(root: &Path, name: &str) -> Result<Option<String>, WorkspaceError> {
    Ok(embedded::find_text(root, &format!("recipes/{name}.toml"))?.map(|(text, _)| text))
}
