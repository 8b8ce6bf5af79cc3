//! Stored evaluation runs compared with each other. Owns fetching them and what they are about; finding one by its name is
//! `evaluation`'s, what a comparison says `evaluate`'s.

use std::collections::HashMap;

use thiserror::Error;

use super::evaluation::{RunError, find};
use crate::evaluate::{Ground, Run, RunComparison, RunsError, compare_runs};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// Why runs could not be compared.
#[derive(Debug, Error)]
pub enum CompareRunsError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Runs(#[from] RunsError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// Compares the first named run with each of the others.
pub fn compare_stored(workspace: &Workspace, names: &[String], across_runtimes: bool) -> Result<RunComparison, CompareRunsError> {
    compare_in(workspace, &workspace.ledger()?, names, across_runtimes)
}

/// The same from a ledger that is open already.
pub(super) fn compare_in(
    workspace: &Workspace,
    ledger: &Ledger,
    names: &[String],
    across_runtimes: bool,
) -> Result<RunComparison, CompareRunsError> {
    let mut runs = Vec::with_capacity(names.len());
    for name in names {
        let (digest, evaluation) = find(ledger, name)?;
        runs.push(Run { digest, ..Run::from(&evaluation) });
    }
    let titles: HashMap<String, String> = ledger.articles()?.into_iter().map(|(a, _)| (a.id.to_string(), a.title)).collect();
    let recipe = &workspace.recipe;
    let ground = Ground {
        bands: &recipe.bands,
        scale: &recipe.scale,
        seed: workspace.config.seed,
        across_runtimes,
        title: &|article| titles.get(article).cloned(),
    };
    Ok(compare_runs(&runs, &ground)?)
}
