//! Phase 2: the recipe's article file and the imported articles become what the readers read.

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::selected_articles;
use crate::domain::{Article, Digest};
use crate::workspace::{Workspace, WorkspaceError};

pub fn run(context: &mut JobContext) -> Result<PhaseEnd, Failure> {
    sync(context)?;
    let config = &context.workspace.config;
    let articles = selected_articles(&context.ledger, &config.select, config.seed)?;
    if articles.is_empty() {
        return Err(Failure::new(
            "no article is selected",
            "Import some with 'stratos articles import FILE', or widen [select] in stratos.toml.",
        ));
    }
    Ok(PhaseEnd::Done { output: Digest::of_json(&articles), headline: format!("{} articles", articles.len()) })
}

/// Makes the stored shipped articles equal to the recipe's file.
pub fn sync(context: &mut JobContext) -> Result<(), Failure> {
    let shipped = shipped_articles(&context.workspace)?;
    context.ledger.sync_articles(&shipped)?;
    Ok(())
}

/// The recipe's articles: the workspace's file, else the one in the binary.
pub fn shipped_articles(workspace: &Workspace) -> Result<Vec<Article>, WorkspaceError> {
    let Some((text, origin)) = workspace.data_text(&workspace.recipe.data.articles)? else { return Ok(Vec::new()) };
    let wrong =
        |e: serde_json::Error| WorkspaceError::File { file: origin.into(), why: format!("{e}. Mend the file and run again") };
    serde_json::from_str(&text).map_err(wrong)
}
