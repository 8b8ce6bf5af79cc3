//! One frozen matrix of a base in the precision in which it is kept: f32, bf16, f16 or quantised blocks. Owns storage and
//! widening to f32, row by row; knows no products and no names.

use std::ops::Range;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::StudentError;

/// `out × inner` numbers, rows one after another.
#[derive(Debug, Clone)]
pub struct Matrix {
    out: usize,
    inner: usize,
    storage: Storage,
}

#[derive(Debug, Clone)]
enum Storage {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    F16(Vec<f16>),
}

impl Matrix {
    pub fn f32(out: usize, inner: usize, numbers: Vec<f32>) -> Result<Self, StudentError> {
        Self::new(out, inner, numbers.len(), Storage::F32(numbers))
    }

    pub fn bf16(out: usize, inner: usize, numbers: Vec<bf16>) -> Result<Self, StudentError> {
        Self::new(out, inner, numbers.len(), Storage::Bf16(numbers))
    }

    pub fn f16(out: usize, inner: usize, numbers: Vec<f16>) -> Result<Self, StudentError> {
        Self::new(out, inner, numbers.len(), Storage::F16(numbers))
    }

    /// From a GGUF tensor's bytes.
    pub fn quantised(_kind: GgmlDType, _out: usize, _inner: usize, _bytes: &[u8]) -> Result<Self, StudentError> {
        todo!("helper")
    }

    fn new(out: usize, inner: usize, count: usize, storage: Storage) -> Result<Self, StudentError> {
        if out.checked_mul(inner) != Some(count) {
            return Err(StudentError::Config(format!("{count} numbers are not {out} × {inner}")));
        }
        Ok(Self { out, inner, storage })
    }

    /// Rows of the result of a product with it.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Numbers of a row.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match &self.storage {
            Storage::F32(n) => n.len() * 4,
            Storage::Bf16(n) => n.len() * 2,
            Storage::F16(n) => n.len() * 2,
        }
    }

    /// The numbers where they are kept as f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let Storage::F32(numbers) = &self.storage { Some(numbers) } else { None }
    }

    /// Some rows as f32; `out` has `rows.len() · inner` numbers.
    pub fn widen(&self, rows: Range<usize>, out: &mut [f32]) {
        let range = rows.start * self.inner..rows.end * self.inner;
        match &self.storage {
            Storage::F32(n) => out.copy_from_slice(&n[range]),
            Storage::Bf16(n) => out.iter_mut().zip(&n[range]).for_each(|(o, v)| *o = v.to_f32()),
            Storage::F16(n) => out.iter_mut().zip(&n[range]).for_each(|(o, v)| *o = v.to_f32()),
        }
    }
}
