//! Files: the dataset as chat `messages` in JSON lines, one line per unique example, and back.
//!
//! Owns the line format and writing it whole or not at all (temporary file, fsync, rename). Which path, and what is
//! recorded about the file, is the caller's.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::domain::{ArticleId, ChatMessage, Digest, PairKey, ProfileId, Role};

use super::example::{Example, example_id};

/// A longer line is not a training row.
pub const MAX_LINE_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("cannot write {}: {source}; free some space or choose a folder that can be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: {why}", path.display())]
    Line { path: PathBuf, line: usize, why: String },
}

/// One line of an exported file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedRow {
    pub messages: Vec<ChatMessage>,
    pub id: String,
    pub article_id: ArticleId,
    pub profile_id: ProfileId,
    pub score: f64,
    pub band: String,
    pub reasoning_tier: String,
    /// How often an epoch reads the row; the file holds it once.
    pub repeats: u32,
}

impl From<&Example> for ExportedRow {
    fn from(example: &Example) -> Self {
        Self {
            messages: example.messages.clone(),
            id: example.id.clone(),
            article_id: example.pair.article.clone(),
            profile_id: example.pair.profile.clone(),
            score: example.score,
            band: example.band.clone(),
            reasoning_tier: example.tier.clone(),
            repeats: example.repeats,
        }
    }
}

impl ExportedRow {
    fn defect(&self) -> Option<String> {
        let roles: Vec<Role> = self.messages.iter().map(|m| m.role).collect();
        if roles != [Role::System, Role::User, Role::Assistant] {
            return Some("the messages are not one each of system, user and assistant, in this order".into());
        }
        let pair = PairKey { article: self.article_id.clone(), profile: self.profile_id.clone() };
        if self.id != example_id(&pair) {
            return Some(format!("the id does not name article {} and profile {}", pair.article, pair.profile));
        }
        if self.repeats == 0 {
            return Some("repeats is 0; leave the row out instead".into());
        }
        None
    }
}

/// Writes the examples to `path`, replacing what was there, and returns the digest of the file's bytes.
pub fn write_examples<'a>(path: &Path, examples: impl IntoIterator<Item = &'a Example>) -> Result<Digest, ExportError> {
    let temporary = temporary_beside(path);
    let written = write_all(&temporary, examples).and_then(|digest| {
        fs::rename(&temporary, path)?;
        sync_folder(path);
        Ok(digest)
    });
    written.map_err(|source| {
        // The half-written file is of no use; the old one is still whole.
        let _ = fs::remove_file(&temporary);
        ExportError::Write { path: path.to_owned(), source }
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn write_all<'a>(path: &Path, examples: impl IntoIterator<Item = &'a Example>) -> std::io::Result<Digest> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut hasher = Sha256::new();
    for example in examples {
        let mut line = serde_json::to_vec(&ExportedRow::from(example))?;
        line.push(b'\n');
        hasher.update(&line);
        file.write_all(&line)?;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(Digest::from_hex(format!("{:x}", HexBytes(&hasher.finalize()))))
}

struct HexBytes<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexBytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Makes the rename itself last through a power cut, where the system can.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Reads an exported file. The first line that is not a row is an error that names it; empty lines are passed over.
pub fn read_examples(path: &Path) -> Result<Vec<ExportedRow>, ExportError> {
    let unreadable = |source| ExportError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut rows = Vec::new();
    let mut bytes = Vec::new();
    for line in 1usize.. {
        bytes.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        let defect = |why: String| ExportError::Line { path: path.to_owned(), line, why };
        if read as u64 > MAX_LINE_BYTES {
            return Err(defect(format!("the line is longer than {} MiB; it is not a training row", MAX_LINE_BYTES >> 20)));
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|e| defect(format!("invalid UTF-8 at byte {}; save the file as UTF-8", e.valid_up_to() + 1)))?;
        if text.trim().is_empty() {
            continue;
        }
        let row: ExportedRow = serde_json::from_str(text).map_err(|e| defect(format!("not a dataset row: {e}")))?;
        if let Some(why) = row.defect() {
            return Err(defect(why));
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::super::example::{Provenance, Side};
    use super::super::testing::{article_id, profile_id};
    use super::*;

    fn example(article: &str) -> Example {
        let pair = PairKey { article: article_id(article), profile: profile_id("p") };
        Example {
            id: example_id(&pair),
            pair,
            split: Side::Train,
            messages: vec![
                ChatMessage::new(Role::System, "s"),
                ChatMessage::new(Role::User, "a \"quoted\"\nline"),
                ChatMessage::new(Role::Assistant, "SCORE: 7.3 | REASON: r"),
            ],
            score: 7.3,
            band: "High".into(),
            tier: "standard".into(),
            words: 0,
            flagged: false,
            provenance: Provenance::default(),
            repeats: 2,
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_the_digest_is_of_the_bytes() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("train.jsonl");
        fs::write(&path, "old").expect("write");
        let examples = [example("a"), example("b")];
        let digest = write_examples(&path, &examples).expect("written");
        assert_eq!(digest, Digest::of(fs::read(&path).expect("read")));
        let rows = read_examples(&path).expect("reads");
        assert_eq!(rows, examples.iter().map(ExportedRow::from).collect::<Vec<_>>());
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write_examples(Path::new("/nowhere/at/all.jsonl"), &[example("a")]).expect_err("no folder");
        assert!(error.to_string().contains("/nowhere/at/all.jsonl"), "{error}");
    }

    #[test]
    fn a_bad_line_is_named_by_file_and_number() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x.jsonl");
        let good = serde_json::to_string(&ExportedRow::from(&example("a"))).expect("json");
        let cases: [(Vec<u8>, &str); 6] = [
            (b"{\"messages\":".to_vec(), "not a dataset row"),
            (b"\xff\xfe".to_vec(), "invalid UTF-8 at byte 1"),
            (vec![b' '; MAX_LINE_BYTES as usize + 10], "longer than 4 MiB"),
            (good.replace("a|p", "b|p").into_bytes(), "does not name"),
            (good.replace("\"user\"", "\"system\"").into_bytes(), "not one each"),
            (good.replace("\"repeats\":2", "\"repeats\":0").into_bytes(), "repeats is 0"),
        ];
        for (bad, why) in cases {
            let mut text = format!("{good}\n\n").into_bytes();
            text.extend_from_slice(&bad);
            fs::write(&path, &text).expect("write");
            let error = read_examples(&path).expect_err(why).to_string();
            assert!(error.contains("x.jsonl:3: ") && error.contains(why), "{error}");
        }
    }
}
