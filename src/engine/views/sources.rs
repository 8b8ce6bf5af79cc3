//! Views of tabs 1 and 2: readers and articles.

use std::collections::{BTreeMap, HashSet};

use super::super::phases::{current_traces, selected_articles, selected_profiles};
use super::super::snapshot::{ArticlesView, ProfileView};
use super::super::state::Standing;
use crate::domain::{ArticleId, Profile, ProfileId, word_count};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

pub(super) fn profiles(workspace: &Workspace, ledger: &Ledger) -> Result<Vec<ProfileView>, WorkspaceError> {
    let stored = ledger.profiles()?;
    let selected: HashSet<ProfileId> =
        selected_profiles(stored.clone(), &workspace.config.select).into_iter().map(|p| p.id).collect();
    let view = |profile: Profile| {
        let rendered = workspace.renderer.system(&profile);
        let mut remarks = remarks(&profile);
        let system_prompt = rendered.unwrap_or_else(|e| {
            remarks.push(e.to_string());
            String::new()
        });
        let prompt_words = word_count(&system_prompt);
        ProfileView { selected: selected.contains(&profile.id), system_prompt, prompt_words, remarks, profile }
    };
    Ok(stored.into_iter().map(|(p, _)| view(p)).collect())
}

/// What an operator would want to know before paying for questions about this reader.
fn remarks(profile: &Profile) -> Vec<String> {
    let mut remarks = Vec::new();
    if profile.context.is_empty() {
        remarks.push("no context: the teacher knows only the role".into());
    }
    if profile.interests.is_empty() && profile.tracked.is_empty() {
        remarks.push("neither tracked names nor interests: nothing can match".into());
    }
    remarks
}

pub(super) fn articles(workspace: &Workspace, ledger: &Ledger, standings: &[Standing]) -> Result<ArticlesView, WorkspaceError> {
    let stored = ledger.articles()?;
    let config = &workspace.config;
    let mut rows = selected_articles(stored.clone(), &config.select, config.seed);
    let selected = rows.len();
    let taken: HashSet<ArticleId> = rows.iter().map(|a| a.id.clone()).collect();
    rows.extend(stored.into_iter().map(|(a, _)| a).filter(|a| !taken.contains(&a.id)));
    let readers: Vec<ProfileId> = selected_profiles(ledger.profiles()?, &config.select).into_iter().map(|p| p.id).collect();
    let mut by_article: BTreeMap<ArticleId, Vec<(ProfileId, f64)>> = BTreeMap::new();
    for stored in current_traces(workspace, ledger, standings)? {
        let pair = stored.trace.pair;
        by_article.entry(pair.article).or_default().push((pair.profile, stored.trace.answer.score));
    }
    let scores = rows.iter().map(|a| by_article.remove(&a.id).unwrap_or_default()).collect();
    Ok(ArticlesView { rows, selected, scores, readers })
}
