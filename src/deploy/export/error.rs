//! What can go wrong with an export, in words that say where and what next.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::deploy::Form;
use crate::domain::one_line;
use crate::student::StudentError;

#[derive(Debug, Error)]
pub enum ExportError {
    #[error(transparent)]
    Student(#[from] StudentError),
    #[error("{path}: {source}; nothing half was left: free some space or make the folder writable, then export again", path = .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("no {form} can be written: {why}")]
    Cannot { form: Form, why: String },
    #[error("tensor '{tensor}' {why}")]
    Numbers { tensor: String, why: &'static str },
    #[error("nothing to export: name at least one form")]
    Nothing,
    #[error(
        "the disk of {at} has {} MB free, the export takes {} MB: free {} MB, choose another folder or fewer forms",
        .free / MEGA, .need / MEGA, (.need - .free).div_ceil(MEGA), at = .at.display()
    )]
    Disk { at: PathBuf, need: u64, free: u64 },
    #[error("{} MB of memory are free, the export holds {} MB at once (its largest tensor and the adapter): end what else runs, then export again", .free / MEGA, .need / MEGA)]
    Memory { need: u64, free: u64 },
}

const MEGA: u64 = 1_000_000;

impl ExportError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(super) fn cannot(form: Form, why: impl AsRef<str>) -> Self {
        Self::Cannot { form, why: one_line(why.as_ref(), 400) }
    }

    pub(super) fn numbers(tensor: &str, why: &'static str) -> Self {
        Self::Numbers { tensor: one_line(tensor, 120), why }
    }
}
