//! Importing files of profiles and of answers: read whole, proved, then stored in one step, so that a bad line stores
//! nothing. Articles, which may be many, are a job of their own.

pub(super) mod articles;

use std::collections::BTreeMap;
use std::path::Path;

use super::event::Event;
use super::job::Failure;
use super::wiring;
use crate::distill;
use crate::domain::{Profile, ProfileId, ProfileRow, UnixMillis};
use crate::workspace::{JsonRecords, Ledger, Origin, Upserted, Workspace, WorkspaceError};

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

/// Imports a result file that was fetched by hand. Its provider is tried by the teachers of `stratos.toml`.
pub fn answers(workspace: &Workspace, ledger: &mut Ledger, path: &Path, partial: bool, at: UnixMillis) -> Result<Event, Failure> {
    let raw = workspace.raw_store()?;
    let names = std::iter::once(None).chain(workspace.config.teachers.keys().map(|name| Some(name.as_str())));
    let mut teachers = Vec::new();
    for name in names {
        teachers.push(wiring::teacher_named(workspace, name)?);
    }
    let mut fits = 0;
    for (index, teacher) in teachers.iter().enumerate() {
        if distill::scan(ledger, teacher.as_ref(), path)?.is_some() {
            fits = index;
            break;
        }
    }
    let summary = distill::import_file(ledger, &raw, &workspace.recipe, teachers[fits].as_ref(), path, partial, at)?;
    let what = format!("answers ({} rejected)", summary.rejected);
    Ok(Event::Imported { what, added: summary.kept, updated: 0, unchanged: 0 })
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
