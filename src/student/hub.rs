//! The hub: a model by name (`owner/name[@revision]`) becomes a local folder.
//!
//! Owns which files are pulled, resuming, proving them, and the folder's record. Does not own what the files mean
//! (`student`'s readers) or where the cache is (the caller). A pulled folder is used without the network.
//!
//! Written on the `reqwest` we have instead of the crate `hf-hub` 1.0: that one always brings `hf-xet` and reqwest's default
//! TLS (a second crypto library, built with C and cmake), and it neither resumes a file nor checks its sum.

mod error;
mod fetch;
mod id;
mod listing;
mod record;
mod wire;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::HubError;
pub use id::HubId;
pub use record::{FileRecord, ModelRecord, RECORD_FILE};
use secrecy::SecretString;

use crate::domain::{Gate, UnixMillis};
use fetch::{Fetch, part_bytes};
use listing::{Listing, Sibling};
use wire::Wire;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// Left free on the disk besides what is pulled.
const SLACK: u64 = 64 << 20;

/// A hub to pull from. Connects at the first call.
pub struct Hub {
    wire: Wire,
}

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// A GGUF file by its name or a part of it; absent: the safetensors files.
    pub gguf: Option<String>,
    /// Ask whether the revision means another commit by now, even if the folder is complete.
    pub refresh: bool,
    /// Broken connections in a row after which a pull gives up.
    pub attempts: u32,
    /// Wait before the second attempt; longer before each further one.
    pub pause: Duration,
    pub now: UnixMillis,
    /// Free bytes on the disk that holds a folder.
    pub free_bytes: fn(&Path) -> Option<u64>,
}

impl PullOptions {
    pub fn new(now: UnixMillis, free_bytes: fn(&Path) -> Option<u64>) -> Self {
        Self { gguf: None, refresh: false, attempts: 5, pause: Duration::from_secs(1), now, free_bytes }
    }
}

/// Told while bytes arrive. Totals grow where the hub names no sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress<'a> {
    pub file: &'a str,
    pub file_done: u64,
    pub file_total: Option<u64>,
    /// Of the whole pull, what was here before included.
    pub done: u64,
    pub total: u64,
}

/// A complete model on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What `student.base` may name: the folder, or the GGUF file in it.
    pub base: PathBuf,
    pub folder: PathBuf,
    pub record: ModelRecord,
    /// Bytes that came over the network this time.
    pub downloaded: u64,
}

impl Hub {
    /// `endpoint`: the hub's address; `token` goes to that host only.
    pub fn new(endpoint: &str, token: Option<SecretString>) -> Result<Self, HubError> {
        Ok(Self { wire: Wire::new(endpoint, token)? })
    }

    /// The hub of `HF_ENDPOINT` (a mirror) or the public one, with the token in `HF_TOKEN`, if there is one.
    pub fn from_env() -> Result<Self, HubError> {
        let read = |name| std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let endpoint = read("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.into());
        Self::new(&endpoint, read("HF_TOKEN").map(SecretString::from))
    }

    /// Pulls a model below `cache`. What is complete is not asked for again; what was interrupted goes on.
    pub async fn pull(
        &self,
        id: &HubId,
        cache: &Path,
        options: &PullOptions,
        progress: &mut (dyn FnMut(PullProgress<'_>) -> Gate + Send),
    ) -> Result<Pulled, HubError> {
        let folder = cache.join(id.folder_name());
        let old = ModelRecord::read(&folder);
        if let Some(record) = old.clone().filter(|r| !options.refresh && r.serves(options.gguf.as_deref(), &folder)) {
            return Ok(pulled(folder, record, options, 0));
        }
        fs::create_dir_all(&folder).map_err(HubError::io(&folder))?;
        let _lock = lock(&folder)?;
        let listing = self.listing(id).await?;
        let wanted = listing.select(&id.to_string(), options.gguf.as_deref())?;
        let mut record = self.record(id, &listing, &wanted, old, options, &folder)?;
        let missing: Vec<Sibling> = wanted.iter().filter(|s| record.file(&s.name).is_none()).cloned().collect();
        let here: u64 = record.files.iter().filter(|f| wanted.iter().any(|s| s.name == f.name)).map(|f| f.bytes).sum();
        let begun: u64 = missing.iter().map(|s| part_bytes(&folder, s)).sum();
        let all: u64 = missing.iter().filter_map(Sibling::bytes).sum();
        has_space(&folder, all.saturating_sub(begun), options)?;
        let fetch = Fetch {
            wire: &self.wire,
            folder: &folder,
            id: id.to_string(),
            page: id.repository(),
            attempts: options.attempts,
            pause: options.pause,
        };
        let mut done = here;
        for file in &missing {
            let url = self.file_url(id, &listing.sha, &file.name);
            let mut tell = |got: u64, size: Option<u64>| {
                let total = (here + all).max(done + got);
                progress(PullProgress { file: &file.name, file_done: got, file_total: size, done: done + got, total })
            };
            let proved = fetch.file(file, &url, &mut tell).await?;
            done += proved.bytes;
            record.files.push(proved);
            record.write(&folder)?;
        }
        record.complete = true;
        record.files.sort_by(|a, b| a.name.cmp(&b.name));
        record.write(&folder)?;
        Ok(pulled(folder, record, options, (done - here).saturating_sub(begun)))
    }

    /// [`Hub::pull`] for a thread without a runtime.
    pub fn pull_blocking(
        &self,
        id: &HubId,
        cache: &Path,
        options: &PullOptions,
        progress: &mut (dyn FnMut(PullProgress<'_>) -> Gate + Send),
    ) -> Result<Pulled, HubError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HubError::io(cache))?;
        runtime.block_on(self.pull(id, cache, options, progress))
    }

    async fn listing(&self, id: &HubId) -> Result<Listing, HubError> {
        let (asked, repository) = (id.to_string(), id.repository());
        let (owner, name) = repository.split_once('/').unwrap_or_default();
        let mut url = self.wire.url(&["api", "models", owner, name, "revision", id.revision()]);
        url.set_query(Some("blobs=true"));
        let body = self.wire.listing(&asked, &repository, url).await?;
        Listing::read(&asked, &self.wire.host(), &body)
    }

    /// By commit, so that all files are of one moment.
    fn file_url(&self, id: &HubId, commit: &str, file: &str) -> reqwest::Url {
        let repository = id.repository();
        let parts: Vec<&str> = repository.split('/').chain(["resolve", commit]).chain(file.split('/')).collect();
        self.wire.url(&parts)
    }

    /// The record to go on with: what an earlier pull proved and the hub has not changed since.
    fn record(
        &self,
        id: &HubId,
        listing: &Listing,
        wanted: &[Sibling],
        old: Option<ModelRecord>,
        options: &PullOptions,
        folder: &Path,
    ) -> Result<ModelRecord, HubError> {
        let old_commit = old.as_ref().map(|r| r.commit.clone());
        let mut files = old.map(|r| r.files).unwrap_or_default();
        let listed = |name: &str| listing.siblings.iter().find(|s| s.name == name);
        let is_same = |file: &FileRecord, now: &Sibling| match (&file.hub_digest, now.hub_digest()) {
            (Some(then), Some(now)) => *then == now,
            _ => old_commit.as_ref() == Some(&listing.sha),
        };
        files.retain(|file| {
            let kept = listed(&file.name).is_some_and(|now| is_same(file, now)) && file.is_there(folder);
            // A file that the revision no longer has would be read with the new ones.
            if !kept && id::is_safe_name(&file.name) && !wanted.iter().any(|s| s.name == file.name) {
                let _ = fs::remove_file(folder.join(&file.name));
            }
            kept
        });
        let gguf = options.gguf.as_ref().and_then(|_| wanted.iter().find(|s| listing::is_gguf(&s.name))).map(|s| s.name.clone());
        let (endpoint, commit) = (self.wire.host(), listing.sha.clone());
        let record = ModelRecord { id: id.to_string(), endpoint, commit, pulled_at: options.now, complete: false, gguf, files };
        record.write(folder)?;
        Ok(record)
    }
}

impl ModelRecord {
    /// Whether the folder holds what is asked for, so that the hub need not be asked.
    fn serves(&self, gguf: Option<&str>, folder: &Path) -> bool {
        let same = match (gguf, &self.gguf) {
            (None, None) => true,
            (Some(part), Some(name)) => name.to_ascii_lowercase().contains(&part.to_ascii_lowercase()),
            _ => false,
        };
        same && self.is_whole(folder)
    }
}

fn pulled(folder: PathBuf, record: ModelRecord, options: &PullOptions, downloaded: u64) -> Pulled {
    let base = match record.gguf.as_ref().filter(|_| options.gguf.is_some()) {
        Some(name) => folder.join(name),
        None => folder.clone(),
    };
    Pulled { base, folder, record, downloaded }
}

fn has_space(folder: &Path, need: u64, options: &PullOptions) -> Result<(), HubError> {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match (options.free_bytes)(folder) {
        Some(free) if need > 0 && free < need + SLACK => {
            Err(HubError::NoSpace { folder: folder.to_owned(), need: mib(need), free: mib(free) })
        }
        _ => Ok(()),
    }
}

/// One pull of a folder at a time; the lock falls with the file's handle, also after a crash.
fn lock(folder: &Path) -> Result<File, HubError> {
    let path = folder.join(".pull.lock");
    let file = File::create(&path).map_err(HubError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(HubError::Busy { folder: folder.to_owned() }),
        Err(fs::TryLockError::Error(e)) => Err(HubError::io(&path)(e)),
    }
}
