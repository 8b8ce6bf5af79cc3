//! What can go wrong with a trainer of one's own stack, in words that say where and what next.

use std::path::{Path, PathBuf};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum ExternalError {
    #[error("{path}: {source}; check the path and the disk, then train again", path = .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("'{program}' cannot be started: {source}. Install it, or set train.external.command in stratos.toml")]
    Start { program: String, source: std::io::Error },
    #[error("nothing to train on: {train} rows and {eval} held-out rows; both must be at least 1")]
    NoExamples { train: usize, eval: usize },
    #[error(
        "method \"full\" is not trained elsewhere: an adapter comes back; set train.method to \"dora\" or \"lora\" in the recipe"
    )]
    Full,
    #[error("row '{id}' cannot be written for the trainer: {why}; build the dataset again")]
    Row { id: String, why: String },
    #[error(
        "{folder} holds checkpoints of another job (data, order, base or rules changed since); delete it, or train \
         into a new folder",
        folder = .folder.display()
    )]
    OtherJob { folder: PathBuf },
    #[error("the order names row '{id}', which is not in the training data; build the dataset again")]
    Order { id: String },
    #[error("the setting {name} is in the environment (guard T5): {why}. Unset it where you start the console, then train again")]
    Ruinous { name: String, why: String },
    #[error(
        "the trainer of an earlier console still runs (process {pid}, folder {folder}). Stop it with 'kill -TERM -- -{pid}' or \
         let it end, then train again", folder = .folder.display()
    )]
    Orphan { pid: u32, folder: PathBuf },
    #[error(
        "step {step}: the {what} is not a finite number (guard T5); the trainer was killed, {kept}; lower learning_rate or \
         clip_norm in the recipe",
        kept = kept_words(.last_good.as_deref())
    )]
    NotFinite { what: &'static str, step: u64, last_good: Option<PathBuf> },
    #[error("the trainer ended with {status}. Its last words:\n{tail}\n{next}", next = exit_remedy(tail, log))]
    Failed { status: String, tail: String, log: PathBuf },
    #[error("the adapter in {path} cannot be taken back: {why}; {remedy}", path = .path.display())]
    Adapter { path: PathBuf, why: String, remedy: &'static str },
}

fn kept_words(path: Option<&Path>) -> String {
    path.map_or_else(|| "no checkpoint was written before".into(), |p| format!("the last good checkpoint is {}", p.display()))
}

/// The usual reasons, told from the trainer's last words.
fn exit_remedy(tail: &str, log: &Path) -> String {
    let known = [
        ("No module named", "Install the missing Python package in the environment that train.external.command uses"),
        ("out of memory", "Lower micro_batch in the recipe, or free the GPU: a model server may hold its memory"),
        ("OutOfMemoryError", "Lower micro_batch in the recipe, or free the GPU: a model server may hold its memory"),
        ("No space left", "Free some disk space, then train again: it goes on from the last checkpoint"),
        ("HIP error", "Check HSA_OVERRIDE_GFX_VERSION in train.external.environment (docs/training-elsewhere.md)"),
    ];
    let advice = known.iter().find(|(sign, _)| tail.contains(sign)).map_or("Mend what it names, then train again", |(_, a)| *a);
    format!("{advice}. All its words are in {}", log.display())
}

impl ExternalError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
