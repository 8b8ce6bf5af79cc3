//! Scored rows. Owns the row that every metric is computed from and the reading of row files; what is computed is
//! `metrics`', where predictions come from is the student's.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::table::{Table, TableBuilder};
use crate::domain::{Bands, one_line, recipe::Scale};

/// Longest line that is read: 4 MiB. A row is a hundred bytes; a longer line is another kind of file.
const MAX_LINE: usize = 4 << 20;

/// One judged pair: the teacher's score and the student's, `None` where the output had no readable score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub article: String,
    pub profile: String,
    pub truth: f64,
    pub predicted: Option<f64>,
}

/// Why a row file cannot be used, with file, line and remedy.
#[derive(Debug, Error)]
pub enum RowsError {
    #[error("{}: {source}; check that the file exists and is readable", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: no rows; give one JSON object per line with article_id, profile_id, truth and predicted", path.display())]
    Empty { path: PathBuf },
    #[error("{}:{line}: {defect}", path.display())]
    Line { path: PathBuf, line: usize, defect: RowDefect },
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RowDefect {
    #[error("the line is longer than 4 MiB; write one row per line")]
    TooLong,
    #[error("the line is not valid UTF-8; save the file as UTF-8")]
    NotUtf8,
    #[error("broken JSON ({0}); write one JSON object per line")]
    Json(String),
    #[error("the line is not a JSON object; write {{\"article_id\", \"profile_id\", \"truth\", \"predicted\"}}")]
    NotAnObject,
    #[error("'{0}' is missing or not a text; add it")]
    NoId(&'static str),
    #[error("'truth' is missing or not a number; every row needs the teacher's score")]
    NoTruth,
    #[error("truth {truth} is outside the scale {min}–{max}; correct it or use the recipe it was scored with")]
    TruthOutOfScale { truth: f64, min: f64, max: f64 },
    #[error("'predicted' is neither a number nor null; write null where the output had no score")]
    BadPrediction,
    #[error("article '{article}' with profile '{profile}' is already on line {first}; keep one of the two")]
    Duplicate { article: String, profile: String, first: usize },
}

/// Reads a JSONL file of rows. A prediction that is null, missing, NaN or outside the scale is a failure (`None`);
/// blank lines are skipped.
pub fn read_rows(path: &Path, scale: &Scale) -> Result<Vec<Row>, RowsError> {
    let mut rows = Vec::new();
    let mut names = TableBuilder::default();
    each_row(path, scale, &mut names, &mut |_, _, row| rows.push(row))?;
    Ok(rows)
}

/// The same rows as a table, without keeping a name twice: a million of them fit.
pub(super) fn read_table(path: &Path, bands: &Bands, scale: &Scale) -> Result<Table, RowsError> {
    let mut builder = TableBuilder::default();
    each_row(path, scale, &mut builder, &mut |builder, pair, row| builder.push(pair, row.truth, row.predicted))?;
    Ok(builder.finish(bands, scale))
}

/// Hears of a row and of the numbers of its article and reader.
type OnRow<'a> = dyn FnMut(&mut TableBuilder, (u32, u32), Row) + 'a;

/// Hands on row by row with the numbers of its article and reader; the second row of a pair is refused.
fn each_row(path: &Path, scale: &Scale, names: &mut TableBuilder, on_row: &mut OnRow<'_>) -> Result<(), RowsError> {
    let io = |source| RowsError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut first_seen: HashMap<(u32, u32), u32> = HashMap::new();
    let mut buffer = Vec::new();
    for line in 1.. {
        let at = |defect| RowsError::Line { path: path.to_owned(), line, defect };
        buffer.clear();
        let read = reader.by_ref().take(MAX_LINE as u64 + 2).read_until(b'\n', &mut buffer).map_err(io)?;
        if read == 0 {
            break;
        }
        if buffer.strip_suffix(b"\n").unwrap_or(&buffer).len() > MAX_LINE {
            return Err(at(RowDefect::TooLong));
        }
        let text = str::from_utf8(&buffer).map_err(|_| at(RowDefect::NotUtf8))?;
        let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { text }.trim();
        if text.is_empty() {
            continue;
        }
        let row = parse_row(text, scale).map_err(at)?;
        let pair = names.pair(&row.article, &row.profile);
        if let Some(first) = first_seen.insert(pair, line as u32) {
            let first = first as usize;
            let (article, profile) = (one_line(&row.article, 80), one_line(&row.profile, 80));
            return Err(at(RowDefect::Duplicate { article, profile, first }));
        }
        on_row(names, pair, row);
    }
    if first_seen.is_empty() { Err(RowsError::Empty { path: path.to_owned() }) } else { Ok(()) }
}

fn parse_row(text: &str, scale: &Scale) -> Result<Row, RowDefect> {
    let value: Value = serde_json::from_str(text)
        // Python writes NaN and Infinity, which are not JSON; they mean "no number".
        .or_else(|error| serde_json::from_str(&without_nan(text)).map_err(|_| error))
        .map_err(|error| RowDefect::Json(one_line(&error.to_string(), 120)))?;
    let Value::Object(fields) = value else {
        return Err(RowDefect::NotAnObject);
    };
    let id = |name| match fields.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err(RowDefect::NoId(name)),
    };
    let (article, profile) = (id("article_id")?, id("profile_id")?);
    let truth = fields.get("truth").and_then(Value::as_f64).ok_or(RowDefect::NoTruth)?;
    let (min, max) = scale.range();
    if !(min..=max).contains(&truth) {
        return Err(RowDefect::TruthOutOfScale { truth, min, max });
    }
    let predicted = match fields.get("predicted") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) => number.as_f64().filter(|p| (min..=max).contains(p)),
        Some(_) => return Err(RowDefect::BadPrediction),
    };
    Ok(Row { article, profile, truth, predicted })
}

/// The text with `NaN`, `Infinity` and `-Infinity` outside strings replaced by `null`.
fn without_nan(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut quoted, mut escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        let token = ["NaN", "-Infinity", "Infinity"].into_iter().find(|token| !quoted && rest.starts_with(token));
        if let Some(token) = token {
            out.push_str("null");
            rest = &rest[token.len()..];
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale { min: 0.0, max: 10.0, relevant_from: 5.0, forbidden: Vec::new() };

    fn read(bytes: &[u8]) -> Result<Vec<Row>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, bytes).expect("writes");
        read_rows(&path, &SCALE).map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn a_prediction_that_is_no_score_is_a_failure_not_an_error() {
        let text = r#"{"article_id":"a","profile_id":"p","truth":7.0,"predicted":6.5}
{"article_id":"a","profile_id":"q","truth":7,"predicted":null}

{"article_id":"NaN \" NaN","profile_id":"r","truth":1.0,"predicted":NaN}
{"article_id":"a","profile_id":"s","truth":1.0}
{"article_id":3,"profile_id":"s","truth":0.0,"predicted":11.0}"#;
        let rows = read(text.as_bytes()).expect("reads");
        assert_eq!(rows.iter().map(|r| r.predicted).collect::<Vec<_>>(), [Some(6.5), None, None, None, None]);
        assert_eq!((rows[2].article.as_str(), rows[4].article.as_str()), ("NaN \" NaN", "3"));
    }

    #[test]
    fn each_defect_names_file_line_and_remedy() {
        let good = br#"{"article_id":"a","profile_id":"p","truth":7.0,"predicted":6.5}"#;
        let cases: [(&[u8], &str); 8] = [
            (b"{\"article_id\":", "broken JSON"),
            (b"[1]", "not a JSON object"),
            (b"{\"profile_id\":\"p\",\"truth\":1}", "'article_id' is missing"),
            (b"{\"article_id\":\"a\",\"profile_id\":\"q\",\"predicted\":1}", "every row needs the teacher's score"),
            (b"{\"article_id\":\"a\",\"profile_id\":\"q\",\"truth\":10.5}", "truth 10.5 is outside the scale 0–10"),
            (b"{\"article_id\":\"a\",\"profile_id\":\"q\",\"truth\":1,\"predicted\":\"7\"}", "write null"),
            (b"{\"article_id\":\"\xff\"}", "save the file as UTF-8"),
            (good, "already on line 1; keep one"),
        ];
        for (line, said) in cases {
            let error = read(&[good.as_slice(), b"\n", line, b"\n"].concat()).expect_err(said);
            assert!(error.starts_with("rows.jsonl:2: ") && error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn an_endless_line_is_refused_without_being_read_whole() {
        let error = read(&vec![b' '; MAX_LINE + 1]).expect_err("too long");
        assert_eq!(error, "rows.jsonl:1: the line is longer than 4 MiB; write one row per line");
        assert!(read(&vec![b' '; MAX_LINE]).expect_err("blank").contains("no rows"));
    }

    #[test]
    fn a_file_without_rows_or_without_existence_is_an_error() {
        assert!(read(b"").expect_err("empty").starts_with("rows.jsonl: no rows"));
        assert!(read(b"\n \n").expect_err("blank").starts_with("rows.jsonl: no rows"));
        let error = read_rows(Path::new("/no/such/file"), &SCALE).expect_err("missing").to_string();
        assert!(error.starts_with("/no/such/file: ") && error.contains("check that the file exists"), "{error}");
    }
}
