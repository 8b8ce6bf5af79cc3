//! Views of tabs 1 and 2: readers and articles.

use std::collections::HashSet;

use super::super::phases::{Drawing, selected_profiles};
use super::super::snapshot::{ArticlesView, ProfileView};
use crate::domain::{Profile, ProfileId, lint, word_count};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

pub(super) fn profiles(workspace: &Workspace, ledger: &Ledger) -> Result<Vec<ProfileView>, WorkspaceError> {
    let stored = ledger.profiles()?;
    let selected: HashSet<ProfileId> =
        selected_profiles(stored.clone(), &workspace.config.select).into_iter().map(|p| p.id).collect();
    let view = |profile: Profile| {
        let rendered = workspace.renderer.system(&profile);
        let mut remarks = lint(&profile);
        let system_prompt = rendered.unwrap_or_else(|e| {
            remarks.push(e.to_string());
            String::new()
        });
        let prompt_words = word_count(&system_prompt);
        ProfileView { selected: selected.contains(&profile.id), system_prompt, prompt_words, remarks, profile }
    };
    Ok(stored.into_iter().map(|(p, _)| view(p)).collect())
}

pub(super) fn articles(workspace: &Workspace, ledger: &Ledger) -> Result<ArticlesView, WorkspaceError> {
    let mut drawing = Drawing::new(&workspace.config.select, workspace.config.seed);
    let mut total = 0;
    ledger.each_article_origin(|id, origin| {
        total += 1;
        drawing.see(id, origin);
    })?;
    Ok(ArticlesView { total, selected: drawing.count() })
}
