//! `stratos-model.json`: what a pulled folder holds, and where it came from. Written as files arrive, so that an
//! interrupted pull knows what it has already proved.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::HubError;
use crate::domain::{Digest, UnixMillis};

pub const RECORD_FILE: &str = "stratos-model.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// As it was asked for: `owner/name[@revision]`.
    pub id: String,
    pub endpoint: String,
    /// The commit that the revision meant on that day.
    pub commit: String,
    pub pulled_at: UnixMillis,
    /// Whether all files are here and proved.
    pub complete: bool,
    /// The GGUF file that was asked for, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gguf: Option<String>,
    pub files: Vec<FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub name: String,
    pub bytes: u64,
    pub sha256: Digest,
    /// What the hub proved it by: "sha256", "size", or "length" where the hub named no size beforehand.
    pub proved_by: String,
    /// The hub's own name for these bytes, to see whether they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub_digest: Option<String>,
}

impl ModelRecord {
    /// The record of a folder; none if there is none or it cannot be read (then the pull proves everything again).
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(RECORD_FILE)).ok()?).ok()
    }

    pub fn file(&self, name: &str) -> Option<&FileRecord> {
        self.files.iter().find(|f| f.name == name)
    }

    /// Whether every file that the record names is still there with its size.
    pub fn is_whole(&self, folder: &Path) -> bool {
        self.complete && !self.files.is_empty() && self.files.iter().all(|f| f.is_there(folder))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), HubError> {
        let (path, temporary) = (folder.join(RECORD_FILE), folder.join(format!("{RECORD_FILE}.tmp")));
        // Plain scalars and lists always serialise.
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        let write = || -> std::io::Result<()> {
            fs::write(&temporary, text)?;
            fs::File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(HubError::io(&path))
    }
}

impl FileRecord {
    pub(super) fn is_there(&self, folder: &Path) -> bool {
        fs::metadata(folder.join(&self.name)).is_ok_and(|m| m.is_file() && m.len() == self.bytes)
    }
}
