//! The adapter's folder as PEFT loads it, with the text side that it was trained with.

use std::fs;

use serde_json::{Value, json};

use super::ExportError;
use super::draft::Draft;
use super::merged::{provenance_file, text_files};
use crate::deploy::{Form, Provenance};
use crate::student::StudentError;
use crate::student::effective::Effective;
use crate::student::peft::{self, Adapter};

pub(super) fn draft(student: &Effective, about: &Provenance) -> Result<Draft, ExportError> {
    let why = "the student was trained whole, it has no adapter; take merged";
    let (folder, adapter) = student.adapter().ok_or_else(|| ExportError::cannot(Form::Adapter, why))?;
    let weights = folder.join(peft::WEIGHTS_FILE);
    let bytes = fs::read(&weights).map_err(ExportError::io(&weights))?;
    let mut files = vec![
        (peft::CONFIG_FILE.to_owned(), config(&folder.join(peft::CONFIG_FILE), adapter)?),
        (peft::WEIGHTS_FILE.to_owned(), bytes),
    ];
    if let Some(base) = &adapter.base {
        files.push((peft::BASE_FILE.to_owned(), format!("{:#}\n", json!(base)).into_bytes()));
    }
    files.extend(text_files(student)?);
    files.push(provenance_file(about));
    Ok(Draft { form: Form::Adapter, files, weights: Vec::new() })
}

/// What the folder says, completed by what PEFT asks for.
fn config(path: &std::path::Path, adapter: &Adapter) -> Result<Vec<u8>, ExportError> {
    let text = fs::read_to_string(path).map_err(ExportError::io(path))?;
    let damaged = |why: String| StudentError::file(path, why);
    let mut stated: Value = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    let complete = adapter.files()?.into_iter().find(|(name, _)| *name == peft::CONFIG_FILE).map(|(_, bytes)| bytes);
    let complete: Value = serde_json::from_slice(&complete.unwrap_or_default()).map_err(|e| damaged(e.to_string()))?;
    if let (Value::Object(stated), Value::Object(complete)) = (&mut stated, complete) {
        for (key, value) in complete {
            if stated.get(&key).is_none_or(Value::is_null) {
                stated.insert(key, value);
            }
        }
        stated.insert("inference_mode".into(), json!(true));
    }
    Ok(format!("{stated:#}\n").into_bytes())
}
