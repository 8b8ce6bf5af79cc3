//! Phase 2: the recipe's article file and the imported articles become what the readers read.

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::selected_articles;
use crate::domain::{Article, Digest};

pub fn run(context: &mut JobContext) -> Result<PhaseEnd, Failure> {
    sync(context)?;
    let config = &context.workspace.config;
    let articles = selected_articles(context.ledger.articles()?, &config.select, config.seed);
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
    let name = context.workspace.recipe.data.articles.clone();
    let shipped: Vec<Article> = match context.workspace.data_text(&name)? {
        Some((text, origin)) => {
            serde_json::from_str(&text).map_err(|e| Failure::new(format!("{origin}: {e}"), "Mend the file and run again."))?
        }
        None => Vec::new(),
    };
    context.ledger.sync_articles(&shipped)?;
    Ok(())
}
