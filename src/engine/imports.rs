//! Importing files of profiles and articles: read whole, proved, then stored in one step, so that a bad line stores
//! nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::event::Event;
use crate::domain::{Article, Profile, ProfileId, ProfileRow};
use crate::workspace::{JsonRecords, Ledger, Origin, Upserted, WorkspaceError};

/// Imports articles (JSON lines or a JSON array). `limit`: at most so many, from the top.
pub fn articles(ledger: &mut Ledger, path: &Path, limit: Option<usize>) -> Result<Event, WorkspaceError> {
    let mut rows: Vec<Article> = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for record in JsonRecords::<Article>::open(path)?.take(limit.unwrap_or(usize::MAX)) {
        let (line, article) = record?;
        refuse_duplicate(path, &mut lines, article.id.as_str(), line)?;
        rows.push(article);
    }
    refuse_empty(path, rows.is_empty())?;
    let stored = ledger.put_articles(&rows, Origin::Imported)?;
    Ok(told("articles", stored))
}

/// Imports profiles. `only`: just these ids, if any are given.
pub fn profiles(ledger: &mut Ledger, path: &Path, only: &[ProfileId]) -> Result<Event, WorkspaceError> {
    let mut rows: Vec<Profile> = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for record in JsonRecords::<ProfileRow>::open(path)? {
        let (line, row) = record?;
        let remedy = "Mend or remove the line and import again; nothing was stored";
        let profile =
            row.into_profile().map_err(|e| WorkspaceError::Record { file: path.to_owned(), line, why: e.to_string(), remedy })?;
        refuse_duplicate(path, &mut lines, profile.id.as_str(), line)?;
        if only.is_empty() || only.contains(&profile.id) {
            rows.push(profile);
        }
    }
    if let Some(missing) = only.iter().find(|id| rows.iter().all(|p| p.id != **id)) {
        let why = format!("it has no profile '{missing}'; nothing was stored");
        return Err(WorkspaceError::File { file: path.to_owned(), why });
    }
    refuse_empty(path, rows.is_empty())?;
    let stored = ledger.put_profiles(&rows, Origin::Imported)?;
    Ok(told("profiles", stored))
}

fn told(what: &str, stored: Upserted) -> Event {
    Event::Imported { what: what.into(), added: stored.added, updated: stored.updated, unchanged: stored.unchanged }
}

fn refuse_duplicate(path: &Path, lines: &mut BTreeMap<String, usize>, id: &str, line: usize) -> Result<(), WorkspaceError> {
    match lines.insert(id.to_owned(), line) {
        None => Ok(()),
        Some(first) => Err(WorkspaceError::Record {
            file: path.to_owned(),
            line,
            why: format!("id '{id}' was already used on line {first}"),
            remedy: "Give each row its own id and import again; nothing was stored",
        }),
    }
}

fn refuse_empty(path: &Path, empty: bool) -> Result<(), WorkspaceError> {
    if !empty {
        return Ok(());
    }
    Err(WorkspaceError::File { file: path.to_owned(), why: "it holds no records; nothing was stored".into() })
}
