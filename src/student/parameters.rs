//! All numbers of a model in one stretch of memory, by name: weights in training, their gradients, their moments.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::ops;
use super::weights::{Weights, shapes};
use super::{StudentConfig, StudentError};

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
    /// Zeros for a decoder of this shape.
    pub fn zeros(config: &StudentConfig) -> Self {
        let mut total = 0;
        let place = |(name, shape): (String, Vec<usize>)| {
            let from = total;
            total += shape.iter().product::<usize>();
            (name, (from..total, shape))
        };
        let entries = shapes(config).into_iter().map(place).collect();
        Self { places: Arc::new(Places { entries, total }), numbers: vec![0.0; total] }
    }

    /// Zeros of the same shape.
    #[must_use]
    pub fn like(&self) -> Self {
        Self { places: Arc::clone(&self.places), numbers: vec![0.0; self.places.total] }
    }

    pub fn of(config: &StudentConfig, weights: &Weights) -> Result<Self, StudentError> {
        let mut all = Self::zeros(config);
        for (name, (range, shape)) in &all.places.entries {
            let wrong = |why: String| StudentError::Weight { name: name.clone(), why };
            let tensor = weights.get(name).ok_or_else(|| wrong("missing".into()))?;
            if tensor.dims() != shape {
                return Err(wrong(format!("{:?} instead of {shape:?}", tensor.dims())));
            }
            ops::with_numbers([tensor], "parameters", |[n]| all.numbers[range.clone()].copy_from_slice(n))?;
        }
        Ok(all)
    }

    pub fn to_weights(&self) -> Result<Weights, StudentError> {
        let tensor = |(name, (range, shape)): (&String, &(Range<usize>, Vec<usize>))| {
            Ok((name.clone(), Tensor::from_slice(&self.numbers[range.clone()], shape.as_slice(), &Device::Cpu)?))
        };
        self.places.entries.iter().map(tensor).collect()
    }

    /// A tensor's numbers. The names are those of [`shapes`]; another one is a defect of this crate.
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
