//! One frozen matrix of a base in the precision in which it is kept: f32, bf16, f16 or quantised blocks. Owns storage and
//! widening to f32, row by row; knows no products and no names.

use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};

use super::StudentError;
use super::blocks::Blocks;

/// `out × inner` numbers, rows one after another. Clones share them.
#[derive(Debug, Clone)]
pub struct Matrix {
    out: usize,
    inner: usize,
    storage: Storage,
}

#[derive(Debug, Clone)]
enum Storage {
    F32(Arc<Vec<f32>>),
    Bf16(Arc<Vec<bf16>>),
    F16(Arc<Vec<f16>>),
    Blocks(Blocks, Arc<Vec<u8>>),
}

/// In which precision big matrices of a base stay in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// As the file has them.
    #[default]
    AsStored,
    F32,
    Bf16,
}

impl Keep {
    /// By the name that recipes and records use; anything else keeps what the file has.
    pub fn of_name(name: &str) -> Self {
        match name {
            "f32" => Self::F32,
            "bf16" => Self::Bf16,
            _ => Self::AsStored,
        }
    }
}

impl Matrix {
    pub fn f32(out: usize, inner: usize, numbers: Vec<f32>) -> Result<Self, StudentError> {
        Self::new(out, inner, numbers.len(), Storage::F32(Arc::new(numbers)))
    }

    pub fn bf16(out: usize, inner: usize, numbers: Vec<bf16>) -> Result<Self, StudentError> {
        Self::new(out, inner, numbers.len(), Storage::Bf16(Arc::new(numbers)))
    }

    pub fn f16(out: usize, inner: usize, numbers: Vec<f16>) -> Result<Self, StudentError> {
        Self::new(out, inner, numbers.len(), Storage::F16(Arc::new(numbers)))
    }

    /// From a GGUF tensor's bytes. Rows must be whole blocks, so that any range of them can be widened alone.
    pub fn quantised(kind: GgmlDType, out: usize, inner: usize, bytes: Vec<u8>) -> Result<Self, StudentError> {
        let blocks = match (kind, Blocks::of(kind)) {
            (GgmlDType::F32, _) => return Self::f32(out, inner, numbers(&bytes, f32::from_le_bytes)),
            (GgmlDType::F16, _) => return Self::f16(out, inner, numbers(&bytes, f16::from_le_bytes)),
            (GgmlDType::BF16, _) => return Self::bf16(out, inner, numbers(&bytes, bf16::from_le_bytes)),
            (_, Some(blocks)) => blocks,
            (_, None) => return Err(StudentError::Config(format!("{kind:?} is not a precision that can be read"))),
        };
        if !inner.is_multiple_of(blocks.numbers) {
            let (name, numbers) = (blocks.name, blocks.numbers);
            return Err(StudentError::Config(format!("rows of {inner} numbers are not whole {name} blocks of {numbers}")));
        }
        let expected = (inner / blocks.numbers).checked_mul(blocks.bytes).and_then(|row| row.checked_mul(out));
        if expected != Some(bytes.len()) {
            let (have, name) = (bytes.len(), blocks.name);
            return Err(StudentError::Config(format!("{have} bytes are not {out} × {inner} numbers of {name}")));
        }
        Ok(Self { out, inner, storage: Storage::Blocks(blocks, Arc::new(bytes)) })
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
            Storage::Blocks(_, bytes) => bytes.len(),
        }
    }

    /// `f32`, `bf16`, `f16`, `q8_0`, `q4_k` ….
    pub fn precision(&self) -> &'static str {
        match &self.storage {
            Storage::F32(_) => "f32",
            Storage::Bf16(_) => "bf16",
            Storage::F16(_) => "f16",
            Storage::Blocks(blocks, _) => blocks.name,
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
            Storage::Bf16(n) => widen_bf16(&n[range], out),
            Storage::F16(n) => n[range].convert_to_f32_slice(out),
            Storage::Blocks(blocks, bytes) => {
                let row = self.inner / blocks.numbers * blocks.bytes;
                blocks.widen(&bytes[rows.start * row..rows.end * row], out);
            }
        }
    }

    /// Row `n` of the result is row `order[n]` of this; indices beyond the last row are an error.
    pub(super) fn rows_in_order(self, order: &[usize]) -> Result<Self, StudentError> {
        fn picked<T: Copy>(numbers: &[T], width: usize, order: &[usize]) -> Arc<Vec<T>> {
            Arc::new(order.iter().flat_map(|row| &numbers[row * width..(row + 1) * width]).copied().collect())
        }
        if order.len() != self.out || order.iter().any(|row| *row >= self.out) {
            return Err(StudentError::Config(format!("an order of {} rows is not one of {}", order.len(), self.out)));
        }
        let storage = match &self.storage {
            Storage::F32(n) => Storage::F32(picked(n, self.inner, order)),
            Storage::Bf16(n) => Storage::Bf16(picked(n, self.inner, order)),
            Storage::F16(n) => Storage::F16(picked(n, self.inner, order)),
            Storage::Blocks(blocks, bytes) => {
                let row = self.inner / blocks.numbers * blocks.bytes;
                Storage::Blocks(*blocks, picked(bytes, row, order))
            }
        };
        Ok(Self { storage, ..self })
    }

    /// No number is infinite or none.
    pub fn finite(&self) -> bool {
        match &self.storage {
            Storage::F32(n) => finite(n),
            Storage::Bf16(n) => n.iter().all(|v| v.is_finite()),
            Storage::F16(n) => n.iter().all(|v| v.is_finite()),
            Storage::Blocks(blocks, bytes) => blocks.finite(bytes),
        }
    }

    /// The same numbers kept otherwise; f32 → bf16 rounds to the nearest.
    pub fn to_precision(self, keep: Keep) -> Result<Self, StudentError> {
        match keep {
            Keep::F32 if self.precision() != "f32" => {
                let mut wide = vec![0.0; self.out * self.inner];
                self.widen(0..self.out, &mut wide);
                Self::f32(self.out, self.inner, wide)
            }
            Keep::Bf16 if self.precision() != "bf16" => {
                let mut narrow = Vec::with_capacity(self.out * self.inner);
                let mut row = vec![0.0; self.inner];
                for at in 0..self.out {
                    self.widen(at..at + 1, &mut row);
                    narrow.extend(row.iter().map(|v| bf16::from_f32(*v)));
                }
                Self::bf16(self.out, self.inner, narrow)
            }
            _ => Ok(self),
        }
    }
}

/// Numbers from their little-endian bytes; a last part of one is left out.
pub(super) fn numbers<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|b| from(*b)).collect()
}

/// A bf16 number is the upper half of an f32.
fn widen_bf16(narrow: &[bf16], wide: &mut [f32]) {
    for (w, n) in wide.iter_mut().zip(narrow) {
        *w = f32::from_bits(u32::from(n.to_bits()) << 16);
    }
}

pub(super) fn finite(numbers: &[f32]) -> bool {
    // Whole chunks without leaving early, so that it runs on vectors.
    let sound = |chunk: &[f32]| chunk.iter().fold(true, |all, v| all & (v.abs() < f32::INFINITY));
    numbers.chunks(4096).all(sound)
}

#[cfg(test)]
mod tests {
    use super::super::blocks::tests::{KINDS, quantised};
    use super::*;

    #[test]
    fn any_rows_of_a_quantised_matrix_can_be_widened_alone() {
        for kind in KINDS {
            let (bytes, expected) = quantised(kind, 5, 256);
            let matrix = Matrix::quantised(kind, 5, 256, bytes.clone()).expect("whole blocks");
            assert_eq!(matrix.bytes(), bytes.len());
            let mut out = vec![0.0; 2 * 256];
            matrix.widen(2..4, &mut out);
            assert!(out.iter().zip(&expected[512..1024]).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs())), "{kind:?}");
            assert!(Matrix::quantised(kind, 5, 256, bytes[1..].to_vec()).is_err());
            let odd = Matrix::quantised(kind, 10, 128 + 16, bytes).expect_err("parts of blocks").to_string();
            assert!(odd.contains("whole"), "{odd}");
        }
    }

    #[test]
    fn other_precisions_hold_the_same_numbers_and_rounding_is_to_the_nearest() {
        let numbers = vec![1.0, -2.5, 1.003_906_3, 65_280.0, 0.0, -0.0];
        let wide = Matrix::f32(2, 3, numbers.clone()).unwrap();
        let narrow = wide.clone().to_precision(Keep::Bf16).unwrap();
        assert_eq!((narrow.precision(), narrow.bytes()), ("bf16", 12));
        let back = narrow.to_precision(Keep::F32).unwrap();
        let expected: Vec<f32> = numbers.iter().map(|v| bf16::from_f32(*v).to_f32()).collect();
        assert_eq!(back.as_f32().unwrap(), expected);
        let f16s = Matrix::f16(1, 3, vec![f16::from_f32(1.5), f16::from_f32(-0.25), f16::from_f32(6e-8)]).unwrap();
        let wide = f16s.to_precision(Keep::F32).unwrap();
        assert_eq!(wide.as_f32().unwrap(), [1.5, -0.25, f16::from_f32(6e-8).to_f32()]);
    }

    #[test]
    fn numbers_that_are_none_are_seen_in_every_precision() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut numbers = vec![1.0; 5000];
            numbers[4999] = bad;
            assert!(!Matrix::f32(1, 5000, numbers.clone()).unwrap().finite());
            let narrow: Vec<bf16> = numbers.iter().map(|v| bf16::from_f32(*v)).collect();
            assert!(!Matrix::bf16(1, 5000, narrow).unwrap().finite());
            let half: Vec<f16> = numbers.iter().map(|v| f16::from_f32(*v)).collect();
            assert!(!Matrix::f16(1, 5000, half).unwrap().finite());
        }
    }

    #[test]
    fn a_count_that_does_not_fit_the_shape_is_refused() {
        assert!(Matrix::f32(2, 3, vec![0.0; 5]).is_err());
        assert!(Matrix::f32(usize::MAX, 3, vec![0.0; 5]).is_err());
    }
}
