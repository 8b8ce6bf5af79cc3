//! What an export will be, to the byte, before a number is read: its small files, and the weight files' headers and tensors
//! in order. The forecast is its sum; the writer follows it.

use candle_core::quantized::GgmlDType;

use super::{ExportError, adapter, gguf, merged};
use crate::deploy::{Form, Provenance};
use crate::student::effective::{Effective, Place};

/// One form.
#[derive(Debug)]
pub(super) struct Draft {
    pub form: Form,
    /// Small files by name; beside a GGUF, its text side.
    pub files: Vec<(String, Vec<u8>)>,
    pub weights: Vec<WeightFile>,
}

/// One file of tensors.
#[derive(Debug)]
pub(super) struct WeightFile {
    pub name: String,
    /// Everything before the first tensor.
    pub header: Vec<u8>,
    pub tensors: Vec<Tensor>,
}

/// One tensor as it will lie in a file.
#[derive(Debug)]
pub(super) struct Tensor {
    pub source: Source,
    pub kind: GgmlDType,
    pub bytes: u64,
    /// Bytes of nothing after it.
    pub padding: usize,
}

/// Where a tensor's numbers come from.
#[derive(Debug)]
pub(super) enum Source {
    Student(Place),
    /// Rows in heads of so many, the two of a rotary pair put side by side, as llama.cpp reads Llama's.
    Paired(Place, usize),
    /// Numbers that follow from the shape.
    Given(&'static str, Vec<f32>),
}

impl Source {
    pub fn name(&self) -> &str {
        match self {
            Self::Student(place) | Self::Paired(place, _) => &place.name,
            Self::Given(name, _) => name,
        }
    }
}

impl Draft {
    pub fn bytes(&self) -> u64 {
        let files: u64 = self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        files + self.weights.iter().map(WeightFile::bytes).sum::<u64>()
    }
}

impl WeightFile {
    pub fn bytes(&self) -> u64 {
        self.header.len() as u64 + self.tensors.iter().map(|t| t.bytes + t.padding as u64).sum::<u64>()
    }
}

/// The drafts of some forms, each once.
pub(super) fn drafts(student: &Effective, forms: &[Form], about: &Provenance) -> Result<Vec<Draft>, ExportError> {
    let mut wanted = forms.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Err(ExportError::Nothing);
    }
    let mut words = None;
    let mut drafts = Vec::new();
    for form in wanted {
        drafts.push(match form {
            Form::Adapter => adapter::draft(student, about)?,
            Form::Merged => merged::draft(student, about)?,
            Form::Gguf(quant) => {
                // The text side is the same in all of them, and lies beside the first.
                let (files, words) = match &words {
                    Some(words) => (Vec::new(), words),
                    None => (merged::text_files(student)?, &*words.insert(gguf::words(student, form)?)),
                };
                Draft { form, files, weights: vec![gguf::draft(student, quant, words, about)?] }
            }
        });
    }
    Ok(drafts)
}
