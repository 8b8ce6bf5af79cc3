//! Identifiers of readers, articles and their pairs.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is not a usable {what} id: {why}")]
pub struct IdError {
    what: &'static str,
    text: String,
    why: &'static str,
}

/// Longest id accepted; keeps (article, profile, attempt) inside every provider's custom-id limit after hashing.
const MAX_ID_BYTES: usize = 200;

fn check(what: &'static str, text: &str) -> Result<(), IdError> {
    let why = if text.trim().is_empty() {
        "it is empty"
    } else if text.len() > MAX_ID_BYTES {
        "it is longer than 200 bytes"
    } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "it contains white space or control characters"
    } else {
        return Ok(());
    };
    Err(IdError { what, text: super::text::one_line(text, 60), why })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check($what, &text).map(|()| Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

id_type!(
    /// Names one reader, e.g. `kuwait_cpeg`.
    ProfileId, "profile"
);
id_type!(
    /// Names one article.
    ArticleId, "article"
);

/// One article as seen by one reader: the key of everything that is bought, trained on and evaluated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PairKey {
    pub article: ArticleId,
    pub profile: ProfileId,
}

impl fmt::Display for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.article, self.profile)
    }
}
