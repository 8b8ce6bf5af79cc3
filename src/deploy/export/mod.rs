//! Export: a trained student in the forms that others load, written tensor by tensor. Owns what lies where and the order of
//! the work; memory stays near one tensor, and what is not whole has another name. Whether an export answers as what was
//! trained is the gate's.

mod adapter;
mod building;
mod draft;
mod error;
mod forecast;
mod gguf;
mod merged;
mod numbers;
mod stream;
#[cfg(test)]
mod tests;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

pub use building::{Building, digest_of};
pub use error::ExportError;
pub use forecast::{Forecast, FormNeed, forecast};

use self::building::Sink;
use self::draft::{Draft, drafts};
use self::stream::{Progress, write_weights};
use super::{Form, Provenance};
use crate::domain::Digest;
use crate::student::effective::Effective;

/// One export as it lies in a release.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Piece {
    pub form: Form,
    /// Below the release's folder.
    pub path: String,
    pub bytes: u64,
    /// Of the file; of a folder, of its files' names and digests ([`digest_of`]).
    pub digest: Digest,
}

/// How far an export is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub form: Form,
    /// The tensor that is being written.
    pub tensor: String,
    /// Bytes written of all forms, and how many it will be.
    pub done: u64,
    pub of: u64,
}

/// Bytes and digest of what is whole; `None`: stopped.
type Whole = Option<(u64, Digest)>;

/// Writes a trained student below `to` in each of the forms. Refuses before it starts where disk or memory do not suffice.
/// `None`: it was stopped; whole forms stay, nothing else does.
pub fn export(
    trained: &Path,
    forms: &[Form],
    about: &Provenance,
    to: &Path,
    told: &mut dyn FnMut(&Told) -> ControlFlow<()>,
) -> Result<Option<Vec<Piece>>, ExportError> {
    let mut student = Effective::open(trained)?;
    let drafts = drafts(&student, forms, about)?;
    fs::create_dir_all(to).map_err(ExportError::io(to))?;
    forecast::of_drafts(&student, &drafts, to).check()?;
    student.checked_base()?;
    let mut progress = Progress::new(drafts.iter().map(Draft::bytes).sum(), told);
    let mut pieces = Vec::new();
    for draft in &drafts {
        match write(draft, &mut student, to, &mut progress)? {
            Some(piece) => pieces.push(piece),
            None => return Ok(None),
        }
    }
    Ok(Some(pieces))
}

fn write(draft: &Draft, student: &mut Effective, to: &Path, progress: &mut Progress) -> Result<Option<Piece>, ExportError> {
    let place = to.join(draft.form.place());
    let whole = match draft.form {
        Form::Gguf(_) => file(draft, student, &place, progress)?,
        Form::Adapter | Form::Merged => folder(draft, student, &place, progress)?,
    };
    Ok(whole.map(|(bytes, digest)| Piece { form: draft.form, path: draft.form.place(), bytes, digest }))
}

/// A GGUF, its text side beside it.
fn file(draft: &Draft, student: &mut Effective, place: &Path, progress: &mut Progress) -> Result<Whole, ExportError> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(ExportError::io(folder))?;
    for (name, bytes) in &draft.files {
        let building = Building::file(&folder.join(name))?;
        put(building.path(), bytes, progress)?;
        building.commit()?;
    }
    let building = Building::file(place)?;
    let mut sink = Sink::create(building.path())?;
    for weights in &draft.weights {
        if write_weights(weights, draft, student, &mut sink, progress)?.is_break() {
            return Ok(None);
        }
    }
    let whole = sink.finish()?;
    building.commit()?;
    Ok(Some(whole))
}

fn put(path: &Path, bytes: &[u8], progress: &mut Progress) -> Result<(), ExportError> {
    let mut sink = Sink::create(path)?;
    sink.write(bytes)?;
    progress.wrote(bytes.len() as u64);
    sink.finish().map(drop)
}

fn folder(draft: &Draft, student: &mut Effective, place: &Path, progress: &mut Progress) -> Result<Whole, ExportError> {
    let building = Building::folder(place)?;
    for (name, bytes) in &draft.files {
        put(&building.path().join(name), bytes, progress)?;
    }
    for weights in &draft.weights {
        let mut sink = Sink::create(&building.path().join(&weights.name))?;
        if write_weights(weights, draft, student, &mut sink, progress)?.is_break() {
            return Ok(None);
        }
        sink.finish()?;
    }
    let whole = digest_of(building.path())?;
    building.commit()?;
    Ok(Some(whole))
}
