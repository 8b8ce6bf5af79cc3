//! What an export will take: bytes on the disk, form by form, and memory. Refuses before it starts what would fail in the
//! middle.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ExportError;
use super::draft::{Draft, drafts};
use crate::deploy::{Form, Provenance};
use crate::student::effective::Effective;
use crate::workspace::free_bytes;

/// Left on the disk for everybody else.
const SPARE: u64 = 64 << 20;
/// Rows on their way to the file, and the program itself.
const WORK: u64 = 96 << 20;
/// What a tokenizer takes in memory, in sizes of its file.
const TOKENIZER: u64 = 24;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormNeed {
    pub form: Form,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    pub forms: Vec<FormNeed>,
    /// Of all forms.
    pub bytes: u64,
    pub at: PathBuf,
    /// Free on the disk of `at`; absent where the system does not say.
    pub free: Option<u64>,
    /// In memory at once: the largest tensor as it is kept, the adapter, the text side.
    pub memory: u64,
    pub memory_free: u64,
}

/// Of a trained student in some forms, below `at`. Reads headers only; provenance adds its own text (some hundred bytes).
pub fn forecast(trained: &Path, forms: &[Form], at: &Path) -> Result<Forecast, ExportError> {
    let student = Effective::open(trained)?;
    Ok(of_drafts(&student, &drafts(&student, forms, &Provenance::default())?, at))
}

pub(super) fn of_drafts(student: &Effective, drafts: &[Draft], at: &Path) -> Forecast {
    let forms: Vec<FormNeed> = drafts.iter().map(|d| FormNeed { form: d.form, bytes: d.bytes() }).collect();
    let files = drafts.iter().map(|d| d.files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    let text = files.max().unwrap_or(0);
    let headers: u64 = drafts.iter().flat_map(|d| &d.weights).map(|w| w.header.len() as u64).sum();
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    // A folder that is not there yet will be on the disk of the first that is.
    let disk = at.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let disk = if disk.as_os_str().is_empty() { Path::new(".") } else { disk };
    Forecast {
        bytes: forms.iter().map(|f| f.bytes).sum(),
        forms,
        at: at.to_owned(),
        free: free_bytes(disk),
        memory: student.memory() + TOKENIZER * text + headers + WORK,
        memory_free: system.available_memory(),
    }
}

impl Forecast {
    /// What does not fit is refused.
    pub fn check(&self) -> Result<(), ExportError> {
        let need = self.bytes.saturating_add(SPARE);
        match self.free {
            Some(free) if free < need => return Err(ExportError::Disk { at: self.at.clone(), need, free }),
            _ => {}
        }
        if self.memory_free > 0 && self.memory_free < self.memory {
            return Err(ExportError::Memory { need: self.memory, free: self.memory_free });
        }
        Ok(())
    }
}
