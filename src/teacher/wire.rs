//! The small things that all providers' forms share: ids that go into paths, lines, times, and answers put into lines
//! byte for byte.
//!
//! Knows no provider.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use super::{RemoteBatch, SubmitError, TeacherError, Trouble};
use crate::domain::{UnixMillis, one_line};

/// For a create: its body may be validated before it is answered.
pub(super) const CREATE: Duration = Duration::from_secs(300);

/// An id as a part of a path; it came from outside.
pub(super) fn id(text: &str) -> Result<&str, TeacherError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
    let steps = text.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    if text.is_empty() || text.len() > 256 || steps || !text.chars().all(plain) {
        return Err(TeacherError::fatal(format!("'{}' cannot be an id or a model of this provider", one_line(text, 80))));
    }
    Ok(text)
}

/// A model that the provider does not know is no passing trouble.
pub(super) fn unknown_model(error: TeacherError, model: &str) -> TeacherError {
    match error.trouble {
        Trouble::Missing => TeacherError::fatal(format!(
            "model {model} is not known to the provider (retired?); set another one in stratos.toml. {}",
            error.why
        )),
        _ => error,
    }
}

/// A value for a query.
pub(super) fn query(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

pub(super) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub(super) fn line(line: &[u8]) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if value.is_object() { Ok(value) } else { Err("the line is no JSON object".into()) }
}

pub(super) fn text(value: &Value, key: &str) -> Result<String, String> {
    value[key].as_str().map(str::to_owned).ok_or_else(|| format!("the line has no {key}"))
}

/// A text that is there and not empty.
pub(super) fn present(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn rfc3339(value: &Value) -> Option<UnixMillis> {
    let stamp: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(UnixMillis(stamp.as_millisecond()))
}

/// The batch in a create's reply. The provider said yes, so what cannot be read may exist.
pub(super) fn made(
    raw: &[u8],
    provider: &str,
    read: impl Fn(&Value) -> Result<RemoteBatch, String>,
) -> Result<RemoteBatch, SubmitError> {
    let value: Result<Value, String> = serde_json::from_slice(raw).map_err(|e| e.to_string());
    value.and_then(|v| read(&v)).map_err(|why| {
        SubmitError::Unclear(format!("{provider} accepted the batch, but its reply cannot be read ({})", one_line(&why, 200)))
    })
}

/// Where a raw answer is put, so that it reads like a line of a result file.
pub(super) struct Spliced<'a> {
    pub provider: &'a str,
    pub id_key: &'a str,
    pub id: &'a str,
    pub before: &'a str,
    pub after: &'a str,
}

/// A result line around an answer's bytes, which stay as they came; only line ends between its tokens become spaces.
pub(super) fn splice(into: &Spliced<'_>, raw: &[u8]) -> Result<Vec<u8>, SubmitError> {
    let read: Result<Value, _> = serde_json::from_slice(raw);
    if let Err(e) = read {
        return Err(SubmitError::Unclear(format!("{} answered, but not in JSON: {e}", into.provider)));
    }
    let mut line = format!("{{\"{}\":{}{}", into.id_key, Value::from(into.id), into.before).into_bytes();
    // Within JSON, a bare line end can only stand between tokens.
    line.extend(raw.trim_ascii().iter().map(|&b| if b == b'\n' || b == b'\r' { b' ' } else { b }));
    line.extend(into.after.as_bytes());
    Ok(line)
}

/// A writer that knows whether its last line has ended, for files that follow one another.
pub(super) struct LastByte<'a> {
    into: &'a mut (dyn Write + Send),
    open: bool,
}

impl<'a> LastByte<'a> {
    pub fn new(into: &'a mut (dyn Write + Send)) -> Self {
        Self { into, open: false }
    }

    /// Ends a line that is still open.
    pub fn end_line(&mut self) -> io::Result<()> {
        if self.open { self.write_all(b"\n") } else { Ok(()) }
    }
}

impl Write for LastByte<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.into.write(bytes)?;
        if let Some(&last) = bytes[..written].last() {
            self.open = last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_climbs_or_asks_is_refused() {
        for good in ["msgbatch_01", "batches/x-1", "gpt-4.1-mini", "org/model:8b"] {
            assert_eq!(id(good), Ok(good));
        }
        for bad in ["", "../x", "a/../b", "/a", "a//b", "a?b", "a#b", "a b", "a%2e", "é"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_that_follow_one_another_do_not_share_a_line() {
        let mut kept = Vec::new();
        let mut into = LastByte::new(&mut kept);
        for part in ["a", "b\n", "", "c\n"] {
            into.end_line().expect("writes");
            into.write_all(part.as_bytes()).expect("writes");
        }
        assert_eq!(kept, b"a\nb\nc\n");
        assert_eq!(query("a/b+c=="), "a%2Fb%2Bc%3D%3D");
    }

    #[test]
    fn an_answer_is_spliced_as_it_came_on_one_line() {
        let into = Spliced { provider: "p", id_key: "custom_id", id: "a\"b", before: ",\"r\":", after: "}" };
        let line = splice(&into, b"{\n  \"x\": 1.50, \"y\": \"a\\nb\"\r\n}\n").expect("JSON");
        assert_eq!(String::from_utf8(line).expect("text"), r#"{"custom_id":"a\"b","r":{   "x": 1.50, "y": "a\nb"  }}"#);
        assert!(matches!(splice(&into, b"<html>"), Err(SubmitError::Unclear(_))));
    }
}
