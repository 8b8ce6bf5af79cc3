//! Records from files: JSON lines, or one JSON array, read as a stream with bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::WorkspaceError;

/// A longer line is refused: real records are a few kilobytes, and an unbounded line is a memory bomb.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// Largest JSON array file read whole.
const MAX_ARRAY_BYTES: u64 = 256 << 20;

/// An iterator over the records of a file: `(line, record)`, lines counted from 1. Blank lines are passed over. The
/// first error is yielded with file, line and remedy; reading can go on after a bad record, not after a bad file.
pub struct JsonRecords<T> {
    path: PathBuf,
    source: Source,
    /// Bytes that were read of it.
    bytes: u64,
    kind: PhantomData<T>,
}

enum Source {
    Lines { reader: BufReader<File>, line: usize },
    Array { items: std::vec::IntoIter<serde_json::Value>, index: usize },
    Ended,
}

impl<T: DeserializeOwned> JsonRecords<T> {
    pub fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let file = File::open(path).map_err(|e| WorkspaceError::io("open", path, e))?;
        let size = file.metadata().map_err(|e| WorkspaceError::io("read", path, e))?.len();
        let mut reader = BufReader::new(file);
        let first = first_char(&mut reader).map_err(|e| WorkspaceError::io("read", path, e))?;
        let source = if first == Some(b'[') { Self::array(path, &mut reader, size)? } else { Source::Lines { reader, line: 0 } };
        let bytes = if matches!(source, Source::Array { .. }) { size } else { 0 };
        Ok(Self { path: path.to_owned(), source, bytes, kind: PhantomData })
    }

    /// Bytes of the file that were read so far; an array is read whole at once.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn array(path: &Path, reader: &mut impl Read, size: u64) -> Result<Source, WorkspaceError> {
        if size > MAX_ARRAY_BYTES {
            let why = format!("a JSON array of {size} bytes is too large to read whole; give it as JSON lines");
            return Err(WorkspaceError::File { file: path.to_owned(), why });
        }
        let items: Vec<serde_json::Value> = serde_json::from_reader(reader).map_err(|e| WorkspaceError::Record {
            file: path.to_owned(),
            line: e.line(),
            why: e.to_string(),
            remedy: "Mend the JSON and import again; nothing was stored",
        })?;
        Ok(Source::Array { items: items.into_iter(), index: 0 })
    }

    fn bad(&self, line: usize, why: String) -> WorkspaceError {
        let remedy = "Mend or remove the line and import again; nothing was stored";
        WorkspaceError::Record { file: self.path.clone(), line, why, remedy }
    }
}

fn first_char(reader: &mut BufReader<File>) -> std::io::Result<Option<u8>> {
    let buffer = reader.fill_buf()?;
    Ok(buffer.iter().copied().find(|b| !b.is_ascii_whitespace()))
}

/// One line without its end, at most [`MAX_LINE_BYTES`] + 1 bytes of it; `None` at the end of the file.
fn bounded_line(reader: &mut BufReader<File>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 2;
    let read = reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    while line.last().is_some_and(|b| *b == b'\n' || *b == b'\r') {
        line.pop();
    }
    Ok(Some(line))
}

impl<T: DeserializeOwned> Iterator for JsonRecords<T> {
    type Item = Result<(usize, T), WorkspaceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match &mut self.source {
                Source::Ended => return None,
                Source::Array { items, index } => {
                    *index += 1;
                    let (at, item) = (*index, items.next()?);
                    return Some(
                        serde_json::from_value(item).map(|r| (at, r)).map_err(|e| self.bad(at, format!("record {at}: {e}"))),
                    );
                }
                Source::Lines { reader, line } => {
                    let bytes = match bounded_line(reader) {
                        Ok(Some(bytes)) => bytes,
                        Ok(None) => return None,
                        Err(e) => {
                            self.source = Source::Ended;
                            return Some(Err(WorkspaceError::io("read", &self.path, e)));
                        }
                    };
                    *line += 1;
                    let at = *line;
                    self.bytes += bytes.len() as u64 + 1;
                    if bytes.len() > MAX_LINE_BYTES {
                        self.source = Source::Ended;
                        return Some(Err(self.bad(at, format!("the line is longer than {} MiB", MAX_LINE_BYTES >> 20))));
                    }
                    let Ok(text) = std::str::from_utf8(&bytes) else {
                        return Some(Err(self.bad(at, "the text is not UTF-8".into())));
                    };
                    let text = text.trim_start_matches('\u{feff}').trim();
                    if text.is_empty() {
                        continue;
                    }
                    return Some(serde_json::from_str(text).map(|r| (at, r)).map_err(|e| self.bad(at, plain(&e))));
                }
            }
        }
    }
}

/// serde's own position is "line 1 column 12" of our one line; the column is what helps.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((what, _)) => format!("{what} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Row {
        a: u32,
    }

    fn read(bytes: &[u8]) -> Vec<Result<u32, String>> {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, bytes).expect("writes");
        JsonRecords::<Row>::open(&path).expect("opens").map(|r| r.map(|(_, row)| row.a).map_err(|e| e.to_string())).collect()
    }

    #[test]
    fn lines_arrays_blank_lines_and_a_byte_order_mark_are_read() {
        assert_eq!(read(b"\xef\xbb\xbf{\"a\":1}\r\n\n{\"a\":2}"), [Ok(1), Ok(2)]);
        assert_eq!(read(b" [{\"a\":1},{\"a\":2}]"), [Ok(1), Ok(2)]);
        assert!(read(b"").is_empty());
    }

    #[test]
    fn each_kind_of_bad_line_names_its_line() {
        for (bytes, word) in
            [(&b"{\"a\":1}\n{\"a\""[..], "EOF"), (b"{\"a\":1}\n{\"b\":1}", "missing field"), (b"{\"a\":1}\n\xff\xfe", "UTF-8")]
        {
            let rows = read(bytes);
            let error = rows[1].as_ref().expect_err("second line is bad");
            assert!(error.contains("rows.jsonl, line 2") && error.contains(word) && error.contains("import again"), "{error}");
        }
    }

    #[test]
    fn a_line_of_ten_megabytes_is_refused_without_reading_it_whole() {
        let mut bytes = b"{\"a\":1}\n".to_vec();
        bytes.resize(10 << 20, b' ');
        let rows = read(&bytes);
        assert!(rows[1].as_ref().expect_err("too long").contains("longer than 4 MiB"));
        assert_eq!(rows.len(), 2);
    }
}
