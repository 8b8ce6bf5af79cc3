//! Where a workspace keeps the models that it pulled or imported.

use std::path::{Path, PathBuf};

use super::{Workspace, WorkspaceError};

/// `.stratos/models`
pub fn models_dir(workspace: &Workspace) -> Result<PathBuf, WorkspaceError> {
    workspace.state_dir("models")
}

/// What to load of a model's folder there: its only GGUF file where there is no `config.json`, else the folder.
pub fn model_in(folder: &Path) -> PathBuf {
    if folder.join("config.json").is_file() {
        return folder.to_owned();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(|e| e.ok().map(|e| e.path()));
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "gguf")).collect();
    match files.pop() {
        Some(only) if files.is_empty() => only,
        _ => folder.to_owned(),
    }
}
