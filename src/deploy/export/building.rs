//! What is being built has another name until it is whole: `….building`, then everything reaches the disk, then one rename.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::ExportError;
use crate::domain::{Digest, Digester};

/// Bytes read or written at once.
const PIECE: usize = 1 << 20;

/// A file or folder under construction; gone when it is dropped before [`Self::commit`].
#[derive(Debug)]
pub struct Building {
    path: PathBuf,
    to: PathBuf,
    whole: bool,
}

impl Building {
    pub fn folder(to: &Path) -> Result<Self, ExportError> {
        let building = Self::file(to)?;
        fs::create_dir_all(&building.path).map_err(ExportError::io(&building.path))?;
        Ok(building)
    }

    pub fn file(to: &Path) -> Result<Self, ExportError> {
        let mut path = to.to_owned().into_os_string();
        path.push(".building");
        let path = PathBuf::from(path);
        // What a killed export left.
        remove(&path)?;
        Ok(Self { path, to: to.to_owned(), whole: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place; what was there before goes.
    pub fn commit(mut self) -> Result<(), ExportError> {
        if self.path.is_dir() {
            sync(&self.path)?;
            remove(&self.to)?;
        }
        fs::rename(&self.path, &self.to).map_err(ExportError::io(&self.to))?;
        self.whole = true;
        self.to.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.whole && remove(&self.path).is_err() {
            tracing::warn!(path = %self.path.display(), "a half export could not be removed");
        }
    }
}

fn remove(path: &Path) -> Result<(), ExportError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(ExportError::io(path)(e)),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), ExportError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(ExportError::io(folder))
}

/// A file that is digested while it is written.
pub(super) struct Sink {
    path: PathBuf,
    file: BufWriter<File>,
    digester: Digester,
    bytes: u64,
}

impl Sink {
    pub fn create(path: &Path) -> Result<Self, ExportError> {
        let file = File::create(path).map_err(ExportError::io(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(PIECE, file), digester: Digester::new(), bytes: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.file.write_all(bytes).map_err(ExportError::io(&self.path))?;
        self.digester = std::mem::take(&mut self.digester).part(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes and digest of the file, which is on the disk then.
    pub fn finish(self) -> Result<(u64, Digest), ExportError> {
        let file = self.file.into_inner().map_err(|e| ExportError::io(&self.path)(e.into_error()))?;
        file.sync_all().map_err(ExportError::io(&self.path))?;
        Ok((self.bytes, self.digester.finish()))
    }
}

/// Bytes and digest of an export: the file's SHA-256; of a folder, of its files' names and digests in the order of names.
pub fn digest_of(path: &Path) -> Result<(u64, Digest), ExportError> {
    if !path.is_dir() {
        return file_digest(path);
    }
    let entries = fs::read_dir(path).map_err(ExportError::io(path))?;
    let mut files = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(ExportError::io(path))?;
    files.sort();
    let (mut bytes, mut all) = (0, Digester::new());
    for file in files {
        let (length, digest) = file_digest(&file)?;
        bytes += length;
        all = all.field(file.file_name().unwrap_or_default().to_string_lossy().as_bytes()).field(digest.as_str());
    }
    Ok((bytes, all.finish()))
}

fn file_digest(path: &Path) -> Result<(u64, Digest), ExportError> {
    let mut file = File::open(path).map_err(ExportError::io(path))?;
    let (mut bytes, mut digester, mut piece) = (0, Digester::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).map_err(ExportError::io(path))? {
            0 => return Ok((bytes, digester.finish())),
            n => {
                digester = digester.part(&piece[..n]);
                bytes += n as u64;
            }
        }
    }
}
