//! The parameters that a Modelfile may set, and their types. Owns the table and a value's way into Ollama's API.

use serde_json::{Map, Value, json};

use super::ModelfileError;
use super::grammar::{Command, Name};
use crate::domain::one_line;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    Bool,
    Texts,
}

const KNOWN: [(&str, Kind); 24] = [
    ("num_ctx", Kind::Int),
    ("num_predict", Kind::Int),
    ("num_keep", Kind::Int),
    ("num_batch", Kind::Int),
    ("num_gpu", Kind::Int),
    ("main_gpu", Kind::Int),
    ("num_thread", Kind::Int),
    ("draft_num_predict", Kind::Int),
    ("top_k", Kind::Int),
    ("seed", Kind::Int),
    ("repeat_last_n", Kind::Int),
    ("temperature", Kind::Float),
    ("top_p", Kind::Float),
    ("min_p", Kind::Float),
    ("repeat_penalty", Kind::Float),
    ("presence_penalty", Kind::Float),
    ("frequency_penalty", Kind::Float),
    ("typical_p", Kind::Float),
    ("tfs_z", Kind::Float),
    ("use_mmap", Kind::Bool),
    ("numa", Kind::Bool),
    ("penalize_newline", Kind::Bool),
    ("low_vram", Kind::Bool),
    ("stop", Kind::Texts),
];

/// What is wrong with a parameter; `None`: Ollama takes it.
pub fn defect(key: &str, value: &str) -> Option<String> {
    let Some((_, kind)) = KNOWN.iter().find(|(name, _)| *name == key) else {
        return Some(format!("'{}' is no parameter", one_line(key, 40)));
    };
    let sound = match kind {
        Kind::Int => value.parse::<i64>().is_ok(),
        Kind::Float => value.parse::<f64>().is_ok_and(f64::is_finite),
        Kind::Bool => value.parse::<bool>().is_ok(),
        Kind::Texts => true,
    };
    (!sound).then(|| {
        format!(
            "{key} is '{}', which is no {}",
            one_line(value, 40),
            if *kind == Kind::Bool { "true or false" } else { "number" }
        )
    })
}

/// The parameters as the API takes them.
pub fn parameters(commands: &[Command]) -> Result<Map<String, Value>, ModelfileError> {
    let mut all = Map::new();
    for command in commands.iter().filter(|c| c.name == Name::Parameter) {
        let (key, value) = (command.key.as_str(), command.value.as_str());
        if let Some(why) = defect(key, value) {
            return Err(ModelfileError::Syntax { line: command.line, why });
        }
        let kind = KNOWN.iter().find(|(name, _)| *name == key).map_or(Kind::Texts, |(_, kind)| *kind);
        let typed = match kind {
            Kind::Int => json!(value.parse::<i64>().unwrap_or_default()),
            Kind::Float => json!(value.parse::<f64>().unwrap_or_default()),
            Kind::Bool => json!(value.parse::<bool>().unwrap_or_default()),
            Kind::Texts => {
                let texts = all.entry(key).or_insert_with(|| json!([]));
                texts.as_array_mut().into_iter().for_each(|texts| texts.push(json!(value)));
                continue;
            }
        };
        all.insert(key.to_owned(), typed);
    }
    Ok(all)
}
