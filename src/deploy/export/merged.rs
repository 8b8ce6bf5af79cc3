//! The merged student as transformers loads it: safetensors, in shards where they are large, with configuration and text
//! side beside them.

use candle_core::quantized::GgmlDType;
use serde_json::{Map, Value, json};

use super::ExportError;
use super::draft::{Draft, Source, Tensor, WeightFile};
use super::numbers::bytes_of;
use crate::deploy::{Form, Provenance};
use crate::student::StudentConfig;
use crate::student::config::Family;
use crate::student::effective::{Effective, Place, Text};

/// Bytes of a shard, as transformers cuts them.
const SHARD: u64 = 5_000_000_000;
const GENERATION_FILE: &str = "generation_config.json";

pub(super) fn draft(student: &Effective, about: &Provenance) -> Result<Draft, ExportError> {
    sharded(student, about, SHARD)
}

/// With weight files of at most so many bytes.
pub(super) fn sharded(student: &Effective, about: &Provenance, most: u64) -> Result<Draft, ExportError> {
    let kind = match student.kind() {
        narrow @ (GgmlDType::BF16 | GgmlDType::F16) => narrow,
        _ => GgmlDType::F32,
    };
    let shards = shards(student.places(), kind, most);
    let mut files =
        vec![("config.json".to_owned(), config(&student.config, kind)), (GENERATION_FILE.to_owned(), generation(student)?)];
    files.extend(text_files(student)?);
    files.push(provenance_file(about));
    let count = shards.len();
    let name = |n: usize| {
        if count == 1 { "model.safetensors".to_owned() } else { format!("model-{:05}-of-{count:05}.safetensors", n + 1) }
    };
    if count > 1 {
        files.push(("model.safetensors.index.json".to_owned(), index(&shards, kind, name)));
    }
    let weights = shards.into_iter().enumerate().map(|(n, places)| file(name(n), places, kind, about)).collect();
    Ok(Draft { form: Form::Merged, files, weights })
}

/// Tokenizer and template.
pub(super) fn text_files(student: &Effective) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let tokenizer = student.text.tokenizer().to_string(false);
    let tokenizer = tokenizer.map_err(|e| ExportError::cannot(Form::Merged, format!("its tokenizer cannot be written: {e}")))?;
    let config = student.text.config().into_bytes();
    let mut files = vec![("tokenizer.json".to_owned(), tokenizer.into_bytes()), ("tokenizer_config.json".to_owned(), config)];
    // Where transformers looks first.
    files.extend(student.text.template().map(|template| ("chat_template.jinja".to_owned(), template.into_bytes())));
    Ok(files)
}

/// Where it came from, for whoever finds the folder.
pub(super) fn provenance_file(about: &Provenance) -> (String, Vec<u8>) {
    ("provenance.json".to_owned(), format!("{:#}\n", json!(about)).into_bytes())
}

/// Places in files of at most so many bytes, one tensor at least in each.
fn shards(places: Vec<Place>, kind: GgmlDType, most: u64) -> Vec<Vec<Place>> {
    let (mut all, mut size): (Vec<Vec<Place>>, u64) = (Vec::new(), 0);
    for place in places {
        let bytes = bytes_of(kind, &place.shape).unwrap_or(0);
        match all.last_mut().filter(|_| size + bytes <= most) {
            Some(shard) => shard.push(place),
            None => {
                size = 0;
                all.push(vec![place]);
            }
        }
        size += bytes;
    }
    all
}

fn dtype(kind: GgmlDType) -> (&'static str, &'static str) {
    match kind {
        GgmlDType::BF16 => ("BF16", "bfloat16"),
        GgmlDType::F16 => ("F16", "float16"),
        _ => ("F32", "float32"),
    }
}

fn file(name: String, places: Vec<Place>, kind: GgmlDType, about: &Provenance) -> WeightFile {
    let mut metadata = Map::from_iter([("format".to_owned(), json!("pt"))]);
    metadata.extend(about.entries().into_iter().map(|(key, value)| (key.to_owned(), json!(value))));
    let mut header = Map::from_iter([("__metadata__".to_owned(), Value::Object(metadata))]);
    let mut at = 0;
    let mut tensors = Vec::new();
    for place in places {
        let bytes = bytes_of(kind, &place.shape).unwrap_or(0);
        let entry = json!({"dtype": dtype(kind).0, "shape": place.shape, "data_offsets": [at, at + bytes]});
        header.insert(place.name.clone(), entry);
        at += bytes;
        tensors.push(Tensor { source: Source::Student(place), kind, bytes, padding: 0 });
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    WeightFile { name, header: [&(text.len() as u64).to_le_bytes()[..], &text].concat(), tensors }
}

fn index(shards: &[Vec<Place>], kind: GgmlDType, name: impl Fn(usize) -> String) -> Vec<u8> {
    let total: u64 = shards.iter().flatten().filter_map(|p| bytes_of(kind, &p.shape)).sum();
    let named = shards.iter().enumerate().flat_map(|(n, places)| places.iter().map(move |p| (n, p)));
    let map: Map<String, Value> = named.map(|(n, place)| (place.name.clone(), json!(name(n)))).collect();
    format!("{:#}\n", json!({"metadata": {"total_size": total}, "weight_map": map})).into_bytes()
}

fn config(config: &StudentConfig, kind: GgmlDType) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(&config.to_json()).unwrap_or_default();
    if let Value::Object(value) = &mut value {
        let (architecture, model_type) = match config.family {
            Family::Llama => ("LlamaForCausalLM", "llama"),
            Family::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
            Family::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
            // Of a model that also sees, only what reads and writes was taken.
            Family::Gemma3 => ("Gemma3ForCausalLM", "gemma3_text"),
        };
        value.insert("architectures".into(), json!([architecture]));
        value.insert("model_type".into(), json!(model_type));
        value.insert("tie_word_embeddings".into(), json!(config.tie_word_embeddings));
        value.remove("dtype");
        value.insert("torch_dtype".into(), json!(dtype(kind).1));
    }
    format!("{value:#}\n").into_bytes()
}

/// The base's own settings of generation, ending where the student ends.
fn generation(student: &Effective) -> Result<Vec<u8>, ExportError> {
    let path = student.base().join(GENERATION_FILE);
    let own = if path.is_file() { std::fs::read(&path).map_err(ExportError::io(&path))? } else { b"{}".to_vec() };
    let mut value: Value = serde_json::from_slice(&own).unwrap_or_else(|_| json!({}));
    let config: Value = serde_json::from_str(&student.config.to_json()).unwrap_or_default();
    if let Value::Object(value) = &mut value {
        for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            match config.get(key).filter(|id| !id.is_null()) {
                Some(id) => drop(value.insert(key.into(), id.clone())),
                None if matches!(student.text, Text::Chat(_)) => drop(value.remove(key)),
                None => {}
            }
        }
    }
    Ok(format!("{value:#}\n").into_bytes())
}
