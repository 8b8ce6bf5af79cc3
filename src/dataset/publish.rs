//! The dataset for other programs: TRL's `messages` and `prompt`/`completion`, `ShareGPT`, Parquet, each with a dataset card.
//!
//! Owns the formats and the folder they are written into: whole files, what this program wrote and nobody changed is
//! replaced, everything else is refused. Which dataset, and the facts that the card tells, are the caller's.

mod card;
mod columns;
mod folder;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

pub use card::{CardFacts, GuardLine};
pub use folder::{MANIFEST, Manifest};

use super::example::{Example, Side};
use crate::domain::{Digest, Role};
use crate::workspace::WorkspaceError;

#[derive(Debug, Error)]
pub enum PublishError {
    #[error("'{0}' is no format; use messages, prompt-completion, sharegpt or parquet")]
    Format(String),
    #[error("{} was not written by 'stratos dataset export', or was changed since; move it away or choose another folder", .0.display())]
    NotOurs(PathBuf),
    #[error("{} is no folder; choose another path", .0.display())]
    NotAFolder(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot remove {}: {source}; remove it by hand", path.display())]
    Remove { path: PathBuf, source: std::io::Error },
    #[error("cannot make a Parquet file of the rows: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error(transparent)]
    Write(#[from] WorkspaceError),
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `{"messages": [{"role", "content"}, …]}`, as TRL's and most other trainers read chats.
    Messages,
    /// `{"prompt": [system, user], "completion": [assistant]}`: TRL takes loss on the completion alone.
    PromptCompletion,
    /// `{"conversations": [{"from": "system" | "human" | "gpt", "value"}, …]}`
    Sharegpt,
    /// The `messages` rows as columns.
    Parquet,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Messages, Self::PromptCompletion, Self::Sharegpt, Self::Parquet];

    pub fn id(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::PromptCompletion => "prompt-completion",
            Self::Sharegpt => "sharegpt",
            Self::Parquet => "parquet",
        }
    }

    fn extension(self) -> &'static str {
        if self == Self::Parquet { "parquet" } else { "jsonl" }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Format {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        Self::ALL.into_iter().find(|f| f.id() == text).ok_or_else(|| PublishError::Format(crate::domain::one_line(text, 40)))
    }
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedFile {
    pub name: String,
    /// 0 for the card.
    pub rows: usize,
    pub bytes: usize,
    /// SHA-256 of the file.
    pub digest: Digest,
}

/// Writes the rows of both sides and the card into `folder`, which is made where it is missing. A side without rows gets no
/// file.
pub fn publish(
    folder: &Path,
    format: Format,
    examples: &[Example],
    facts: &CardFacts<'_>,
) -> Result<Vec<PublishedFile>, PublishError> {
    let mut files = Vec::new();
    let mut contents = Vec::new();
    for side in [Side::Train, Side::Eval] {
        let rows: Vec<&Example> = examples.iter().filter(|e| e.split == side).collect();
        if rows.is_empty() {
            continue;
        }
        let bytes = if format == Format::Parquet { columns::parquet(&rows)? } else { lines(&rows, format) };
        let name = format!("{side}.{}", format.extension());
        files.push(PublishedFile { rows: rows.len(), bytes: bytes.len(), digest: Digest::of(&bytes), name: name.clone() });
        contents.push((name, bytes));
    }
    let card = card::card(format, facts, &files).into_bytes();
    files.push(PublishedFile { name: card::FILE.into(), rows: 0, bytes: card.len(), digest: Digest::of(&card) });
    contents.push((card::FILE.into(), card));
    folder::write(folder, &Manifest::new(format, facts.dataset, &files), &contents)?;
    Ok(files)
}

/// JSON lines. What a program needs to know of a row stands beside its text under the same names in every format.
fn lines(rows: &[&Example], format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    for example in rows {
        let mut row = text(example, format);
        if let Value::Object(fields) = &mut row {
            let about = json!({
                "id": example.id,
                "article_id": example.pair.article,
                "profile_id": example.pair.profile,
                "score": example.score,
                "band": example.band,
                "repeats": example.repeats,
                "teacher": example.provenance.teacher,
                "model": example.provenance.model,
            });
            if let Value::Object(about) = about {
                fields.extend(about);
            }
        }
        out.extend_from_slice(row.to_string().as_bytes());
        out.push(b'\n');
    }
    out
}

fn text(example: &Example, format: Format) -> Value {
    match format {
        Format::Messages | Format::Parquet => json!({"messages": example.messages}),
        Format::PromptCompletion => {
            let (completion, prompt): (Vec<_>, Vec<_>) = example.messages.iter().partition(|m| m.role == Role::Assistant);
            json!({"prompt": prompt, "completion": completion})
        }
        Format::Sharegpt => {
            let turn = |m: &crate::domain::ChatMessage| json!({"from": speaker(m.role), "value": m.content});
            json!({"conversations": example.messages.iter().map(turn).collect::<Vec<_>>()})
        }
    }
}

fn speaker(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "human",
        Role::Assistant => "gpt",
    }
}
