//! All numbers that learn in one stretch of memory, by name: weights in training, their gradients, their moments.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::StudentError;

/// Where each tensor lies, in the order of names.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    entries: BTreeMap<String, (Range<usize>, Vec<usize>)>,
    total: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    places: Arc<Places>,
    numbers: Vec<f32>,
}

impl Parameters {
    /// Zeros of these shapes.
    pub fn zeros(shapes: BTreeMap<String, Vec<usize>>) -> Self {
        let mut total = 0;
        let place = |(name, shape): (String, Vec<usize>)| {
            let from = total;
            total += shape.iter().product::<usize>();
            (name, (from..total, shape))
        };
        let entries = shapes.into_iter().map(place).collect();
        Self { places: Arc::new(Places { entries, total }), numbers: vec![0.0; total] }
    }

    /// Zeros of the same shape.
    #[must_use]
    pub fn like(&self) -> Self {
        Self { places: Arc::clone(&self.places), numbers: vec![0.0; self.places.total] }
    }

    /// From the bytes of a safetensors file that holds at least these tensors.
    pub fn from_safetensors(shapes: BTreeMap<String, Vec<usize>>, bytes: &[u8]) -> Result<Self, StudentError> {
        let mut all = Self::zeros(shapes);
        let file = SafeTensors::deserialize(bytes).map_err(|e| StudentError::Config(format!("not a safetensors file: {e}")))?;
        for (name, (range, shape)) in &all.places.entries {
            let wrong = |why: String| StudentError::Weight { name: name.clone(), why };
            let tensor = file.tensor(name).map_err(|_| wrong("missing".into()))?;
            if tensor.shape() != shape {
                return Err(wrong(format!("{:?} instead of {shape:?}", tensor.shape())));
            }
            let into = &mut all.numbers[range.clone()];
            match tensor.dtype() {
                Dtype::F32 => fill(into, tensor.data(), |b: [u8; 4]| f32::from_le_bytes(b)),
                Dtype::BF16 => fill(into, tensor.data(), |b: [u8; 2]| bf16::from_le_bytes(b).to_f32()),
                Dtype::F16 => fill(into, tensor.data(), |b: [u8; 2]| f16::from_le_bytes(b).to_f32()),
                other => return Err(wrong(format!("its numbers are {other:?}; f32, bf16 and f16 are read"))),
            }
            if into.iter().any(|v| !v.is_finite()) {
                return Err(wrong("it holds numbers that are not finite".into()));
            }
        }
        Ok(all)
    }

    /// The bytes of a safetensors file; the same numbers give the same bytes.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, StudentError> {
        let failed = |e: safetensors::SafeTensorError| StudentError::Config(format!("cannot be written as safetensors: {e}"));
        let bytes: Vec<u8> = self.numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = |(name, (range, shape)): (&String, &(Range<usize>, Vec<usize>))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), &bytes[range.start * 4..range.end * 4])?;
            Ok((name.clone(), view))
        };
        let views: Result<Vec<_>, _> = self.places.entries.iter().map(view).collect();
        let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views.map_err(failed)?, Some(metadata)).map_err(failed)
    }

    /// Where a tensor lies among the numbers.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        self.places.entries.get(name).map(|(range, _)| range.clone())
    }

    /// A tensor's numbers. Another name than those it was made with is a defect of this crate.
    pub fn get(&self, name: &str) -> &[f32] {
        &self.numbers[self.places.entries[name].0.clone()]
    }

    pub fn get_mut(&mut self, name: &str) -> &mut [f32] {
        &mut self.numbers[self.places.entries[name].0.clone()]
    }

    pub fn shape(&self, name: &str) -> &[usize] {
        &self.places.entries[name].1
    }

    /// Names, whether the tensor is a vector, and numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool, &[f32])> {
        self.places.entries.iter().map(|(name, (range, shape))| (name.as_str(), shape.len() == 1, &self.numbers[range.clone()]))
    }

    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    pub fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }

    pub fn clear(&mut self) {
        self.numbers.fill(0.0);
    }

    pub fn add(&mut self, other: &Self) {
        self.numbers.iter_mut().zip(&other.numbers).for_each(|(a, b)| *a += b);
    }

    /// Where each vector or matrix lies, for work that goes through several of these at once.
    pub fn ranges(&self) -> impl Iterator<Item = (bool, Range<usize>)> + '_ {
        self.places.entries.values().map(|(range, shape)| (shape.len() == 1, range.clone()))
    }
}

fn fill<const N: usize>(into: &mut [f32], bytes: &[u8], read: impl Fn([u8; N]) -> f32) {
    into.iter_mut().zip(bytes.as_chunks::<N>().0).for_each(|(v, b)| *v = read(*b));
}
