//! SHA-256 digests: how an artefact proves that its inputs have not changed.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest as 64 lower-case hex digits; the default is none at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Digester::new().part(bytes).finish_raw()
    }

    /// Digest of a value's JSON form; field order is declaration order, so it is stable.
    pub fn of_json(value: &impl Serialize) -> Self {
        // Serialising our own plain types cannot fail; a map with non-string keys would, and we have none.
        Self::of(serde_json::to_vec(value).unwrap_or_default())
    }

    /// Takes a digest back from storage.
    pub fn from_hex(hex: impl Into<String>) -> Self {
        Self(hex.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Digests a sequence of parts so that `("ab", "c")` and `("a", "bc")` differ.
#[derive(Default)]
pub struct Digester {
    hasher: Sha256,
}

impl Digester {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one length-prefixed part.
    #[must_use]
    pub fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.hasher.update((bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
        self
    }

    /// Adds bytes as they are: parts of one file give the digest of the file.
    #[must_use]
    pub fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.hasher.update(bytes.as_ref());
        self
    }

    fn finish_raw(self) -> Digest {
        let mut hex = String::with_capacity(64);
        for byte in self.hasher.finalize() {
            hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        Digest(hex)
    }

    pub fn finish(self) -> Digest {
        self.finish_raw()
    }
}
