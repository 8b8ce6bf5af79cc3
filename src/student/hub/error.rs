//! What can go wrong with a pull, in words that say what was asked, of which host, and what next.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// How to do without the network.
const BY_HAND: &str = "To go on offline, copy the model's folder here by hand and set student.base to its path";

#[derive(Debug, Error)]
pub enum HubError {
    #[error("'{text}' is no hub id; write owner/name or owner/name@revision, such as Qwen/Qwen3-0.6B")]
    Id { text: String },
    #[error("the hub's address '{shown}' cannot be used: {why}; set HF_ENDPOINT to one such as https://huggingface.co")]
    Endpoint { shown: String, why: String },
    #[error("{asked}: cannot reach {host}: {why}. Check the network, or set HF_ENDPOINT to a mirror. {BY_HAND}")]
    Unreachable { asked: String, host: String, why: String },
    #[error(
        "{asked}: {host} does not know it{detail}. Check the spelling of owner, name and revision; a private model looks \
         the same without HF_TOKEN. {BY_HAND}"
    )]
    NotFound { asked: String, host: String, detail: String },
    #[error("{asked}: {host} refuses it ({status}{detail}). {remedy}. {BY_HAND}", remedy = refused(*.had_token, page))]
    Refused { asked: String, host: String, status: u16, detail: String, had_token: bool, page: String },
    #[error("{asked}: {host} answered {status}{detail}. What has come is kept; pull again later. {BY_HAND}")]
    Status { asked: String, host: String, status: u16, detail: String },
    #[error("{asked}: the reply of {host} cannot be used: {why}. Is HF_ENDPOINT a hub? {BY_HAND}")]
    Reply { asked: String, host: String, why: String },
    #[error("{asked}: {host} sends us on to '{to}': {why}. Nothing was sent there; report it to whoever runs {host}")]
    Redirect { asked: String, host: String, to: String, why: String },
    #[error(
        "{asked}: the repository names a file '{name}', which would leave the model's folder. Nothing was written; do not \
         trust this repository"
    )]
    FileName { asked: String, name: String },
    #[error("{asked}: {why}; {remedy}")]
    Selection { asked: String, why: String, remedy: String },
    #[error(
        "{need} MiB are still to come, but only {free} MiB are free in {folder}. Free some disk space and pull again; nothing \
         was begun", folder = .folder.display()
    )]
    NoSpace { folder: PathBuf, need: u64, free: u64 },
    #[error(
        "{asked}: the connection broke {times} times, the last time after {got} bytes: {why}. What has come is kept; \
         pull again to go on from there"
    )]
    Cut { asked: String, times: u32, got: u64, why: String },
    #[error(
        "{asked}: the {what} is {is}, the hub promised {promised}. The file was thrown away; pull again, or try without a mirror"
    )]
    Wrong { asked: String, what: &'static str, is: String, promised: String },
    #[error("{folder}: another pull of this model is under way; wait for it", folder = .folder.display())]
    Busy { folder: PathBuf },
    #[error("stopped after {got} bytes of {asked}; pull again to go on from there")]
    Stopped { asked: String, got: u64 },
    #[error("{path}: {source}. {remedy}", path = .path.display(), remedy = file_remedy(source))]
    Io { path: PathBuf, source: std::io::Error },
}

fn refused(had_token: bool, page: &str) -> String {
    if had_token {
        format!("If it is gated, accept its conditions at {page} with the account of HF_TOKEN; else check that token")
    } else {
        format!("It is gated, private or not there: accept its conditions at {page}, then set HF_TOKEN to a read token")
    }
}

fn file_remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "The disk is full: free some space, then pull again to go on from there"
        }
        std::io::ErrorKind::PermissionDenied => "Make the folder writable, then pull again",
        _ => "Check the path and the disk, then pull again",
    }
}

impl HubError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
