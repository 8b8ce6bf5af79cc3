//! What is asked: a pair as a prompt, rendered as in training, and the sanity articles of the recipe.

use super::super::job::Failure;
use crate::domain::{Article, PairKey, Profile, Renderer, SourceType};
use crate::student::Prompt;
use crate::workspace::{Ledger, Workspace};

/// A pair to ask about.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Question {
    pub pair: PairKey,
    pub prompt: Prompt,
}

/// The question about one pair, rendered as in training.
pub(in crate::engine) fn question(workspace: &Workspace, profile: &Profile, article: &Article) -> Result<Question, Failure> {
    rendered(&workspace.renderer, profile, article)
}

/// The same by the templates of any recipe.
pub(in crate::engine) fn rendered(renderer: &Renderer, profile: &Profile, article: &Article) -> Result<Question, Failure> {
    let pair = PairKey { article: article.id.clone(), profile: profile.id.clone() };
    let messages = renderer.student(profile, article)?.messages();
    Ok(Question { prompt: Prompt { id: format!("{}|{}", pair.article, pair.profile), messages }, pair })
}

/// The recipe's sanity articles for the readers that are here. `table_only`: without the single cells.
pub(in crate::engine) fn sanity_questions(
    workspace: &Workspace,
    ledger: &Ledger,
    table_only: bool,
) -> Result<Vec<Question>, Failure> {
    let profiles: Vec<Profile> = ledger.profiles()?.into_iter().map(|(p, _)| p).collect();
    let mut questions = Vec::new();
    for (article, reader) in sanity_cells(workspace, table_only)? {
        if let Some(profile) = profiles.iter().find(|p| p.id.as_str() == reader) {
            questions.push(question(workspace, profile, &article)?);
        }
    }
    Ok(questions)
}

/// (article, reader) of each sanity cell. An article's id is the digest of its text.
pub(in crate::engine) fn sanity_cells(workspace: &Workspace, table_only: bool) -> Result<Vec<(Article, String)>, Failure> {
    let sanity = &workspace.recipe.sanity;
    let mut cells = Vec::new();
    for row in &sanity.articles {
        let article = adhoc_article(&row.title, &row.summary, &row.source, row.source_type)?;
        cells.extend(row.expect.iter().map(|e| (article.clone(), e.profile.clone())));
    }
    for cell in sanity.cells.iter().filter(|_| !table_only) {
        let article = adhoc_article(&cell.title, &cell.summary, &cell.source, cell.source_type)?;
        cells.push((article, cell.expect.profile.clone()));
    }
    Ok(cells)
}

/// An article that is in no file.
pub(in crate::engine) fn adhoc_article(
    title: &str,
    summary: &str,
    source: &str,
    source_type: SourceType,
) -> Result<Article, Failure> {
    let row = serde_json::json!({"title": title, "summary": summary, "source": source, "source_type": source_type});
    serde_json::from_value(row).map_err(Failure::from)
}
