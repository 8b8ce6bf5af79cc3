//! GGUF files, versions 2 and 3: metadata and places of tensors, with every count proved against what is left of the file
//! before memory is taken for it. Owns the container; `shape` makes a configuration of it, `words` and
//! `pieces` a tokenizer.

mod pieces;
mod shape;
mod words;

pub(crate) use pieces::agreed_merges;
pub(super) use words::folder_of;
pub(crate) use words::pre_tokenizer;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::GgmlDType;

use super::StudentError;
use super::config::{Family, StudentConfig};
use super::disk::{Scan, Stored, WeightFile, apart, bytes_of};
use super::load::{TensorSource, gguf_name};
use super::matrix::{Keep, Matrix};
use crate::domain::one_line;

/// Tensors, and entries of metadata; real files have some hundreds.
const MOST: u64 = 100_000;
/// Numbers kept of an array whose numbers are smaller in the file than in memory.
const SHORT_ARRAY: u64 = 65_536;
const DAMAGED: &str = "the file is damaged or cut off; fetch it again";

/// One value of the metadata, as far as anything here asks for it.
#[derive(Debug, Clone, PartialEq)]
enum Meta {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    /// Read over.
    Other,
}

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf {
    file: WeightFile,
    metadata: BTreeMap<String, Meta>,
    tensors: BTreeMap<String, Stored>,
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> StudentError {
    StudentError::file(path, format!("not a readable GGUF file: {why}; {DAMAGED}"))
}

impl Gguf {
    /// Reads metadata and places; no number of a tensor yet.
    pub fn open(path: &Path) -> Result<Self, StudentError> {
        let mut file = WeightFile::open(path)?;
        let mut scan = file.scan();
        if scan.take().ok() != Some(*b"GGUF") {
            let why = "it is neither a model's folder nor a GGUF file; give one of both";
            return Err(StudentError::file(path, why));
        }
        let version = scan.u32()?;
        if !(2..=3).contains(&version) {
            let why = format!("GGUF version {version} is not read; 2 and 3, little-endian, are: take a newer file of this model");
            return Err(StudentError::file(path, why));
        }
        let (tensor_count, entries) = (scan.u64()?, scan.u64()?);
        // The shortest tensor takes 24 bytes, the shortest entry 13.
        if tensor_count > MOST.min(scan.left() / 24) || entries > MOST.min(scan.left() / 13) {
            return Err(damaged(path, format!("it claims {tensor_count} tensors and {entries} entries of metadata")));
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let key = scan.text()?;
            let kind = scan.u32()?;
            let value = value(&mut scan, kind)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(damaged(path, format!("'{}' comes twice", one_line(&key, 80))));
            }
        }
        let tensors = places(path, &mut scan, tensor_count, &metadata)?;
        Ok(Self { file, metadata, tensors })
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// SHA-256 of the file, as hex.
    pub fn digest(&mut self) -> Result<String, StudentError> {
        self.file.digest()
    }

    fn text(&self, key: &str) -> Option<&str> {
        if let Some(Meta::Text(text)) = self.metadata.get(key) { Some(text) } else { None }
    }

    fn int(&self, key: &str) -> Option<i64> {
        if let Some(Meta::Int(n)) = self.metadata.get(key) { Some(*n) } else { None }
    }

    fn float(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key)? {
            Meta::Float(n) => Some(*n),
            Meta::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    pub(super) fn stored(&self) -> impl Iterator<Item = &Stored> {
        self.tensors.values()
    }

    /// How a tensor is stored, by the file's own name for it.
    pub(super) fn kind_of_tensor(&self, name: &str) -> Option<GgmlDType> {
        self.tensors.get(name).and_then(|stored| stored.kind)
    }

    /// Its tensors by their Hugging Face names.
    pub(super) fn tensors<'a>(&'a mut self, config: &'a StudentConfig) -> Tensors<'a> {
        Tensors { gguf: self, config }
    }
}

/// One value of a kind, its number as GGUF has it.
fn value(scan: &mut Scan<'_>, kind: u32) -> Result<Meta, StudentError> {
    Ok(match kind {
        0..=5 | 10 | 11 => Meta::Int(int(scan, kind)?),
        6 => Meta::Float(shortest(f32::from_le_bytes(scan.take()?))),
        7 => Meta::Bool(scan.take::<1>()? != [0]),
        8 => Meta::Text(scan.text()?),
        9 => array(scan)?,
        12 => Meta::Float(f64::from_le_bytes(scan.take()?)),
        _ => return Err(damaged(scan.path(), format!("metadata of kind {kind}"))),
    })
}

/// What was written when an f32 was written: 1e-5, not 9.99999974738e-6.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// Bytes of one number of a kind; `None` for what is no number.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn int(scan: &mut Scan<'_>, kind: u32) -> Result<i64, StudentError> {
    Ok(match kind {
        0 | 7 => i64::from(scan.take::<1>()?[0]),
        1 => i64::from(i8::from_le_bytes(scan.take()?)),
        2 => i64::from(u16::from_le_bytes(scan.take()?)),
        3 => i64::from(i16::from_le_bytes(scan.take()?)),
        4 => i64::from(u32::from_le_bytes(scan.take()?)),
        5 => i64::from(i32::from_le_bytes(scan.take()?)),
        10 => i64::try_from(u64::from_le_bytes(scan.take()?)).unwrap_or(i64::MAX),
        _ => i64::from_le_bytes(scan.take()?),
    })
}

fn array(scan: &mut Scan<'_>) -> Result<Meta, StudentError> {
    let (kind, count) = (scan.u32()?, scan.u64()?);
    // A text takes 8 bytes at least.
    let least = width(kind).or((kind == 8).then_some(8));
    let Some(least) = least else {
        return Err(damaged(scan.path(), format!("an array of kind {kind}")));
    };
    if count > scan.left() / least {
        return Err(damaged(scan.path(), format!("an array claims {count} entries")));
    }
    Ok(match kind {
        8 => Meta::Texts((0..count).map(|_| scan.text()).collect::<Result<_, _>>()?),
        6 => Meta::Floats((0..count).map(|_| scan.take().map(f32::from_le_bytes)).collect::<Result<_, _>>()?),
        12 => skipped(scan, count * 8)?,
        _ if least < 4 && count > SHORT_ARRAY => skipped(scan, count * least)?,
        _ => Meta::Ints((0..count).map(|_| int(scan, kind)).collect::<Result<_, _>>()?),
    })
}

fn skipped(scan: &mut Scan<'_>, count: u64) -> Result<Meta, StudentError> {
    scan.skip(count)?;
    Ok(Meta::Other)
}

fn kind_of(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// GGUF's number of a kind; the other way of [`kind_of`].
pub(crate) fn number_of(kind: GgmlDType) -> Option<u32> {
    (0..=30).find(|number| kind_of(*number) == Some(kind))
}

/// Where each tensor lies: inside the file, overlapping no other.
fn places(
    path: &Path,
    scan: &mut Scan<'_>,
    count: u64,
    metadata: &BTreeMap<String, Meta>,
) -> Result<BTreeMap<String, Stored>, StudentError> {
    let mut found = Vec::new();
    for _ in 0..count {
        let name = scan.text()?;
        let dimensions = scan.u32()?;
        if dimensions > 4 {
            return Err(StudentError::tensor(path, &name, format!("has {dimensions} dimensions; {DAMAGED}")));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            let size = usize::try_from(scan.u64()?).unwrap_or(usize::MAX);
            // Innermost comes first in the file.
            shape.insert(0, size);
        }
        found.push((name, shape, scan.u32()?, scan.u64()?));
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Meta::Int(n @ 1..=65_536)) if n.count_ones() == 1 => *n as u64,
        Some(_) => return Err(damaged(path, "general.alignment is no power of two")),
    };
    let data = scan.at().next_multiple_of(alignment);
    let len = scan.at() + scan.left();
    let mut tensors = BTreeMap::new();
    for (name, shape, number, offset) in found {
        let kind = kind_of(number);
        let length = kind.map_or(Some(0), |kind| bytes_of(kind, &shape));
        let from = data.checked_add(offset);
        let to = from.zip(length).and_then(|(from, length)| from.checked_add(length));
        let bytes = match (from, to) {
            (Some(from), Some(to)) if to <= len => from..to,
            _ => {
                let why = format!("({shape:?} at byte {offset} of the data) does not fit the file of {len} bytes; {DAMAGED}");
                return Err(StudentError::tensor(path, &name, why));
            }
        };
        let kind_name = if kind.is_none() { format!("GGML type {number}") } else { String::new() };
        if tensors.insert(name.clone(), Stored { kind, kind_name, shape, bytes }).is_some() {
            return Err(StudentError::tensor(path, &name, format!("comes twice; {DAMAGED}")));
        }
    }
    apart(path, &tensors)?;
    Ok(tensors)
}

/// The tensors of a file as a decoder of a shape asks for them.
#[derive(Debug)]
pub(super) struct Tensors<'a> {
    gguf: &'a mut Gguf,
    config: &'a StudentConfig,
}

impl Tensors<'_> {
    fn find(&self, name: &str) -> Result<(String, Stored), StudentError> {
        let own = gguf_name(self.config.family, name).unwrap_or_else(|| name.to_owned());
        if let Some(stored) = self.gguf.tensors.get(&own) {
            return Ok((own, stored.clone()));
        }
        let why = "is missing: the file does not hold the model that its metadata describe; take another file of it";
        Err(StudentError::tensor(self.gguf.path(), &own, why))
    }
}

impl TensorSource for Tensors<'_> {
    fn matrix(&mut self, name: &str, shape: [usize; 2], keep: Keep) -> Result<Matrix, StudentError> {
        let (own, stored) = self.find(name)?;
        let matrix = self.gguf.file.matrix(&own, &stored, shape, keep)?;
        if self.config.family != Family::Llama {
            return Ok(matrix);
        }
        let heads = match name.rsplit_once("self_attn.").map(|(_, module)| module) {
            Some("q_proj.weight") => self.config.num_attention_heads,
            Some("k_proj.weight") => self.config.num_key_value_heads,
            _ => return Ok(matrix),
        };
        matrix.rows_in_order(&halves_together(heads, self.config.head_dim))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, StudentError> {
        let (own, stored) = self.find(name)?;
        self.gguf.file.vector(&own, &stored, len)
    }
}

/// Converters write the two rows of a rotary pair side by side; the decoder wants a head's first halves, then its second
/// ones. Which row of the file each row of the decoder is.
fn halves_together(heads: usize, head_dim: usize) -> Vec<usize> {
    let half = head_dim / 2;
    let of_head = |head: usize| (0..2).flat_map(move |part| (0..half).map(move |i| head * head_dim + 2 * i + part));
    (0..heads).flat_map(of_head).collect()
}
