//! A file by what is in it: its size and the sha256 of its bytes, as servers and lints ask for it.

use std::path::{Path, PathBuf};

use super::{ExportError, digest_of};
use crate::domain::Digest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub path: PathBuf,
    pub size: u64,
    pub digest: Digest,
}

impl Blob {
    pub fn of(path: &Path) -> Result<Self, ExportError> {
        let (size, digest) = digest_of(path)?;
        Ok(Self { path: path.to_owned(), size, digest })
    }

    /// As servers write it.
    pub fn name(&self) -> String {
        format!("sha256:{}", self.digest.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_named_by_the_sha256_of_its_bytes() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "abc").expect("written");
        let blob = Blob::of(file.path()).expect("read");
        assert_eq!(blob.name(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(blob.size, 3);
    }
}
