//! Names: which model at the hub, and which of its file names may become files here.

use std::fmt;
use std::str::FromStr;

use super::HubError;
use crate::domain::one_line;

/// `owner/name[@revision]`. Every part is a plain word, so that it can be a folder's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    owner: String,
    name: String,
    revision: Option<String>,
}

const DEFAULT_REVISION: &str = "main";

impl HubId {
    /// `owner/name`, without the revision.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// Name of the folder that holds it.
    pub fn folder_name(&self) -> String {
        format!("{}--{}@{}", self.owner, self.name, self.revision().replace('/', "--"))
    }

    /// Whether a text has the form of a hub id, and not of a path.
    pub fn looks_like(text: &str) -> bool {
        text.parse::<Self>().is_ok()
    }
}

impl FromStr for HubId {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let sound_revision = revision.is_none_or(|r| r.split('/').all(is_word));
        match repository.split_once('/') {
            Some((owner, name)) if is_word(owner) && is_word(name) && sound_revision => {
                Ok(Self { owner: owner.into(), name: name.into(), revision: revision.map(str::to_owned) })
            }
            _ => Err(HubError::Id { text: one_line(text, 80) }),
        }
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

/// Letters, digits, `-`, `_`, `.`; not long, not beginning with a dot, no `..` or `--` (which parts folder names).
fn is_word(text: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=96).contains(&text.len())
        && text.chars().all(sound)
        && !text.starts_with(['.', '-'])
        && !text.contains("..")
        && !text.contains("--")
}

/// Whether a name from the hub stays inside the folder it is written to, on every system.
pub(super) fn is_safe_name(name: &str) -> bool {
    let sound = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.ends_with([' ', '.']);
    name.len() <= 255 && !name.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '\0')) && name.split('/').all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_and_written_back() {
        let id: HubId = "HuggingFaceTB/SmolLM2-135M-Instruct".parse().expect("an id");
        assert_eq!((id.revision(), id.to_string().as_str()), ("main", "HuggingFaceTB/SmolLM2-135M-Instruct"));
        assert_eq!(id.folder_name(), "HuggingFaceTB--SmolLM2-135M-Instruct@main");
        let id: HubId = "Qwen/Qwen3-0.6B@refs/pr/3".parse().expect("an id");
        assert_eq!((id.revision(), id.folder_name().as_str()), ("refs/pr/3", "Qwen--Qwen3-0.6B@refs--pr--3"));
        assert_eq!(id.to_string(), "Qwen/Qwen3-0.6B@refs/pr/3");
    }

    #[test]
    fn what_is_no_id_is_refused_with_an_example() {
        let odd = ["", "seedling", "a/b/c", "../b", "a/..", "/etc/passwd", "a/b@", "a/b@../c", "a b/c", "./models/x", "a/b@x//y"];
        for text in odd {
            let error = text.parse::<HubId>().expect_err(text).to_string();
            assert!(error.contains("owner/name"), "{text}: {error}");
        }
    }

    #[test]
    fn names_that_leave_the_folder_are_not_safe() {
        for name in ["model.safetensors", "quant/q8.gguf", "a..b.json"] {
            assert!(is_safe_name(name), "{name}");
        }
        for name in ["", "../x", "a/../../x", "/etc/x", "a\\b", "C:x", "a//b", "./x", "x\u{1b}[2J", "a/.", "x.", "x "] {
            assert!(!is_safe_name(name), "{name:?}");
        }
    }
}
