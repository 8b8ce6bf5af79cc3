//! Weights in the Hugging Face layout: one safetensors file, or shards with an index. Owns headers and their proofs, and the
//! names that multimodal files give the same tensors; what tensors there must be is `load`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::StudentError;
use super::disk::{Stored, WeightFile, apart, bytes_of};
use super::load::TensorSource;
use super::matrix::{Keep, Matrix};
use crate::domain::one_line;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// No real header comes near.
const LARGEST_HEADER: u64 = 100_000_000;
const DAMAGED: &str = "the file is damaged or cut off; fetch it again";

/// The safetensors files of a folder, open.
#[derive(Debug)]
pub struct Shards {
    files: Vec<WeightFile>,
    /// By name: which file, and where in it.
    tensors: BTreeMap<String, (usize, Stored)>,
}

impl Shards {
    /// Opens a folder's weight files and proves their headers; no number is read yet.
    pub fn open(folder: &Path) -> Result<Self, StudentError> {
        let index = folder.join(INDEX);
        let names = if folder.join(SINGLE).is_file() {
            BTreeSet::from([SINGLE.to_owned()])
        } else if index.is_file() {
            shards_of(&index)?
        } else {
            let other = ["pytorch_model.bin", "pytorch_model.bin.index.json"].into_iter().find(|n| folder.join(n).is_file());
            let why = other.map_or_else(
                || format!("it has neither {SINGLE} nor {INDEX}; give a model's folder with its weights, or a .gguf file"),
                |n| format!("it has {n}, which can run code when it is read; convert it to {SINGLE}"),
            );
            return Err(StudentError::file(folder, why));
        };
        let mut shards = Self { files: Vec::new(), tensors: BTreeMap::new() };
        for name in names {
            shards.add(&folder.join(name))?;
        }
        Ok(shards)
    }

    fn add(&mut self, path: &Path) -> Result<(), StudentError> {
        let mut file = WeightFile::open(path)?;
        for (name, stored) in header(&mut file)? {
            if self.tensors.contains_key(&name) {
                return Err(StudentError::tensor(path, &name, "is in two of the folder's files; leave one of them there"));
            }
            self.tensors.insert(name, (self.files.len(), stored));
        }
        self.files.push(file);
        Ok(())
    }

    /// SHA-256 of each file as hex, in the order of their names.
    pub fn digests(&mut self) -> Result<Vec<String>, StudentError> {
        self.files.iter_mut().map(WeightFile::digest).collect()
    }

    pub(super) fn stored(&self) -> impl Iterator<Item = &Stored> {
        self.tensors.values().map(|(_, stored)| stored)
    }

    /// How a tensor is stored.
    pub(super) fn kind(&self, name: &str) -> Option<GgmlDType> {
        spellings(name).into_iter().find_map(|spelling| self.tensors.get(&spelling)).and_then(|(_, stored)| stored.kind)
    }

    fn find(&mut self, name: &str) -> Result<(&mut WeightFile, Stored), StudentError> {
        let found = spellings(name).into_iter().find_map(|spelling| self.tensors.get(&spelling).cloned());
        let file = found.as_ref().map_or(0, |(file, _)| *file);
        match (found, self.files.get_mut(file)) {
            (Some((_, stored)), Some(file)) => Ok((file, stored)),
            (_, file) => {
                let path = file.map_or(Path::new(SINGLE), |f| f.path());
                let why = "is missing: config.json and weights do not belong together, or a shard is not there; take both from \
                           the same model";
                Err(StudentError::tensor(path, name, why))
            }
        }
    }
}

impl TensorSource for Shards {
    fn matrix(&mut self, name: &str, shape: [usize; 2], keep: Keep) -> Result<Matrix, StudentError> {
        let (file, stored) = self.find(name)?;
        file.matrix(name, &stored, shape, keep)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, StudentError> {
        let (file, stored) = self.find(name)?;
        file.vector(name, &stored, len)
    }
}

/// What files call a tensor: alone, or as the text half of a model that also sees.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), format!("language_model.{name}")];
    if let Some(inner) = name.strip_prefix("model.") {
        all.push(format!("model.language_model.{inner}"));
        all.push(inner.to_owned());
    }
    all
}

/// The files an index names; only plain names beside it.
fn shards_of(index: &Path) -> Result<BTreeSet<String>, StudentError> {
    let text = std::fs::read_to_string(index).map_err(StudentError::io(index))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| StudentError::file(index, format!("{e}; {DAMAGED}")))?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let map = map.filter(|m| !m.is_empty()).ok_or_else(|| StudentError::file(index, "its weight_map is missing or empty"))?;
    let plain = |file: &Value| {
        let name = file.as_str().filter(|n| {
            !n.is_empty() && !n.contains(['/', '\\', ':', '\0']) && !n.starts_with('.') && !n.contains(char::is_control)
        });
        name.map(str::to_owned).ok_or_else(|| {
            let shown = one_line(&file.to_string(), 80);
            StudentError::file(index, format!("it names the file {shown}; shards must lie beside the index"))
        })
    };
    map.values().map(plain).collect()
}

#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// A header in the file's order, so that a name that comes twice is seen.
#[derive(Debug)]
struct Header(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Where each tensor of a safetensors file lies: inside it, of its shape's length, overlapping no other.
fn header(file: &mut WeightFile) -> Result<BTreeMap<String, Stored>, StudentError> {
    let path = file.path().to_owned();
    let refuse = |why: String| StudentError::file(&path, format!("not a readable safetensors file: {why}"));
    let first = file.read(0..8).map_err(|_| refuse(format!("it has {} bytes; {DAMAGED}", file.len())))?;
    let length = first.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    if length > LARGEST_HEADER || length > file.len() - 8 {
        return Err(refuse(format!("its header claims {length} bytes of {}; {DAMAGED}", file.len())));
    }
    let text = file.read(8..8 + length)?;
    let Header(entries) = serde_json::from_slice(&text).map_err(|e| refuse(format!("its header: {e}; {DAMAGED}")))?;
    let data = 8 + length;
    let mut tensors = BTreeMap::new();
    for (name, entry) in entries {
        let wrong = |why: String| StudentError::tensor(&path, &name, why);
        let (from, to) = entry.data_offsets;
        let bytes = match (data.checked_add(from), data.checked_add(to)) {
            (Some(from), Some(to)) if from <= to && to <= file.len() => from..to,
            _ => return Err(wrong(format!("lies at bytes {from} to {to} of {}; {DAMAGED}", file.len() - data))),
        };
        let kind = match entry.dtype.as_str() {
            "F32" => Some(GgmlDType::F32),
            "F16" => Some(GgmlDType::F16),
            "BF16" => Some(GgmlDType::BF16),
            _ => None,
        };
        if kind.is_some_and(|kind| bytes_of(kind, &entry.shape) != Some(to - from)) {
            let why = format!("takes {} bytes, which are not {:?} numbers of {}; {DAMAGED}", to - from, entry.shape, entry.dtype);
            return Err(wrong(why));
        }
        let stored = Stored { kind, kind_name: entry.dtype, shape: entry.shape, bytes };
        if tensors.insert(name.clone(), stored).is_some() {
            return Err(StudentError::tensor(&path, &name, format!("comes twice; {DAMAGED}")));
        }
    }
    apart(&path, &tensors)?;
    Ok(tensors)
}
