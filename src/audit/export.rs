//! Verdicts as a file: one row a reading, as CSV or JSON lines.
//!
//! Owns the columns and the quoting. Text that a spreadsheet would run as a formula is written with a mark before it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::domain::MarkedSpan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    Csv,
    JsonLines,
}

impl ExportFormat {
    /// By the end of the file's name.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// One reading that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportRow {
    pub article: String,
    pub profile: String,
    pub title: String,
    pub author: String,
    pub source: String,
    /// Digest of the text that was read.
    pub trace: String,
    pub round: String,
    pub verdict: String,
    pub note: String,
    pub score: Option<f64>,
    pub band: String,
    pub remedy: String,
    pub fixed_score: Option<f64>,
    pub fixed_reason: String,
    pub spans: Vec<MarkedSpan>,
    pub seconds: Option<f64>,
    pub drawn: String,
    /// Milliseconds since 1970, UTC.
    pub at: i64,
    /// It is the verdict that counts of its text; an earlier one of the same text is not.
    pub stands: bool,
}

const COLUMNS: [&str; 19] = [
    "article",
    "profile",
    "title",
    "author",
    "source",
    "trace",
    "round",
    "verdict",
    "note",
    "score",
    "band",
    "remedy",
    "fixed_score",
    "fixed_reason",
    "spans",
    "seconds",
    "drawn",
    "at",
    "stands",
];

/// The file's text.
pub fn export(rows: &[ExportRow], format: ExportFormat) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    if format == ExportFormat::JsonLines {
        for row in rows {
            text.push_str(&serde_json::to_string(row)?);
            text.push('\n');
        }
        return Ok(text);
    }
    text.push_str(&COLUMNS.join(","));
    text.push_str("\r\n");
    for row in rows {
        let number = |n: Option<f64>| n.map_or_else(String::new, |n| n.to_string());
        let words =
            [&row.article, &row.profile, &row.title, &row.author, &row.source, &row.trace, &row.round, &row.verdict, &row.note];
        let mut cells: Vec<String> = words.into_iter().map(|t| cell(t)).collect();
        cells.extend([number(row.score), cell(&row.band), cell(&row.remedy), number(row.fixed_score), cell(&row.fixed_reason)]);
        cells.extend([cell(&serde_json::to_string(&row.spans)?), number(row.seconds), cell(&row.drawn)]);
        let _ = write!(text, "{},{},{}\r\n", cells.join(","), row.at, row.stands);
    }
    Ok(text)
}

/// One cell of text: quoted where it has to be, and no formula.
fn cell(text: &str) -> String {
    let mark = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if mark.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    fn row() -> ExportRow {
        ExportRow {
            article: "a1".into(),
            profile: "p1".into(),
            title: "=HYPERLINK(\"x\"), said \"he\"\nand she".into(),
            author: "teacher".into(),
            source: "t/m".into(),
            trace: "00".into(),
            round: "first".into(),
            verdict: "wrong_overlap".into(),
            note: String::new(),
            score: Some(7.5),
            band: "High".into(),
            remedy: "fix".into(),
            fixed_score: Some(2.0),
            fixed_reason: "Because.".into(),
            spans: vec![MarkedSpan { start: 0, end: 3, kind: Verdict::WrongArticle }],
            seconds: None,
            drawn: "random".into(),
            at: 5,
            stands: true,
        }
    }

    #[test]
    fn a_title_is_quoted_and_never_a_formula() {
        let text = export(&[row()], ExportFormat::Csv).expect("writes");
        let (head, body) = text.split_once("\r\n").expect("two lines");
        assert_eq!(head.split(',').count(), 19);
        assert!(body.starts_with("a1,p1,\"'=HYPERLINK(\"\"x\"\"), said \"\"he\"\"\nand she\",teacher,"), "{body}");
        assert!(body.ends_with(",,random,5,true\r\n"), "{body}");
    }

    #[test]
    fn a_json_line_has_the_columns_of_the_table() {
        let text = export(&[row(), row()], ExportFormat::JsonLines).expect("writes");
        assert_eq!(text.lines().count(), 2);
        let value: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("reads");
        let names: Vec<&String> = value.as_object().expect("an object").keys().collect();
        assert_eq!(names, COLUMNS.iter().collect::<Vec<_>>());
        assert_eq!(value["spans"][0]["kind"], "wrong_article");
    }

    #[test]
    fn the_format_is_told_by_the_name() {
        assert_eq!(ExportFormat::of_extension("CSV"), Some(ExportFormat::Csv));
        assert_eq!(ExportFormat::of_extension("jsonl"), Some(ExportFormat::JsonLines));
        assert_eq!(ExportFormat::of_extension("xlsx"), None);
    }
}
