//! Raw answers on disk: the bytes as they came, before anything reads them.
//!
//! Owns `.stratos/raw/`: one file for each download, named by submission and digest, never changed once it has its
//! name and never deleted. Which bytes count is the ledger's.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::WorkspaceError;
use crate::domain::Digest;

/// A stored download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// Below the raw folder.
    pub name: String,
    pub sha256: Digest,
    pub bytes: u64,
}

pub struct RawStore {
    dir: PathBuf,
}

impl RawStore {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Begins a download; it has no name before it is finished.
    pub fn begin(&self, label: &str) -> Result<RawWriter, WorkspaceError> {
        let path = self.dir.join(format!("{label}.part"));
        let file = File::create(&path).map_err(|e| WorkspaceError::io("create", &path, e))?;
        Ok(RawWriter { label: label.to_owned(), out: BufWriter::new(file), path, hash: Sha256::new(), bytes: 0 })
    }

    /// Adds one line to the answers that come one by one, on disk when this returns.
    pub fn append_line(&self, label: &str, line: &[u8]) -> Result<(), WorkspaceError> {
        let path = self.dir.join(format!("{label}.lines"));
        let mut whole = line.to_vec();
        whole.push(b'\n');
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            if !ends_a_line(&mut file)? {
                // A crash cut the last line: it is no answer, and must not swallow this one.
                file.write_all(b"\n")?;
            }
            file.write_all(&whole)?;
            file.sync_data()
        };
        write().map_err(|e| WorkspaceError::io("write", &path, e))
    }

    /// The lines that [`Self::append_line`] stored; a last line that was cut by a crash is left out.
    pub fn lines(&self, label: &str) -> Result<Vec<Vec<u8>>, WorkspaceError> {
        let path = self.dir.join(format!("{label}.lines"));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(WorkspaceError::io("read", &path, e)),
        };
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        Ok(bytes[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// Copies a file of results into the store.
    pub fn copy(&self, label: &str, from: &Path) -> Result<RawFile, WorkspaceError> {
        let mut source = File::open(from).map_err(|e| WorkspaceError::io("open", from, e))?;
        let mut writer = self.begin(label)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = source.read(&mut buffer).map_err(|e| WorkspaceError::io("read", from, e))?;
            if n == 0 {
                return writer.finish();
            }
            writer.write_all(&buffer[..n]).map_err(|e| WorkspaceError::io("write", &self.dir, e))?;
        }
    }
}

fn ends_a_line(file: &mut File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// A download under way. Dropped unfinished, it leaves a `.part` file that the next download of the same batch replaces.
pub struct RawWriter {
    label: String,
    path: PathBuf,
    out: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for RawWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl RawWriter {
    /// Puts the bytes on the disk for good and gives them their name.
    pub fn finish(mut self) -> Result<RawFile, WorkspaceError> {
        let failed = |e| WorkspaceError::io("write", &self.path, e);
        self.out.flush().map_err(failed)?;
        self.out.get_ref().sync_all().map_err(failed)?;
        let sha256 = Digest::from_hex(hex(&self.hash.finalize()));
        let name = format!("{}-{}.jsonl", self.label, sha256.short());
        let target = self.path.with_file_name(&name);
        fs::rename(&self.path, &target).map_err(|e| WorkspaceError::io("name", &target, e))?;
        let dir = target.parent().unwrap_or(Path::new("."));
        File::open(dir).and_then(|d| d.sync_all()).map_err(|e| WorkspaceError::io("write", dir, e))?;
        Ok(RawFile { name, sha256, bytes: self.bytes })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_has_its_name_only_when_all_of_it_is_there() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = RawStore::new(dir.path().to_owned());
        let mut writer = store.begin("s1").expect("begins");
        writer.write_all(b"{}\n").expect("writes");
        assert!(fs::read_dir(dir.path()).expect("lists").flatten().all(|e| e.path().extension().is_some_and(|x| x == "part")));
        let raw = writer.finish().expect("finishes");
        assert_eq!((raw.bytes, &raw.sha256), (3, &Digest::of("{}\n")));
        assert_eq!(fs::read(store.path(&raw.name)).expect("reads"), b"{}\n");
    }

    #[test]
    fn a_line_that_a_crash_cut_is_no_answer() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = RawStore::new(dir.path().to_owned());
        assert!(store.lines("s1").expect("reads").is_empty());
        store.append_line("s1", b"one").expect("appends");
        store.append_line("s1", b"two").expect("appends");
        let path = dir.path().join("s1.lines");
        OpenOptions::new().append(true).open(path).and_then(|mut f| f.write_all(b"thr")).expect("writes");
        assert_eq!(store.lines("s1").expect("reads"), [b"one".to_vec(), b"two".to_vec()]);
        store.append_line("s1", b"four").expect("appends");
        assert_eq!(store.lines("s1").expect("reads").last(), Some(&b"four".to_vec()), "the cut line swallowed an answer");
    }
}
