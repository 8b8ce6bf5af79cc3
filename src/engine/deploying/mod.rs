//! Releases as jobs: made, held against the trained student, served, rolled back, cleared away.
//!
//! Owns the order of these steps and what the ledger remembers of them. What is compared is `deploy::parity`'s, forms and
//! servers are `deploy`'s.

pub(super) mod gate;
mod make;
mod rows;
mod serving;
mod stages;

pub(super) use make::make;
pub(super) use serving::{clear, find, go_live};

use crate::workspace::Workspace;

/// What a release is called in Ollama.
pub(super) fn ollama_model(workspace: &Workspace, release: &str) -> String {
    let name = workspace.config.deploy.name.as_deref().unwrap_or(&workspace.recipe.name);
    format!("{name}:{release}")
}
