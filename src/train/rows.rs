//! Rows of a JSONL file as training examples: chat `messages`, or TRL's `prompt` and `completion`; with an id, a weight and a
//! score where they are given. Owns the format; knows no dataset and no workspace.

use std::path::Path;

use serde::Deserialize;

use super::{TrainError, TrainExample};
use crate::domain::{ChatMessage, Role};

/// One line.
#[derive(Debug, Deserialize)]
struct Line {
    id: Option<String>,
    #[serde(default)]
    messages: Vec<Turn>,
    #[serde(default)]
    prompt: Vec<Turn>,
    #[serde(default)]
    completion: Vec<Turn>,
    weight: Option<f32>,
    score: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Turn {
    role: Role,
    content: String,
}

/// An example, and its score where the file says it.
#[derive(Debug, Clone)]
pub struct ScoredRow {
    pub example: TrainExample,
    pub score: Option<f64>,
}

/// Reads a file whose rows end with the assistant's turn. A bad line is an error that says which.
pub fn read(path: &Path) -> Result<Vec<ScoredRow>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(n, line)| row(line, n + 1).map_err(|why| TrainError::Rows { path: path.to_owned(), line: n + 1, why })).collect()
}

fn row(line: &str, number: usize) -> Result<ScoredRow, String> {
    let line: Line = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let turns = line.messages.into_iter().chain(line.prompt).chain(line.completion);
    let messages: Vec<ChatMessage> = turns.map(|t| ChatMessage::new(t.role, t.content)).collect();
    if messages.last().is_none_or(|m| m.role != Role::Assistant) || messages.len() < 2 {
        return Err("it must hold a prompt and end with the assistant's turn".into());
    }
    let weight = line.weight.unwrap_or(1.0);
    if !weight.is_finite() || weight < 0.0 {
        return Err(format!("weight {weight} must be a number from 0 on"));
    }
    let id = line.id.unwrap_or_else(|| format!("row-{number}"));
    Ok(ScoredRow { example: TrainExample { id, messages, weight }, score: line.score })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Vec<ScoredRow>, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn both_spellings_of_a_row_are_one() {
        let a =
            r#"{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], "id": "x", "weight": 2}"#;
        let b = r#"{"prompt": [{"role": "user", "content": "u"}], "completion": [{"role": "assistant", "content": "a"}], "score": 3.5}"#;
        let rows = file(&format!("{a}\n\n{b}\n")).unwrap();
        assert_eq!(rows[0].example.messages, rows[1].example.messages);
        assert_eq!((rows[0].example.id.as_str(), rows[1].example.id.as_str()), ("x", "row-3"));
        assert_eq!((rows[0].example.weight, rows[1].score), (2.0, Some(3.5)));
    }

    #[test]
    fn a_bad_line_is_named() {
        for bad in
            [r#"{"messages": [{"role": "user", "content": "u"}]}"#, "{", r#"{"messages": [{"role": "judge", "content": "u"}]}"#]
        {
            assert!(file(bad).unwrap_err().to_string().contains("line 1"), "{bad}");
        }
    }
}
