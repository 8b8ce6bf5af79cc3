//! What Ollama replies, as far as we read it. Unknown fields are of another version; missing ones are empty.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub version: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tags {
    pub models: Vec<Model>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Loaded {
    pub models: Vec<Running>,
}

/// A model that it has.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Model {
    /// With its tag.
    pub name: String,
    pub digest: String,
    pub size: u64,
    pub details: Details,
}

/// A model that is loaded.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Running {
    pub name: String,
    pub digest: String,
    /// Memory that it takes.
    pub size: u64,
    /// …of it on the card.
    pub size_vram: u64,
    /// Room of a request, in tokens; 0: an older version does not say.
    pub context_length: usize,
}

/// What is known of a model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Shown {
    pub template: String,
    /// One a line.
    pub parameters: String,
    pub system: String,
    pub details: Details,
    /// The GGUF's metadata.
    pub model_info: Map<String, Value>,
    pub capabilities: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Details {
    pub format: String,
    pub family: String,
    pub parameter_size: String,
    pub quantization_level: String,
}

/// A line of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    pub status: String,
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Generated {
    pub response: String,
    pub done: bool,
    #[serde(default)]
    pub done_reason: String,
    pub prompt_eval_count: Option<usize>,
    #[serde(default)]
    pub eval_count: usize,
}
