//! What the tests of the paid teachers share.

use serde_json::Value;

use super::settings::Settings;
use super::{Ask, ErrorKind, Outcome, Schema, Stop, Teacher};
use crate::domain::{TeacherPrompt, Tokens};

pub(super) fn settings(provider: &str) -> Settings {
    Settings { provider: provider.into(), model: "model-1".into(), cache: true, concurrency: 4, ..Settings::default() }
}

/// The body for one small question.
pub(super) fn encoded(teacher: &dyn Teacher, schema: bool) -> Value {
    let prompt = TeacherPrompt { rubric: "RUBRIC".into(), reader: "READER".into(), user: "ARTICLE".into() };
    let schema = schema.then(|| Schema { name: "prism", schema: serde_json::json!({"type": "object"}) });
    teacher.encode(&Ask { prompt: &prompt, schema: schema.as_ref(), max_output_tokens: 700, material: &Value::Null })
}

pub(super) fn answered(text: &str, stop: Stop, tokens: Tokens) -> Outcome {
    Outcome::Answered { text: text.into(), stop, tokens }
}

pub(super) fn errored(why: &str, kind: ErrorKind) -> Outcome {
    Outcome::Errored { why: why.into(), kind }
}

/// Every line reads as it should, under the id `q-1`.
pub(super) fn assert_lines(teacher: &dyn Teacher, table: &[(&str, Outcome)]) {
    for (line, wanted) in table {
        let read = teacher.read_line(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!((read.custom_id.as_str(), &read.outcome), ("q-1", wanted), "{line}");
    }
}
