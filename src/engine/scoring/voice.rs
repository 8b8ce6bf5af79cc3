//! A voice of the desk: who answers, by which recipe's prompts, and what it must be. Owns finding it and proving that it is
//! the one that is meant (guard S6).

use std::path::PathBuf;
use std::sync::Arc;

use super::super::job::Failure;
use super::super::phases::served;
use super::super::subject::{Choice, untuned};
use super::asking;
use super::questions::{Question, rendered};
use crate::deploy::Pass;
use crate::domain::recipe::Sampling;
use crate::domain::{Article, Digest, Phase, Profile, Recipe, Renderer};
use crate::scorer::{Embedded, Scorer};
use crate::workspace::{Ledger, Workspace};

/// Whose answers are meant. Found by a look at the ledger; nothing is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meant {
    /// The live release, or the trained student where nothing is live yet (then without a name).
    Served { folder: PathBuf, student: Digest, release: Option<String> },
    /// The untuned base.
    Base(PathBuf),
}

pub(super) struct Voice {
    pub scorer: Box<dyn Scorer + Send>,
    pub pass: Pass,
    pub rules: Sampling,
    /// What computes it.
    pub runtime: Arc<str>,
    /// Whose weights they are, for people.
    pub model: Arc<str>,
    /// The live release; empty: it is none.
    pub release: String,
    /// Another recipe's prompts; `None`: the workspace's.
    other: Option<(Recipe, Renderer)>,
}

impl Meant {
    /// `base`: the operator asks for the untuned base on purpose. Else it answers only where nothing was trained.
    pub fn find(workspace: &Workspace, ledger: &Ledger, base: bool) -> Result<Self, Failure> {
        if base {
            return match Choice::of(workspace)? {
                Choice::Base(path) => Ok(Self::Base(path)),
                Choice::Seedling => Err(Failure::new(
                    "the seedling has no base: it is trained from nothing",
                    "Set student.base in stratos.toml to a model, or score without --base.",
                )),
            };
        }
        let release = ledger.releases()?.into_iter().find(|r| r.live).map(|r| r.name);
        if release.is_none() && ledger.last_record(Phase::Train)?.is_none() && workspace.config.scoring.server.is_none() {
            // What student.base names may be missing; then that is not what keeps the operator from scoring.
            if let Ok(Choice::Base(path)) = Choice::of(workspace) {
                return Ok(Self::Base(path));
            }
        }
        let (folder, student) = served(ledger, workspace)?;
        Ok(Self::Served { folder, student, release })
    }
}

impl Voice {
    pub fn open(workspace: &Workspace, meant: &Meant) -> Result<Self, Failure> {
        let again = |failure: Failure| Failure { next: "Then ask again.".into(), ..failure };
        let (scorer, model, release): (Box<dyn Scorer + Send>, _, _) = match meant {
            Meant::Served { folder, student, release } => {
                let scorer = asking::scorer(workspace, folder, student).map_err(again)?;
                let model = match release {
                    Some(name) => name.clone(),
                    None => format!("trained student {}", student.short()),
                };
                (scorer, model, release.clone().unwrap_or_default())
            }
            Meant::Base(path) => {
                let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
                (Box::new(Embedded::new(untuned(path, &workspace.recipe)?)), format!("untuned base {name}"), String::new())
            }
        };
        Ok(Self {
            rules: workspace.recipe.served_sampling(),
            runtime: scorer.runtime().to_string().into(),
            model: model.into(),
            release,
            other: None,
            pass: Pass::Only,
            scorer,
        })
    }

    pub fn recipe<'a>(&'a self, workspace: &'a Workspace) -> &'a Recipe {
        self.other.as_ref().map_or(&workspace.recipe, |(recipe, _)| recipe)
    }

    pub fn question(&self, workspace: &Workspace, profile: &Profile, article: &Article) -> Result<Question, Failure> {
        rendered(self.other.as_ref().map_or(&workspace.renderer, |(_, renderer)| renderer), profile, article)
    }
}
