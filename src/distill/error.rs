//! What can stop a distillation.

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
    #[error("a student prompt cannot be rendered: {0}")]
    Recipe(#[from] RecipeError),
    #[error("the teacher could not be read: {0}. Nothing was bought; run again")]
    Teacher(#[from] TeacherError),
    #[error("the provider refused the batch: {0}. Nothing was bought; mend the cause and run again")]
    Refused(String),
    #[error(
        "no clear answer to submission {submission}: {why}. It may have been made; run again to settle it before anything is sent"
    )]
    Unclear { submission: i64, why: String },
    #[error(
        "{found} batches at the provider could be submission {submission} ({requests} requests); settle it by hand before anything is sent"
    )]
    Ambiguous { submission: i64, requests: usize, found: usize },
    #[error(
        "batch {remote} brought {got} of {wanted} answers, three times; its bytes are kept and nothing was imported. Run again later"
    )]
    Incomplete { remote: String, got: usize, wanted: usize },
    #[error(
        "the next {requests} requests could bring the bill to {reached}, above the approved ceiling of {ceiling}; approve a higher ceiling to go on"
    )]
    Ceiling { requests: usize, reached: Usd, ceiling: Usd },
    #[error("the requests are no longer those that were approved ({0}); run again to plan anew")]
    Changed(String),
}
