//! Tables of articles: CSV and TSV with a header line.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};

use super::record::{self, Content};
use crate::domain::Article;
use crate::workspace::{MAX_LINE_BYTES, WorkspaceError};

/// The delimiter of a header line that names a title; `None`: it is no table of articles.
pub fn delimiter(header: &str) -> Option<u8> {
    let titled = |delimiter: &char| header.split(*delimiter).any(|name| record::field(name) == Some("title"));
    ['\t', ',', ';']
        .into_iter()
        .find(|d| header.contains(*d) && titled(d))
        .or_else(|| titled(&',').then_some(','))
        .map(|d| d as u8)
}

/// Refuses a record that never ends, as one open quote makes of a whole file.
struct Metered {
    file: BufReader<File>,
    /// Bytes read since the last record, and of the whole file.
    since: Rc<Cell<usize>>,
    all: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.all.set(self.all.get() + read as u64);
        self.since.set(self.since.get() + read);
        if self.since.get() > MAX_LINE_BYTES {
            let why = format!("a record is longer than {} MiB; is a quote left open?", MAX_LINE_BYTES >> 20);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        }
        Ok(read)
    }
}

/// The records of a table.
pub struct Table {
    reader: Reader<Metered>,
    /// Which column each field stands in.
    columns: Vec<(&'static str, usize)>,
    since: Rc<Cell<usize>>,
    all: Rc<Cell<u64>>,
    record: ByteRecord,
}

/// A row: its line, the article, and whether its source type was stated; or the line and what is wrong with it.
type TableRow = Result<(usize, Article, bool), (usize, String)>;

impl Table {
    pub fn open(path: &Path, delimiter: u8) -> Result<Self, WorkspaceError> {
        let mut file = File::open(path).map_err(|e| WorkspaceError::io("open", path, e))?;
        let mut mark = [0; 3];
        let marked = file.read_exact(&mut mark).is_ok() && mark == *b"\xef\xbb\xbf";
        file.seek(std::io::SeekFrom::Start(if marked { 3 } else { 0 })).map_err(|e| WorkspaceError::io("read", path, e))?;
        let (since, all) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let metered = Metered { file: BufReader::new(file), since: since.clone(), all: all.clone() };
        let mut reader = ReaderBuilder::new().delimiter(delimiter).trim(Trim::Headers).from_reader(metered);
        let refused = |e: csv::Error| {
            let (line, why) = explained(&e, 1);
            WorkspaceError::Record { file: path.to_owned(), line, why, remedy: super::REMEDY }
        };
        let names: Vec<String> =
            reader.byte_headers().map_err(refused)?.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let columns = record::columns(names.iter().map(String::as_str));
        Ok(Self { reader, columns, since, all, record: ByteRecord::new() })
    }

    pub fn bytes(&self) -> u64 {
        self.all.get()
    }

    /// The next article with its line, or what is wrong with it.
    pub fn next(&mut self) -> Option<TableRow> {
        let line = self.reader.position().line() as usize;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                self.since.set(0);
                let line = self.record.position().map_or(line, |at| at.line() as usize);
                Some(self.article().map(|(article, typed)| (line, article, typed)).map_err(|why| (line, why)))
            }
            Err(error) => Some(Err(explained(&error, line))),
        }
    }

    /// The record as an article, and whether it says what its source is.
    fn article(&self) -> Result<(Article, bool), String> {
        let cell = |(field, column): &(&'static str, usize)| {
            let bytes = self.record.get(*column).unwrap_or_default();
            let text = std::str::from_utf8(bytes).map_err(|_| format!("the {field} is not UTF-8"))?;
            Ok((*field, Content::Text(text.to_owned())))
        };
        record::article(self.columns.iter().map(cell).collect::<Result<Vec<_>, String>>()?)
    }
}

/// What the reader of tables says, and on which line.
fn explained(error: &csv::Error, line: usize) -> (usize, String) {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(line, |at| at.line() as usize);
            (line, format!("it has {len} fields and the header {expected_len}; a text with the delimiter in it needs quotes"))
        }
        csv::ErrorKind::Io(error) => (line, error.to_string()),
        _ => (line, error.to_string()),
    }
}
