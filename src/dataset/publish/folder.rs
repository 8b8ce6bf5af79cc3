//! The folder of an export: what may be replaced in it, and how.
//!
//! Owns the manifest that says which files were written and with which bytes. A file that is not in it, or was changed since,
//! is never touched.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Format, PublishError, PublishedFile};
use crate::domain::Digest;
use crate::workspace::atomic_write;

pub const MANIFEST: &str = "stratos-export.json";

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub dataset: Digest,
    /// Name → digests its bytes may have: one, or while files are being replaced the old one too.
    pub files: BTreeMap<String, Vec<Digest>>,
}

impl Manifest {
    pub(super) fn new(format: Format, dataset: &Digest, files: &[PublishedFile]) -> Self {
        let files = files.iter().map(|f| (f.name.clone(), vec![f.digest.clone()])).collect();
        Self { format: format.id().into(), dataset: dataset.clone(), files }
    }

    fn read(folder: &Path) -> Result<Option<Self>, PublishError> {
        let path = folder.join(MANIFEST);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| PublishError::NotOurs(path)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PublishError::Read { path, source }),
        }
    }

    fn store(&self, folder: &Path) -> Result<(), PublishError> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(atomic_write(&folder.join(MANIFEST), &bytes)?)
    }
}

/// Writes the files, each whole or not at all; a crash between two of them leaves a folder that the next export replaces.
pub(super) fn write(folder: &Path, manifest: &Manifest, contents: &[(String, Vec<u8>)]) -> Result<(), PublishError> {
    if folder.exists() && !folder.is_dir() {
        return Err(PublishError::NotAFolder(folder.to_owned()));
    }
    let made = std::fs::create_dir_all(folder);
    made.map_err(|e| crate::workspace::WorkspaceError::io("create", folder, e))?;
    let before = Manifest::read(folder)?.map(|m| m.files).unwrap_or_default();
    let touched = manifest.files.keys().chain(before.keys());
    for name in touched {
        let path = folder.join(name);
        if !is_plain(name) || !ours(&path, before.get(name).map(Vec::as_slice).unwrap_or_default())? {
            return Err(PublishError::NotOurs(path));
        }
    }
    let mut between = manifest.clone();
    for (name, digests) in &before {
        between.files.entry(name.clone()).or_default().extend(digests.iter().cloned());
    }
    between.store(folder)?;
    for (name, bytes) in contents {
        atomic_write(&folder.join(name), bytes)?;
    }
    for name in before.keys().filter(|name| !manifest.files.contains_key(*name)) {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(PublishError::Remove { path, source }),
            _ => {}
        }
    }
    manifest.store(folder)
}

/// A manifest is a file that anybody can write: its names stay in the folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\'])
}

/// Whether a file is missing or has bytes that an export wrote.
fn ours(path: &Path, digests: &[Digest]) -> Result<bool, PublishError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(digests.contains(&Digest::of(&bytes))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(PublishError::Read { path: path.to_owned(), source }),
    }
}
