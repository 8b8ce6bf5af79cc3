//! A weight file on disk: positioned reads that are proved to lie inside it before anything is allocated, and tensors as
//! they are stored. Owns bytes → [`Matrix`]; knows neither safetensors nor GGUF.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};
use sha2::{Digest as _, Sha256};

use super::StudentError;
use super::matrix::{Keep, Matrix, finite, numbers};
use crate::domain::one_line;

/// Bytes read at once; a multiple of every plain number's size.
const PIECE: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    file: File,
    len: u64,
}

/// Where a tensor lies in its file, and how.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// `None`: a kind of number that is not read here.
    pub kind: Option<GgmlDType>,
    /// As the file spells the kind.
    pub kind_name: String,
    /// Outermost first.
    pub shape: Vec<usize>,
    pub bytes: Range<u64>,
}

/// Bytes that a shape of a kind takes; `None` where it does not divide into blocks or does not fit a number.
pub(super) fn bytes_of(kind: GgmlDType, shape: &[usize]) -> Option<u64> {
    let count = shape.iter().try_fold(1_u64, |all, n| all.checked_mul(*n as u64))?;
    let block = kind.block_size() as u64;
    let whole = count.is_multiple_of(block) && (block == 1 || shape.last().is_some_and(|n| (*n as u64).is_multiple_of(block)));
    whole.then(|| (count / block).checked_mul(kind.type_size() as u64))?
}

/// No two tensors share bytes.
pub(super) fn apart(path: &Path, tensors: &BTreeMap<String, Stored>) -> Result<(), StudentError> {
    let mut places: Vec<_> = tensors.iter().filter(|(_, s)| !s.bytes.is_empty()).collect();
    places.sort_by_key(|(_, stored)| stored.bytes.start);
    match places.windows(2).find(|pair| pair[0].1.bytes.end > pair[1].1.bytes.start) {
        Some(pair) => {
            let why = format!("overlaps '{}'; the file is damaged; fetch it again", one_line(pair[0].0, 80));
            Err(StudentError::tensor(path, pair[1].0, why))
        }
        None => Ok(()),
    }
}

impl WeightFile {
    pub fn open(path: &Path) -> Result<Self, StudentError> {
        let file = File::open(path).map_err(StudentError::io(path))?;
        let about = file.metadata().map_err(StudentError::io(path))?;
        if !about.is_file() {
            return Err(StudentError::file(path, "it is not a file"));
        }
        Ok(Self { path: path.to_owned(), file, len: about.len() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// The file's bytes in a range, in pieces.
    fn pieces(&mut self, range: Range<u64>, mut take: impl FnMut(&[u8])) -> Result<(), StudentError> {
        if range.start > range.end || range.end > self.len {
            let why = format!(
                "it has {} bytes where at least {} are needed: it is cut off or damaged; fetch it again",
                self.len, range.end
            );
            return Err(StudentError::file(&self.path, why));
        }
        self.file.seek(SeekFrom::Start(range.start)).map_err(StudentError::io(&self.path))?;
        let mut left = range.end - range.start;
        let mut piece = vec![0; left.min(PIECE) as usize];
        while left > 0 {
            let now = &mut piece[..left.min(PIECE) as usize];
            self.file.read_exact(now).map_err(StudentError::io(&self.path))?;
            take(now);
            left -= now.len() as u64;
        }
        Ok(())
    }

    pub fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, StudentError> {
        let count = range.end.saturating_sub(range.start);
        let mut bytes = Vec::with_capacity(count.min(self.len) as usize);
        self.pieces(range, |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// Numbers of `N` bytes each.
    fn collect<T, const N: usize>(&mut self, range: Range<u64>, from: impl Fn([u8; N]) -> T) -> Result<Vec<T>, StudentError> {
        let mut all = Vec::with_capacity((range.end.saturating_sub(range.start).min(self.len) / N as u64) as usize);
        self.pieces(range, |piece| all.extend(piece.as_chunks::<N>().0.iter().map(|b| from(*b))))?;
        Ok(all)
    }

    /// A matrix in the precision in which it is to be kept.
    pub fn matrix(&mut self, name: &str, stored: &Stored, shape: [usize; 2], keep: Keep) -> Result<Matrix, StudentError> {
        let kind = self.expect(name, stored, &shape)?;
        let (range, [out, inner]) = (stored.bytes.clone(), shape);
        let matrix = match (kind, keep) {
            (GgmlDType::F32, Keep::Bf16) => {
                Matrix::bf16(out, inner, self.collect(range, |b| bf16::from_f32(f32::from_le_bytes(b)))?)?
            }
            (GgmlDType::F32, _) => Matrix::f32(out, inner, self.collect(range, f32::from_le_bytes)?)?,
            (GgmlDType::BF16, Keep::F32) => Matrix::f32(out, inner, self.collect(range, |b| bf16::from_le_bytes(b).to_f32())?)?,
            (GgmlDType::BF16, _) => Matrix::bf16(out, inner, self.collect(range, bf16::from_le_bytes)?)?,
            (GgmlDType::F16, Keep::AsStored) => Matrix::f16(out, inner, self.collect(range, f16::from_le_bytes)?)?,
            (GgmlDType::F16, Keep::F32) => Matrix::f32(out, inner, self.collect(range, |b| f16::from_le_bytes(b).to_f32())?)?,
            (GgmlDType::F16, Keep::Bf16) => {
                Matrix::bf16(out, inner, self.collect(range, |b| bf16::from_f32(f16::from_le_bytes(b).to_f32()))?)?
            }
            (quantised, _) => {
                let matrix = Matrix::quantised(quantised, out, inner, self.read(range)?)
                    .map_err(|e| StudentError::tensor(&self.path, name, format!("cannot be read: {e}")))?;
                self.require_finite(name, matrix.finite())?;
                matrix.to_precision(keep)?
            }
        };
        self.require_finite(name, matrix.finite())?;
        Ok(matrix)
    }

    /// A norm or a bias.
    pub fn vector(&mut self, name: &str, stored: &Stored, len: usize) -> Result<Vec<f32>, StudentError> {
        let kind = self.expect(name, stored, &[len])?;
        let bytes = self.read(stored.bytes.clone())?;
        let all = match kind {
            GgmlDType::F32 => numbers(&bytes, f32::from_le_bytes),
            GgmlDType::F16 => numbers(&bytes, |b| f16::from_le_bytes(b).to_f32()),
            GgmlDType::BF16 => numbers(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => return Err(self.unread(name, stored)),
        };
        self.require_finite(name, finite(&all))?;
        Ok(all)
    }

    fn expect(&self, name: &str, stored: &Stored, shape: &[usize]) -> Result<GgmlDType, StudentError> {
        if stored.shape != shape {
            let why = format!(
                "is {:?} where the configuration makes it {shape:?}: config.json and weights do not belong together; take both \
                 from the same model",
                stored.shape
            );
            return Err(StudentError::tensor(&self.path, name, why));
        }
        let kind = stored.kind.ok_or_else(|| self.unread(name, stored))?;
        let length = stored.bytes.end.saturating_sub(stored.bytes.start);
        if bytes_of(kind, shape) == Some(length) {
            return Ok(kind);
        }
        Err(StudentError::tensor(&self.path, name, format!("takes {length} bytes, which do not fit its shape {shape:?}")))
    }

    fn unread(&self, name: &str, stored: &Stored) -> StudentError {
        let kind = one_line(&stored.kind_name, 40);
        let why = format!(
            "is stored as {kind}, which is not read; F32, F16, BF16 and, in GGUF, Q4_0 to Q8_0 and Q2_K to Q6_K are: convert the \
             file, or take another of the same model"
        );
        StudentError::tensor(&self.path, name, why)
    }

    fn require_finite(&self, name: &str, finite: bool) -> Result<(), StudentError> {
        if finite {
            return Ok(());
        }
        let why = "holds numbers that are infinite or none (NaN): the file is damaged or its training went wrong; fetch it again \
                   or take an earlier one";
        Err(StudentError::tensor(&self.path, name, why))
    }

    /// Reads it from its beginning, value by value.
    pub fn scan(&mut self) -> Scan<'_> {
        let (path, left) = (self.path.as_path(), self.len);
        Scan { path, reader: BufReader::with_capacity(1 << 16, &self.file), at: 0, left }
    }

    /// SHA-256 of the whole file, as hex.
    pub fn digest(&mut self) -> Result<String, StudentError> {
        let mut hasher = Sha256::new();
        self.pieces(0..self.len, |piece| hasher.update(piece))?;
        Ok(hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            hex.extend([byte >> 4, byte & 15].map(|half| char::from_digit(u32::from(half), 16).unwrap_or('0')));
            hex
        }))
    }
}

/// A file read value by value; nothing is read or allocated beyond its end.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    at: u64,
    left: u64,
}

impl Scan<'_> {
    pub fn path(&self) -> &Path {
        self.path
    }

    /// Bytes read so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Bytes to the end of the file.
    pub fn left(&self) -> u64 {
        self.left
    }

    fn advance(&mut self, count: u64) -> Result<(), StudentError> {
        if count > self.left {
            let why = format!(
                "at byte {} it needs {count} more and has {}: it is cut off or damaged; fetch it again",
                self.at, self.left
            );
            return Err(StudentError::file(self.path, why));
        }
        (self.at, self.left) = (self.at + count, self.left - count);
        Ok(())
    }

    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], StudentError> {
        self.advance(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(StudentError::io(self.path))?;
        Ok(bytes)
    }

    pub fn u32(&mut self) -> Result<u32, StudentError> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, StudentError> {
        self.take().map(u64::from_le_bytes)
    }

    /// A text after its length in bytes.
    pub fn text(&mut self) -> Result<String, StudentError> {
        let length = self.u64()?;
        self.advance(length)?;
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(StudentError::io(self.path))?;
        let at = self.at;
        String::from_utf8(bytes).map_err(|_| {
            StudentError::file(self.path, format!("the text before byte {at} is not UTF-8: it is damaged; fetch it again"))
        })
    }

    pub fn skip(&mut self, count: u64) -> Result<(), StudentError> {
        self.advance(count)?;
        self.reader.seek_relative(count as i64).map_err(StudentError::io(self.path))
    }
}
