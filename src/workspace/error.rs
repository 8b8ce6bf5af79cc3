//! What can go wrong with a workspace: where, and what to do next.

use std::path::{Path, PathBuf};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum WorkspaceError {
    #[error("{root} is not a workspace: it has no stratos.toml. Run 'stratos init {root}' to make it one, or name another with --workspace", root = root.display())]
    NotAWorkspace { root: PathBuf },
    #[error("{file} exists already; this folder is a workspace", file = file.display())]
    AlreadyAWorkspace { file: PathBuf },
    #[error("{file}: {why}", file = file.display())]
    Config { file: PathBuf, why: String },
    #[error("recipe '{name}' is neither in data/recipes/ nor shipped; shipped are: {known}. Correct 'recipe' in stratos.toml")]
    UnknownRecipe { name: String, known: String },
    #[error("recipe {file}: {why}")]
    Recipe { file: String, why: String },
    #[error("cannot {act} {path}: {source}. {remedy}", path = path.display())]
    Io { act: &'static str, path: PathBuf, source: std::io::Error, remedy: &'static str },
    #[error("{file}, line {line}: {why}. {remedy}", file = file.display())]
    Record { file: PathBuf, line: usize, why: String, remedy: &'static str },
    #[error("{file}: {why}", file = file.display())]
    File { file: PathBuf, why: String },
    #[error("the ledger {file}: {why}", file = file.display())]
    Ledger { file: PathBuf, why: String },
    #[error("another StratOS engine (process {holder}) works in this workspace; close it, or wait until it is done")]
    Locked { holder: String },
}

impl WorkspaceError {
    /// An I/O error with the remedy that its kind suggests.
    pub fn io(act: &'static str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let remedy = match source.kind() {
            K::PermissionDenied | K::ReadOnlyFilesystem => "Make the folder writable, or work in a copy of the workspace",
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => "Free some disk space and run again; nothing recorded is lost",
            K::NotFound => "Check the path",
            _ => "Run again; nothing recorded is lost",
        };
        Self::Io { act, path: path.to_owned(), source, remedy }
    }
}
