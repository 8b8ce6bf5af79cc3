//! What can stop a distillation, and what to do then.

use thiserror::Error;

use crate::domain::{Usd, recipe::RecipeError};
use crate::teacher::{PriceError, TeacherError};
use crate::workspace::WorkspaceError;

#[derive(Debug, Error)]
pub enum DistillError {
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Price(#[from] PriceError),
    #[error("a prompt cannot be rendered: {0}")]
    Recipe(#[from] RecipeError),
    #[error("{0}")]
    Teacher(#[from] TeacherError),
    #[error("no teacher for {provider} {model}: {why}")]
    NoTeacher { provider: String, model: String, why: String },
    #[error(
        "the provider could not be reached {tries} times in a row: {why}. Batches go on there without us and nothing is lost; run again \
         when the network is back"
    )]
    Unreachable { tries: usize, why: String },
    #[error("the provider refused the batch: {why}. Nothing of it was made or billed; mend the cause and run again")]
    Refused { why: String },
    #[error(
        "{candidates} batches at the provider could be submission {submission} ({requests} requests): {ids}. Compare them with your \
         provider's console, then: stratos distill settle {submission} --adopt ID, or --none if it is none of them"
    )]
    Ambiguous { submission: i64, requests: usize, candidates: usize, ids: String },
    #[error(
        "batch {remote} of submission {submission} is no longer known to the provider, or its results are archived: {why}. If you have its \
         results as a file: stratos distill import FILE; otherwise: stratos distill settle {submission} --none"
    )]
    Gone { submission: i64, remote: String, why: String },
    #[error(
        "batch {remote} brought {got} of {wanted} answers, {times} times; every byte is kept in .stratos/raw and nothing was imported. Run \
         again later"
    )]
    Incomplete { remote: String, got: usize, wanted: usize, times: usize },
    #[error(
        "the ceiling of {ceiling} is reached: {spent} are spent, and the next request could cost {next}; {left} requests are left. Approve \
         a higher ceiling to go on: stratos distill approve {plan} --ceiling …"
    )]
    Ceiling { ceiling: Usd, spent: Usd, next: Usd, left: usize, plan: String },
    #[error("every one of {failed} requests failed at the provider: {why}. Nothing more is sent; mend the cause and run again")]
    AllFailed { failed: usize, why: String },
    #[error("{file}: {why}")]
    File { file: String, why: String },
}
