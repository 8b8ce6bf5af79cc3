//! A voice of the desk: who answers, by which recipe's prompts, and what it must be. Owns finding it and proving that it is
//! the one that is meant (guard S6).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::job::Failure;
use super::super::phases::served;
use super::super::subject::{Choice, model_path, untuned, untuned_with};
use super::asking;
use super::cache::Terms;
use super::questions::{Question, rendered};
use crate::deploy::{Doubt, Pass};
use crate::domain::recipe::Sampling;
use crate::domain::{Article, Digest, Phase, Profile, Recipe, Renderer, one_line};
use crate::scorer::{Embedded, Scorer};
use crate::student::Student;
use crate::workspace::{CascadeChoice, Ledger, Workspace, recipe_text};

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
    /// Names whose answers the drift watch looks at together.
    pub fn name(&self) -> Digest {
        match self {
            Self::Served { student, .. } => student.clone(),
            Self::Base(path) => Digest::of(path.to_string_lossy().as_bytes()),
        }
    }

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
    /// Who is meant, by the workspace's own prompts.
    pub fn open(workspace: &Workspace, ledger: &Ledger, meant: &Meant) -> Result<Self, Failure> {
        let again = |failure: Failure| Failure { next: "Then ask again.".into(), ..failure };
        let (scorer, model, release): (Box<dyn Scorer + Send>, _, _) = match meant {
            Meant::Served { folder, student, release } => {
                let scorer = asking::scorer(workspace, folder, student).map_err(again)?;
                if let Some(name) = release {
                    hold_pin(ledger, name, scorer.as_ref())?;
                }
                let model = match release {
                    Some(name) => name.clone(),
                    None => format!("trained student {}", student.short()),
                };
                (scorer, model, release.clone().unwrap_or_default())
            }
            Meant::Base(path) => (
                Box::new(Embedded::new(untuned(path, &workspace.recipe)?)),
                format!("untuned base {}", file_name(path)),
                String::new(),
            ),
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

    /// The fast pass, and where it does not decide.
    pub fn fast(workspace: &Workspace, choice: &CascadeChoice) -> Result<(Self, Doubt), Failure> {
        let place = |failure: Failure| Failure { reason: format!("scoring.cascade: {}", failure.reason), ..failure };
        let (recipe, renderer) = other_recipe(workspace, &choice.recipe).map_err(place)?;
        let (student, name) = fast_student(workspace, &choice.fast, &recipe).map_err(place)?;
        let scorer = Box::new(Embedded::new(student));
        let voice = Self {
            rules: recipe.served_sampling(),
            runtime: scorer.runtime().to_string().into(),
            model: format!("fast pass {name}").into(),
            release: String::new(),
            other: Some((recipe, renderer)),
            pass: Pass::Fast,
            scorer,
        };
        Ok((voice, Doubt { low: choice.low, high: choice.high }))
    }

    /// One that a test speaks for.
    #[cfg(test)]
    pub fn of(scorer: Box<dyn Scorer + Send>, pass: Pass, rules: Sampling) -> Self {
        let runtime = scorer.runtime().to_string().into();
        Self { scorer, pass, rules, runtime, model: pass.name().into(), release: String::new(), other: None }
    }

    /// Everything that decides its answers, beside the prompts.
    pub fn terms(&self, seed: u64) -> Terms {
        Terms { model: self.scorer.digest(), runtime: self.runtime.to_string(), rules: self.rules.clone(), seed, pass: self.pass }
    }

    pub fn recipe<'a>(&'a self, workspace: &'a Workspace) -> &'a Recipe {
        self.other.as_ref().map_or(&workspace.recipe, |(recipe, _)| recipe)
    }

    pub fn question(&self, workspace: &Workspace, profile: &Profile, article: &Article) -> Result<Question, Failure> {
        rendered(self.other.as_ref().map_or(&workspace.renderer, |(_, renderer)| renderer), profile, article)
    }
}

/// Guard S6 for a server: what answers is what answered at the release's gate. A release that was never asked there has no pin.
fn hold_pin(ledger: &Ledger, release: &str, scorer: &dyn Scorer) -> Result<(), Failure> {
    let runtime = scorer.runtime();
    let target = runtime.engine.split(' ').next().unwrap_or_default();
    let found = scorer.digest();
    match ledger.pinned(release, target)? {
        Some(pinned) if pinned != found => {
            let reason = format!(
                "guard S6: {target} answers with {}, but {} was pinned when release {release} passed its gate there",
                found.short(),
                pinned.short()
            );
            let next = format!(
                "Let it serve the release's file again; if {target} was updated since, 'stratos deploy gate {release}' judges it anew."
            );
            Err(Failure::new(reason, next))
        }
        _ => Ok(()),
    }
}

fn other_recipe(workspace: &Workspace, name: &str) -> Result<(Recipe, Renderer), Failure> {
    let unknown =
        || Failure::new(format!("there is no recipe '{}'", one_line(name, 60)), "Name one of data/recipes, or a shipped one.");
    let text = recipe_text(workspace.root(), name)?.ok_or_else(unknown)?;
    let recipe = Recipe::from_toml(&text)?;
    let renderer = Renderer::new(&recipe)?;
    Ok((recipe, renderer))
}

/// The model of the fast pass and its name: the untuned base, told not to think; any other as it was trained.
fn fast_student(workspace: &Workspace, fast: &str, recipe: &Recipe) -> Result<(Student, String), Failure> {
    if fast == "base" {
        return match Choice::of(workspace)? {
            Choice::Base(path) => {
                Ok((untuned_with(&path, Some(recipe.student.think))?, format!("untuned base {}", file_name(&path))))
            }
            Choice::Seedling => Err(Failure::new(
                "fast is \"base\", but the seedling has none",
                "Set fast to a model's folder, a .gguf file or an imported model, or student.base to a model.",
            )),
        };
    }
    let unknown = || {
        let reason = format!("fast '{}' is no folder, no .gguf file and no imported model", one_line(fast, 80));
        Failure::new(reason, "See 'stratos models list'; import one with 'stratos models import'.")
    };
    let path = model_path(workspace, fast).ok_or_else(unknown)?;
    Ok((Student::load(&path)?, file_name(&path)))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| one_line(&n.to_string_lossy(), 60))
}
