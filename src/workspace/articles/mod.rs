//! Articles in files: what a file is, told by its content, and its rows one after the other.
//!
//! Owns the formats. Who may have an article twice, and what is stored, is the import's.

mod columnar;
mod encoding;
mod feed;
mod identity;
mod plain;
mod record;
mod table;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use columnar::Columnar;
use table::Table;

pub use feed::FeedTerms;

use super::{JsonRecords, WorkspaceError};
use crate::domain::Article;

/// Characters of a field, at most: an article is judged by its headline and a short text.
const MAX_FIELD: usize = 200_000;

/// Bytes that tell what a file is.
const SNIFFED: u64 = 4_096;

/// Bytes of a feed, at most; it is read whole.
const MAX_FEED: u64 = 32 << 20;

const REMEDY: &str = "Mend or remove it and import again; nothing was stored";

/// An article and where it stood.
#[derive(Debug, Clone, PartialEq)]
pub struct ArticleRow {
    /// Its line; of a JSON array, a feed and a Parquet file, its number.
    pub line: usize,
    pub article: Article,
    /// Its source says of itself what it is; else an operator's word for it stays.
    pub typed: bool,
}

/// The articles of one file, one after the other. The first bad one ends it.
pub struct ArticleFile {
    path: PathBuf,
    size: u64,
    rows: Rows,
}

enum Rows {
    Json(JsonRecords<Article>),
    Table(Box<Table>),
    Columns(Box<Columnar>),
    Feed { articles: std::vec::IntoIter<Article>, number: usize, typed: bool },
}

/// What a file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    Feed,
    Table(u8),
    Columns,
}

/// JSON, XML and Parquet begin as nothing else does; a table begins with the names of its columns. What is none of them is read as
/// JSON lines, whose errors name the line.
fn shape(head: &[u8]) -> Shape {
    if head.starts_with(columnar::MAGIC) {
        return Shape::Columns;
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let utf16 = head.starts_with(b"\xff\xfe<") || head.starts_with(b"\xfe\xff\0<");
    match head.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'<') => Shape::Feed,
        _ if utf16 => Shape::Feed,
        Some(b'{' | b'[') | None => Shape::Json,
        Some(_) => {
            let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
            table::delimiter(&String::from_utf8_lossy(line)).map_or(Shape::Json, Shape::Table)
        }
    }
}

impl ArticleFile {
    /// `terms`: what is known of the file if it is a feed.
    pub fn open(path: &Path, terms: &FeedTerms) -> Result<Self, WorkspaceError> {
        let io = |e| WorkspaceError::io("read", path, e);
        let file = File::open(path).map_err(|e| WorkspaceError::io("open", path, e))?;
        let size = file.metadata().map_err(io)?.len();
        let mut head = Vec::new();
        file.take(SNIFFED).read_to_end(&mut head).map_err(io)?;
        let rows = match shape(&head) {
            Shape::Json => Rows::Json(JsonRecords::open(path)?),
            Shape::Table(delimiter) => Rows::Table(Box::new(Table::open(path, delimiter)?)),
            Shape::Columns => Rows::Columns(Box::new(Columnar::open(path)?)),
            Shape::Feed => feed_rows(path, size, terms)?,
        };
        Ok(Self { path: path.to_owned(), size, rows })
    }

    /// Bytes that were read, of so many.
    pub fn progress(&self) -> (u64, u64) {
        let read = match &self.rows {
            Rows::Json(records) => records.bytes(),
            Rows::Table(table) => table.bytes(),
            Rows::Columns(rows) => (rows.share() * self.size as f64) as u64,
            Rows::Feed { .. } => self.size,
        };
        (read.min(self.size), self.size)
    }

    fn proved(&self, row: ArticleRow) -> Result<ArticleRow, WorkspaceError> {
        let a = &row.article;
        let fields =
            [("title", &a.title), ("summary", &a.summary), ("source", &a.source), ("url", &a.url), ("category", &a.category)];
        let long = fields.iter().find(|(_, text)| text.len() > MAX_FIELD && text.chars().count() > MAX_FIELD);
        match long {
            Some((name, _)) => Err(bad(&self.path, row.line, format!("its {name} is longer than {MAX_FIELD} characters"))),
            None => Ok(row),
        }
    }
}

fn bad(path: &Path, line: usize, why: String) -> WorkspaceError {
    WorkspaceError::Record { file: path.to_owned(), line, why, remedy: REMEDY }
}

fn feed_rows(path: &Path, size: u64, terms: &FeedTerms) -> Result<Rows, WorkspaceError> {
    if size > MAX_FEED {
        let why = format!("a feed of {size} bytes is too large; at most {MAX_FEED} are read. Nothing was stored");
        return Err(WorkspaceError::File { file: path.to_owned(), why });
    }
    let bytes = std::fs::read(path).map_err(|e| WorkspaceError::io("read", path, e))?;
    let text = encoding::decode(bytes).map_err(|(line, why)| bad(path, line, why))?;
    let articles = feed::articles(&text, terms).map_err(|e| bad(path, e.line, e.why))?;
    Ok(Rows::Feed { articles: articles.into_iter(), number: 0, typed: terms.source_type.is_some() })
}

impl Iterator for ArticleFile {
    type Item = Result<ArticleRow, WorkspaceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.rows {
            Rows::Json(records) => records.next()?.map(|(line, article)| ArticleRow { line, article, typed: true }),
            Rows::Table(table) => table
                .next()?
                .map(|(line, article, typed)| ArticleRow { line, article, typed })
                .map_err(|(line, why)| bad(&self.path, line, why)),
            Rows::Columns(rows) => rows
                .next()?
                .map(|(line, article, typed)| ArticleRow { line, article, typed })
                .map_err(|(line, why)| bad(&self.path, line, why)),
            Rows::Feed { articles, number, typed } => {
                *number += 1;
                Ok(ArticleRow { line: *number, article: articles.next()?, typed: *typed })
            }
        };
        Some(next.and_then(|row| self.proved(row)))
    }
}

#[cfg(test)]
mod tests;
