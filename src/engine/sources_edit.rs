//! Changing readers and articles by hand.
//!
//! Owns where a change is kept: what the recipe ships is changed in the workspace's own `data/` file, which from then on
//! stands for the shipped one; what was imported is changed in the ledger. Both are proved before anything is written.

use crate::domain::{Article, ArticleId, Profile, ProfileId, SourceType};
use crate::workspace::{Ledger, Origin, Workspace, WorkspaceError, atomic_write};

use super::phases::{shipped_articles, shipped_profiles};

/// Stores a reader: a new one, or another text of one that is there.
pub fn save_profile(workspace: &Workspace, ledger: &mut Ledger, profile: &Profile) -> Result<(), WorkspaceError> {
    let mut shipped = shipped_profiles(workspace)?;
    match shipped.iter_mut().find(|other| other.id == profile.id) {
        Some(row) => {
            *row = profile.clone();
            write_profiles(workspace, ledger, &shipped)
        }
        None => ledger.put_profiles(std::slice::from_ref(profile), Origin::Imported).map(|_| ()),
    }
}

/// Takes a reader away and gives it back; `None`: there is none of that id.
pub fn remove_profile(workspace: &Workspace, ledger: &mut Ledger, id: &ProfileId) -> Result<Option<Profile>, WorkspaceError> {
    let Some((profile, _)) = ledger.profiles()?.into_iter().find(|(profile, _)| profile.id == *id) else { return Ok(None) };
    let mut shipped = shipped_profiles(workspace)?;
    let before = shipped.len();
    shipped.retain(|other| other.id != *id);
    if shipped.len() < before {
        write_profiles(workspace, ledger, &shipped)?;
    }
    ledger.remove_profile(id)?;
    Ok(Some(profile))
}

fn write_profiles(workspace: &Workspace, ledger: &mut Ledger, profiles: &[Profile]) -> Result<(), WorkspaceError> {
    write_data(workspace, &workspace.recipe.data.profiles, profiles)?;
    ledger.sync_profiles(profiles).map(|_| ())
}

/// Gives articles another source type; those that are not stored are left out. How many changed.
pub fn set_source_type(
    workspace: &Workspace,
    ledger: &mut Ledger,
    ids: &[ArticleId],
    kind: SourceType,
) -> Result<usize, WorkspaceError> {
    let mut shipped = shipped_articles(workspace)?;
    let (mut of_file, mut imported) = (0, Vec::new());
    for id in ids {
        if let Some(row) = shipped.iter_mut().find(|row| row.id == *id) {
            of_file += usize::from(row.source_type != kind);
            row.source_type = kind;
        } else if let Some(article) = ledger.article(id)?.filter(|article| article.source_type != kind) {
            imported.push(Article { source_type: kind, ..article });
        }
    }
    if of_file > 0 {
        write_data(workspace, &workspace.recipe.data.articles, &shipped)?;
        ledger.sync_articles(&shipped)?;
    }
    if !imported.is_empty() {
        ledger.update_articles(&imported)?;
    }
    Ok(of_file + imported.len())
}

fn write_data<T: serde::Serialize>(workspace: &Workspace, name: &str, rows: &[T]) -> Result<(), WorkspaceError> {
    let path = workspace.data_file(name);
    let text = serde_json::to_string_pretty(rows).unwrap_or_default();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| WorkspaceError::io("create", folder, e))?;
    }
    atomic_write(&path, format!("{text}\n").as_bytes())
}
