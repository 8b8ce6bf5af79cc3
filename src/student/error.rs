//! What can go wrong with a student, in words that say where and what next.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::one_line;

#[derive(Debug, Error)]
pub enum StudentError {
    #[error("{path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {why}", path = .path.display())]
    File { path: PathBuf, why: String },
    #[error("the student's configuration: {0}")]
    Config(String),
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    #[error("chat template: {0}")]
    Template(String),
    #[error("weight '{name}': {why}; the folder's config.json and model.safetensors do not belong together")]
    Weight { name: String, why: String },
    #[error("{path}: tensor '{name}' {why}", path = .path.display())]
    BaseTensor { path: PathBuf, name: String, why: String },
    #[error(
        "{count} texts are longer than the student's {limit} positions: {shown}; shorten them or raise max_positions \
         in the recipe"
    )]
    TooLong { limit: usize, count: usize, shown: String, rows: Vec<String> },
    #[error("arithmetic: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl StudentError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn file(path: &Path, why: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), why: why.into() }
    }

    /// About one tensor of a weight file; its name comes from outside.
    pub(crate) fn tensor(path: &Path, name: &str, why: impl Into<String>) -> Self {
        Self::BaseTensor { path: path.to_owned(), name: one_line(name, 120), why: why.into() }
    }

    /// Names the first texts that do not fit.
    pub(crate) fn too_long(limit: usize, ids: &[String]) -> Self {
        let mut shown = ids.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        if ids.len() > 5 {
            shown.push_str(", …");
        }
        Self::TooLong { limit, count: ids.len(), shown, rows: ids.to_vec() }
    }
}
