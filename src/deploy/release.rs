//! A release: a folder with a student in its forms, and a manifest of where it came from and what lies in it.
//!
//! Owns the manifest, the copy of the trained student, and which releases a clean-up takes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Piece;
use crate::domain::Digest;
use crate::workspace::{WorkspaceError, atomic_write};

const MANIFEST: &str = "manifest.json";
/// The student as it was trained, in a release's folder.
pub const TRAINED: &str = "trained";
/// Ollama's description of the release, in its folder.
pub const MODELFILE: &str = "Modelfile";

/// The student in a release's folder; releases of before there were forms are that folder themselves.
pub fn trained_in(release: &Path) -> PathBuf {
    let inner = release.join(TRAINED);
    if inner.is_dir() { inner } else { release.to_owned() }
}

/// Where a release came from: everything its numbers depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub recipe: String,
    pub recipe_digest: Digest,
    /// Of the templates that rendered the training prompts.
    pub prompt_digest: Digest,
    pub model: Digest,
    /// Of the base's weights; absent: it was trained from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    pub dataset: Digest,
    pub evaluation: Digest,
    pub runtime: String,
    pub verdict: String,
    /// What was exported.
    #[serde(default)]
    pub pieces: Vec<Piece>,
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
    #[error("cannot {act} {path}: {source}. Free some disk space or make the folder writable, then deploy again", path = path.display())]
    Io { act: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{path}: {why}; make the release again with 'stratos deploy --again'", path = path.display())]
    Manifest { path: PathBuf, why: String },
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl DeployError {
    pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { act, path, source }
    }
}

impl Manifest {
    pub fn read(folder: &Path) -> Result<Self, DeployError> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(DeployError::io("read", &path))?;
        serde_json::from_slice(&text).map_err(|e| DeployError::Manifest { path, why: e.to_string() })
    }

    pub fn write(&self, folder: &Path) -> Result<(), DeployError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(atomic_write(&folder.join(MANIFEST), &text)?)
    }
}

/// Copies the files of a student's folder into another one, which is made.
pub fn copy_student(from: &Path, to: &Path) -> Result<(), DeployError> {
    fs::create_dir_all(to).map_err(DeployError::io("make", to))?;
    for entry in fs::read_dir(from).map_err(DeployError::io("read", from))? {
        let path = entry.map_err(DeployError::io("read", from))?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, to.join(name)).map_err(DeployError::io("copy", &path))?;
        }
    }
    Ok(())
}

/// Bytes of a folder's files, those of inner folders too.
pub fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => folder_bytes(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

/// What a clean-up would take: (name, whether it is live or a roll-back goes there), newest first; the `keep` newest of the
/// others stay.
pub fn to_clear<'a>(releases: &[(&'a str, bool)], keep: usize) -> Vec<&'a str> {
    releases.iter().filter(|(_, needed)| !needed).skip(keep).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::Building;

    fn manifest() -> Manifest {
        let d = Digest::of("x");
        Manifest {
            recipe: "r".into(),
            recipe_digest: d.clone(),
            prompt_digest: d.clone(),
            model: d.clone(),
            base: None,
            dataset: d.clone(),
            evaluation: d,
            runtime: "stratos f32 cpu".into(),
            verdict: "Partial".into(),
            pieces: Vec::new(),
        }
    }

    #[test]
    fn a_release_is_in_its_place_when_it_is_whole_and_carries_its_manifest() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (from, to) = (dir.path().join("best"), dir.path().join("release-1.2"));
        fs::create_dir(&from).expect("creates");
        fs::write(from.join("config.json"), "{}").expect("writes");
        for round in 0..2 {
            let left = Building::folder(&to).expect("begins");
            fs::write(left.path().join("left"), "over").expect("writes");
            std::mem::forget(left);
            let building = Building::folder(&to).expect("begins again");
            copy_student(&from, &building.path().join(TRAINED)).expect("copies");
            manifest().write(building.path()).expect("writes");
            assert!(!building.path().join("left").exists() && to.exists() == (round == 1));
            building.commit().expect("finishes");
        }
        assert_eq!(Manifest::read(&to).expect("reads"), manifest());
        assert!(trained_in(&to).join("config.json").is_file() && trained_in(&from) == from);
        assert!(fs::read_dir(dir.path()).expect("lists").count() == 2 && folder_bytes(&to) > 2);
    }

    #[test]
    fn a_damaged_manifest_says_where_and_what_to_do() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join(MANIFEST), "{").expect("writes");
        let error = Manifest::read(dir.path()).expect_err("damaged").to_string();
        assert!(error.contains("manifest.json") && error.contains("deploy --again"), "{error}");
    }

    #[test]
    fn a_clean_up_keeps_the_newest_and_whatever_is_needed() {
        let all = [("e", false), ("d", true), ("c", false), ("b", true), ("a", false)];
        assert_eq!(to_clear(&all, 1), ["c", "a"]);
        assert_eq!(to_clear(&all, 0), ["e", "c", "a"]);
        assert!(to_clear(&all, 9).is_empty());
    }
}
