//! A release: a folder with a student in its forms, and a manifest of where it came from.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::Digest;
use crate::workspace::{WorkspaceError, atomic_write};

/// Where a release came from: everything its numbers depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub recipe: String,
    pub recipe_digest: Digest,
    /// Of the templates that rendered the training prompts.
    pub prompt_digest: Digest,
    pub model: Digest,
    pub dataset: Digest,
    pub evaluation: Digest,
    pub runtime: String,
    pub verdict: String,
}

/// What an exported file says of itself, wherever it ends up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Of the release.
    pub name: String,
    pub recipe: String,
    pub recipe_digest: Digest,
    pub prompt_digest: Digest,
    /// Of the student as it was trained.
    pub model: Digest,
    /// Of the base's weights; absent: it was trained from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    pub dataset: Digest,
    /// The evaluation in words; empty: not evaluated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evaluation: String,
}

impl Provenance {
    /// Keys and values as GGUF metadata and safetensors headers carry them, empty ones left out.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("stratos.release", self.name.clone()),
            ("stratos.recipe", self.recipe.clone()),
            ("stratos.recipe_digest", self.recipe_digest.to_string()),
            ("stratos.prompt_digest", self.prompt_digest.to_string()),
            ("stratos.model_digest", self.model.to_string()),
            ("stratos.base_digest", self.base.as_ref().map(Digest::to_string).unwrap_or_default()),
            ("stratos.dataset_digest", self.dataset.to_string()),
            ("stratos.evaluation", self.evaluation.clone()),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

#[derive(Debug, Error)]
pub enum DeployError {
    #[error("cannot copy {path} into the release: {source}. Free some disk space or make the folder writable, then deploy again", path = path.display())]
    Copy { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// Copies a student's folder to a release folder, in one step: a crash leaves the old release or the new one.
pub fn copy_release(from: &Path, to: &Path, manifest: &Manifest) -> Result<(), DeployError> {
    let building = to.with_extension("building");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DeployError::Copy { path, source }
    };
    if building.exists() {
        fs::remove_dir_all(&building).map_err(failed(&building))?;
    }
    fs::create_dir_all(&building).map_err(failed(&building))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let path = entry.map_err(failed(from))?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, building.join(name)).map_err(failed(&path))?;
        }
    }
    let text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
    atomic_write(&building.join("manifest.json"), &text)?;
    if to.exists() {
        fs::remove_dir_all(to).map_err(failed(to))?;
    }
    fs::rename(&building, to).map_err(failed(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_carries_the_students_files_and_its_manifest() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (from, to) = (dir.path().join("best"), dir.path().join("release"));
        fs::create_dir(&from).expect("creates");
        fs::write(from.join("config.json"), "{}").expect("writes");
        let d = Digest::of("x");
        let manifest = Manifest {
            recipe: "r".into(),
            recipe_digest: d.clone(),
            prompt_digest: d.clone(),
            model: d.clone(),
            dataset: d.clone(),
            evaluation: d,
            runtime: "candle f32 cpu".into(),
            verdict: "Partial".into(),
        };
        copy_release(&from, &to, &manifest).expect("copies");
        copy_release(&from, &to, &manifest).expect("copies over itself");
        let read: Manifest = serde_json::from_slice(&fs::read(to.join("manifest.json")).expect("reads")).expect("parses");
        assert_eq!(read, manifest);
        assert!(to.join("config.json").is_file());
    }
}
