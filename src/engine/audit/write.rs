//! Verdicts written to a file, whole or not at all.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::AuditDesk;
use crate::audit::{ExportFormat, ExportRow, export};
use crate::domain::{Remedy, ReviewAct};
use crate::workspace::{Ledger, Workspace, WorkspaceError, atomic_write};

#[derive(Debug, Error)]
pub enum AuditExportError {
    #[error("{} has no ending that names a format; use .csv or .jsonl", .0.display())]
    Format(PathBuf),
    #[error("nothing was judged yet; there is nothing to write")]
    Empty,
    #[error("the verdicts cannot be written as JSON: {0}; report this with its text")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// Writes every reading that counts; gives how many. A relative path is one below the workspace.
pub(in super::super) fn write_verdicts(
    desk: &AuditDesk,
    workspace: &Workspace,
    ledger: &Ledger,
    path: &Path,
) -> Result<usize, AuditExportError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let format = ExportFormat::of_extension(extension).ok_or_else(|| AuditExportError::Format(path.to_owned()))?;
    let rows = desk.export_rows(workspace, ledger)?;
    if rows.is_empty() {
        return Err(AuditExportError::Empty);
    }
    let path = workspace.root().join(path);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| WorkspaceError::io("make", dir, e))?;
    }
    atomic_write(&path, export(&rows, format)?.as_bytes())?;
    Ok(rows.len())
}

impl AuditDesk {
    /// Every reading that counts, oldest first.
    fn export_rows(&self, workspace: &Workspace, ledger: &Ledger) -> Result<Vec<ExportRow>, WorkspaceError> {
        let bands = &workspace.recipe.bands;
        let row = |entry: &crate::domain::ReviewEntry| {
            let ReviewAct::Judged(reading) = &entry.act else { return Ok(None) };
            let subject = &entry.subject;
            let standing = self.book.standing(subject).filter(|s| s.entry == entry.id);
            let remedy = standing.and_then(|s| s.remedy());
            let (fixed_score, fixed_reason) = match remedy {
                Some(Remedy::Fix { score, reason, .. }) => (Some(*score), reason.clone()),
                _ => (None, String::new()),
            };
            Ok(Some(ExportRow {
                article: subject.pair.article.to_string(),
                profile: subject.pair.profile.to_string(),
                title: ledger.article(&subject.pair.article)?.map(|a| a.title).unwrap_or_default(),
                author: subject.author.id().into(),
                source: reading.source.clone(),
                trace: subject.trace.as_str().to_owned(),
                round: reading.round.id().into(),
                verdict: reading.verdict.id().into(),
                note: reading.note.clone(),
                score: reading.score,
                band: reading.score.map(|s| bands.name_of(s).to_owned()).unwrap_or_default(),
                remedy: remedy
                    .filter(|_| subject.author == crate::domain::Author::Teacher)
                    .map(Remedy::id)
                    .unwrap_or_default()
                    .into(),
                fixed_score,
                fixed_reason,
                spans: reading.spans.clone(),
                seconds: reading.seconds,
                drawn: reading.drawn.clone(),
                at: entry.at.0,
                stands: standing.is_some(),
            }))
        };
        self.book.live().iter().map(row).filter_map(Result::transpose).collect()
    }
}
