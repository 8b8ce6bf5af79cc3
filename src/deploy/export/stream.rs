//! The numbers of a weight file on their way: read tensor by tensor, turned into the file's kind block of rows by block of
//! rows on all cores, written in order.

use std::ops::ControlFlow;

use rayon::prelude::*;

use super::building::Sink;
use super::draft::{Draft, Source, Tensor, WeightFile};
use super::numbers::encode;
use super::{ExportError, Told};
use crate::deploy::Form;
use crate::student::adapter::Merged;
use crate::student::effective::{Effective, Place};

/// Numbers of one task.
const TASK: usize = 1 << 16;
/// Tasks between two writes.
const TASKS: usize = 16;

/// How far all forms together are.
pub(super) struct Progress<'a> {
    done: u64,
    of: u64,
    told: &'a mut dyn FnMut(&Told) -> ControlFlow<()>,
}

impl<'a> Progress<'a> {
    pub fn new(of: u64, told: &'a mut dyn FnMut(&Told) -> ControlFlow<()>) -> Self {
        Self { done: 0, of, told }
    }

    pub fn wrote(&mut self, bytes: u64) {
        self.done += bytes;
    }

    fn tell(&mut self, form: Form, tensor: &str) -> ControlFlow<()> {
        (self.told)(&Told { form, tensor: tensor.to_owned(), done: self.done, of: self.of })
    }
}

/// Writes one weight file as it was drafted; `Break`: the operator stopped it.
pub(super) fn write_weights(
    file: &WeightFile,
    draft: &Draft,
    student: &mut Effective,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<ControlFlow<()>, ExportError> {
    sink.write(&file.header)?;
    progress.wrote(file.header.len() as u64);
    // Converters to GGUF add what norms of a family are stored less.
    let offset = if let Form::Gguf(_) = draft.form { 0.0 } else { student.config.norm_offset() };
    for tensor in &file.tensors {
        if progress.tell(draft.form, tensor.source.name()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let numbers = match &tensor.source {
            Source::Given(_, numbers) => Some(numbers.clone()),
            Source::Student(place) if place.shape.len() == 1 => Some(student.vector(place, offset)?),
            Source::Paired(place, _) if place.shape.len() == 1 => Some(student.vector(place, offset)?),
            _ => None,
        };
        let flow = match (&tensor.source, numbers) {
            (source, Some(numbers)) => {
                let bytes = encode(tensor.kind, &numbers).map_err(|why| ExportError::numbers(source.name(), why))?;
                sink.write(&bytes)?;
                progress.wrote(bytes.len() as u64);
                ControlFlow::Continue(())
            }
            (Source::Student(place) | Source::Paired(place, _), None) => {
                let heads = if let Source::Paired(_, head) = tensor.source { head } else { 1 };
                matrix(&student.matrix(place)?, place, tensor, heads, draft.form, sink, progress)?
            }
            (Source::Given(..), None) => ControlFlow::Continue(()),
        };
        if flow.is_break() {
            return Ok(flow);
        }
        sink.write(&vec![0; tensor.padding])?;
        progress.wrote(tensor.padding as u64);
    }
    Ok(ControlFlow::Continue(()))
}

fn matrix(
    numbers: &Merged,
    place: &Place,
    tensor: &Tensor,
    head: usize,
    form: Form,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<ControlFlow<()>, ExportError> {
    let (out, inner) = (numbers.out(), numbers.inner());
    // Whole heads, so that each task has its pairs together.
    let rows = (TASK / inner.max(1)).max(1).next_multiple_of(head);
    for group in (0..out).step_by(rows * TASKS) {
        let tasks: Vec<usize> = (group..out.min(group + rows * TASKS)).step_by(rows).collect();
        let written: Result<Vec<Vec<u8>>, &'static str> = tasks
            .into_par_iter()
            .map(|from| {
                let mut wide = vec![0.0; (out.min(from + rows) - from) * inner];
                numbers.rows(from, &mut wide);
                if head > 1 {
                    wide = pairs_together(&wide, head, inner);
                }
                encode(tensor.kind, &wide)
            })
            .collect();
        for bytes in written.map_err(|why| ExportError::numbers(&place.name, why))? {
            sink.write(&bytes)?;
            progress.wrote(bytes.len() as u64);
        }
        if progress.tell(form, &place.name).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The decoder has a head's first halves, then its second ones; llama.cpp wants the two of a pair side by side.
fn pairs_together(rows: &[f32], head: usize, inner: usize) -> Vec<f32> {
    let row = |n: usize| &rows[n * inner..(n + 1) * inner];
    let of_head = |first: usize| (0..head).map(move |n| first + n % 2 * (head / 2) + n / 2);
    (0..rows.len() / inner).step_by(head).flat_map(of_head).flat_map(row).copied().collect()
}
