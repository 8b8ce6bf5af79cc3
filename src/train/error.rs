//! What can go wrong while training, in words that say where and what next.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::student::StudentError;

#[derive(Debug, Error)]
pub enum TrainError {
    #[error("{path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {why}; delete this checkpoint to go on from an older one", path = .path.display())]
    Checkpoint { path: PathBuf, why: String },
    #[error(
        "{path} belongs to another run (recipe, seed, data or order changed since); train into a new folder or delete it",
        path = .path.display()
    )]
    OtherJob { path: PathBuf },
    #[error("{path}, line {line}: {why}", path = .path.display())]
    Rows { path: PathBuf, line: usize, why: String },
    #[error("nothing to train on: {train} optimizer steps and {eval} held-out examples; both must be at least 1")]
    NoExamples { train: usize, eval: usize },
    #[error("the order names example {index}, but there are only {examples}; build the dataset again")]
    Order { index: u32, examples: usize },
    #[error("step {step}: the {what} is {value} (guard T5); {hint}", hint = resume_hint(.last_good.as_ref()))]
    NotFinite { what: &'static str, value: f64, step: u64, last_good: Option<PathBuf> },
    #[error("no gradient reaches {} (guard T13); training would leave them untouched: a defect in the decoder", .names.join(", "))]
    NoGradient { names: Vec<String> },
    #[error(transparent)]
    Student(#[from] StudentError),
}

fn resume_hint(last_good: Option<&PathBuf>) -> String {
    let lower = "lower learning_rate or clip_norm in the recipe";
    match last_good {
        Some(path) => format!("the last good checkpoint is {}; {lower}", path.display()),
        None => format!("no checkpoint was written yet; {lower}"),
    }
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Student(error.into())
    }
}

impl TrainError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(super) fn checkpoint(path: &Path, why: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.to_owned(), why: why.into() }
    }
}
