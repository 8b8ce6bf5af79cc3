//! A GGUF file as llama.cpp's own converter and quantiser would make it: version 3, everything before the first number known
//! from shapes alone. Owns the container; `keys` describes the decoder, `words` its tokenizer, `recipe` which
//! tensor is stored how.

mod keys;
mod recipe;
mod words;

pub(super) use words::words;

use candle_core::quantized::GgmlDType;

use super::ExportError;
use super::draft::{Source, Tensor, WeightFile};
use super::numbers::bytes_of;
use crate::deploy::{Form, Provenance, Quant};
use crate::student::base::Projection;
use crate::student::config::{Family, RopeScaling};
use crate::student::effective::{Effective, Part, Place};
use crate::student::gguf::number_of;
use crate::student::load::gguf_name;

const ALIGNMENT: usize = 32;
const VERSION: u32 = 3;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

pub(super) type Entry = (String, Value);

/// The file of one quantisation; `words` is its text side.
pub(super) fn draft(student: &Effective, quant: Quant, words: &[Entry], about: &Provenance) -> Result<WeightFile, ExportError> {
    let form = Form::Gguf(quant);
    let config = &student.config;
    keys::expressible(config).map_err(|why| ExportError::cannot(form, why))?;
    let mut entries = keys::shape(config, quant, &about.name);
    entries.extend(words.iter().cloned());
    entries.extend(about.entries().into_iter().map(|(key, value)| (key.to_owned(), Value::Text(value))));
    let mut tensors = Vec::new();
    let mut places = Vec::new();
    if let RopeScaling::Llama3 { .. } = config.rope.scaling {
        let factors = keys::rope_factors(config);
        let bytes = 4 * factors.len() as u64;
        places.push(("rope_freqs.weight".to_owned(), vec![factors.len()], GgmlDType::F32));
        tensors.push(Tensor { source: Source::Given("rope_freqs.weight", factors), kind: GgmlDType::F32, bytes, padding: 0 });
    }
    for place in student.places() {
        let kind = recipe::kind(quant, &place, config);
        let unknown = || ExportError::cannot(form, format!("tensor {} has no place in a GGUF", place.name));
        let bytes = bytes_of(kind, &place.shape).ok_or_else(unknown)?;
        places.push((gguf_name(config.family, &place.name).ok_or_else(unknown)?, place.shape.clone(), kind));
        tensors.push(Tensor { source: source(place, config.family, config.head_dim), kind, bytes, padding: 0 });
    }
    for tensor in &mut tensors {
        tensor.padding = tensor.bytes.next_multiple_of(ALIGNMENT as u64).wrapping_sub(tensor.bytes) as usize;
    }
    let name = form.place().rsplit('/').next().unwrap_or_default().to_owned();
    Ok(WeightFile { name, header: header(&entries, &places, &tensors), tensors })
}

/// llama.cpp turns the two numbers of a rotary pair side by side, where the family's own code has them half a head apart.
fn source(place: Place, family: Family, head_dim: usize) -> Source {
    match place.part {
        Part::Projection(_, Projection::Query | Projection::Key) if family == Family::Llama => Source::Paired(place, head_dim),
        _ => Source::Student(place),
    }
}

fn header(entries: &[Entry], places: &[(String, Vec<usize>, GgmlDType)], tensors: &[Tensor]) -> Vec<u8> {
    let mut all = b"GGUF".to_vec();
    all.extend(VERSION.to_le_bytes());
    all.extend((places.len() as u64).to_le_bytes());
    all.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        text(&mut all, key);
        put(&mut all, value);
    }
    let mut offset = 0_u64;
    for ((name, shape, kind), tensor) in places.iter().zip(tensors) {
        text(&mut all, name);
        all.extend((shape.len() as u32).to_le_bytes());
        // Innermost first.
        shape.iter().rev().for_each(|n| all.extend((*n as u64).to_le_bytes()));
        all.extend(number_of(*kind).unwrap_or_default().to_le_bytes());
        all.extend(offset.to_le_bytes());
        offset += tensor.bytes + tensor.padding as u64;
    }
    all.resize(all.len().next_multiple_of(ALIGNMENT), 0);
    all
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.extend((text.len() as u64).to_le_bytes());
    into.extend(text.as_bytes());
}

/// A value after the number of its kind.
fn put(into: &mut Vec<u8>, value: &Value) {
    const ARRAY: u32 = 9;
    let kind = |into: &mut Vec<u8>, kind: u32| into.extend(kind.to_le_bytes());
    let array = |into: &mut Vec<u8>, of: u32, len: usize| {
        kind(into, ARRAY);
        kind(into, of);
        into.extend((len as u64).to_le_bytes());
    };
    match value {
        Value::U32(n) => {
            kind(into, 4);
            into.extend(n.to_le_bytes());
        }
        Value::F32(n) => {
            kind(into, 6);
            into.extend(n.to_le_bytes());
        }
        Value::Bool(yes) => {
            kind(into, 7);
            into.push(u8::from(*yes));
        }
        Value::Text(all) => {
            kind(into, 8);
            text(into, all);
        }
        Value::Texts(all) => {
            array(into, 8, all.len());
            for one in all {
                text(into, one);
            }
        }
        Value::I32s(all) => {
            array(into, 5, all.len());
            into.extend(all.iter().flat_map(|n| n.to_le_bytes()));
        }
        Value::F32s(all) => {
            array(into, 6, all.len());
            into.extend(all.iter().flat_map(|n| n.to_le_bytes()));
        }
    }
}
