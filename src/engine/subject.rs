//! Which student a workspace trains: the recipe's seedling, or adapters on a base. Owns the way from `student.base` to files,
//! and the answers that differ between the two: how text is encoded, which part of the recipe says how to run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::job::Failure;
use super::phases::seedling_codec;
use crate::dataset::DatasetStats;
use crate::domain::recipe::{Method, NamedLimit, Recipe, RunRules, TokenLimit, TrainRules};
use crate::domain::{Digest, one_line};
use crate::student::adapter::AdapterRules;
use crate::student::base::Base;
use crate::student::hub::HubId;
use crate::student::matrix::Keep;
use crate::student::outline::Outline;
use crate::student::{Codec, Student, StudentConfig, StudentError};
use crate::train::learner::{AdapterSubject, Device, Subject};
use crate::workspace::{Workspace, model_in, models_dir};

/// What `student.base` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Seedling,
    /// A folder in the Hugging Face layout, or a GGUF file.
    Base(PathBuf),
}

impl Choice {
    pub fn of(workspace: &Workspace) -> Result<Self, Failure> {
        let base = workspace.config.student.base.as_str();
        if base == "seedling" {
            return Ok(Self::Seedling);
        }
        if let Some(path) = model_path(workspace, base) {
            return Ok(Self::Base(path));
        }
        let shown = one_line(base, 80);
        let next = match base.parse::<HubId>() {
            Ok(_) => format!("Run 'stratos models pull {shown}', or copy the model's folder here and set student.base to it."),
            Err(_) => "Set student.base in stratos.toml to a model's folder, a .gguf file, a hub id or \"seedling\".".into(),
        };
        Err(Failure::new(
            format!("student.base '{shown}' is no folder, no .gguf file and no model that was pulled or imported"),
            next,
        ))
    }
}

/// A model by its path, or by the name under which the workspace keeps it.
pub fn model_path(workspace: &Workspace, name: &str) -> Option<PathBuf> {
    let given = workspace.root().join(name);
    if given.exists() { Some(given) } else { kept(workspace, name) }
}

/// A model of the workspace: imported under this name, or pulled by this hub id.
fn kept(workspace: &Workspace, base: &str) -> Option<PathBuf> {
    let models = models_dir(workspace).ok()?;
    let plain = !base.starts_with('.') && !base.contains(['/', '\\']);
    let folder = match base.parse::<HubId>() {
        Ok(id) => models.join(id.folder_name()),
        Err(_) if plain => models.join(base),
        Err(_) => return None,
    };
    folder.is_dir().then(|| model_in(&folder))
}

/// How this workspace's student reads and writes; `dataset` names the seedling's tokenizer.
pub fn codec(workspace: &Workspace, dataset: &Digest) -> Result<Codec, Failure> {
    match Choice::of(workspace)? {
        Choice::Seedling => seedling_codec(workspace, dataset),
        Choice::Base(path) => base_codec(workspace, &path),
    }
}

pub fn base_codec(workspace: &Workspace, path: &Path) -> Result<Codec, Failure> {
    let outline = Outline::of(path)?;
    let mut codec = outline.codec?;
    // The template is asked for thinking exactly as the recipe's answers think.
    codec.template = codec.template.with_thinking(workspace.recipe.student.think.then_some(true));
    Ok(codec)
}

/// How long a text may be, as far as that is known before the data is.
pub fn most_tokens(workspace: &Workspace) -> Result<usize, Failure> {
    Ok(match Choice::of(workspace)? {
        Choice::Seedling => workspace.recipe.seedling.max_positions,
        Choice::Base(path) => {
            let positions = Outline::of(&path)?.config.max_position_embeddings;
            match workspace.recipe.train.max_tokens {
                Some(TokenLimit::Tokens(most)) => most.min(positions),
                Some(TokenLimit::Named(NamedLimit::Histogram)) | None => positions,
            }
        }
    })
}

/// The limit that the lengths of this dataset set, where the recipe leaves it to them; longer rows are left out by name.
pub fn histogram_limit(recipe: &Recipe, choice: &Choice, stats: &DatasetStats) -> Option<usize> {
    let asked = *choice != Choice::Seedling && recipe.train.max_tokens == Some(TokenLimit::Named(NamedLimit::Histogram));
    stats.tokens.as_ref().filter(|_| asked).map(|tokens| tokens.recommended_max)
}

/// How a run of this student goes.
pub fn run_rules<'a>(recipe: &'a Recipe, choice: &Choice) -> &'a RunRules {
    match choice {
        Choice::Seedling => &recipe.seedling.run,
        Choice::Base(_) => &recipe.train.run,
    }
}

/// The adapter that a recipe describes.
pub fn adapter_rules(rules: &TrainRules) -> AdapterRules {
    AdapterRules {
        dora: rules.method == Method::Dora,
        rank: rules.rank,
        alpha: rules.alpha,
        rslora: rules.rslora,
        dropout: rules.dropout,
        targets: rules.targets.clone(),
    }
}

/// A model as it is, asked to think exactly as a recipe's answers do.
pub fn untuned(path: &Path, recipe: &Recipe) -> Result<Student, StudentError> {
    untuned_with(path, recipe.student.think.then_some(true))
}

/// The same, told by its chat template to think or not to; `None`: as the template does by itself.
pub fn untuned_with(path: &Path, thinking: Option<bool>) -> Result<Student, StudentError> {
    let mut base = Base::load(path, Keep::AsStored)?;
    base.codec.template = base.codec.template.with_thinking(thinking);
    Student::adapted(&base, None)
}

/// What the run trains.
pub fn subject(workspace: &Workspace, choice: &Choice, codec: &Codec) -> Result<Subject, Failure> {
    let recipe = &workspace.recipe;
    let path = match choice {
        Choice::Seedling => return Ok(Subject::Full(Box::new(StudentConfig::seedling(&recipe.seedling, &codec.tokenizer)?))),
        Choice::Base(path) => path,
    };
    let rules = &recipe.train;
    if rules.method == Method::Full {
        let next = "Set train.method to \"dora\" or \"lora\" in the recipe; \"full\" is the seedling's.";
        return Err(Failure::new("a base is trained by adapters, not as a whole", next));
    }
    let device = match workspace.config.train.device {
        crate::workspace::Device::Cpu => Device::Cpu,
        crate::workspace::Device::Cuda => Device::Cuda,
        crate::workspace::Device::Metal => Device::Metal,
    };
    let base = Base::load(path, Keep::of_name(&rules.precision))?;
    Ok(Subject::Adapter(Box::new(AdapterSubject {
        base: Arc::new(base),
        path: std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
        precision: rules.precision.clone(),
        rules: adapter_rules(rules),
        recompute: rules.recompute,
        device,
    })))
}
