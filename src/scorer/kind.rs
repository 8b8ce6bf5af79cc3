//! Which server it is: found by asking, unless it is said.

use serde::Deserialize;

use super::error::{START_EITHER, START_LLAMA, START_OLLAMA, ScorerError};
use super::http::Wire;
use super::llama::Props;
use crate::workspace::{ScoringChoice, ServerKind};

pub(super) enum Found {
    LlamaCpp(Box<Props>),
    /// Its version.
    Ollama(String),
}

impl Found {
    pub fn kind(&self) -> ServerKind {
        match self {
            Self::LlamaCpp(_) => ServerKind::LlamaCpp,
            Self::Ollama(_) => ServerKind::Ollama,
        }
    }
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// What to start where nothing answers.
pub(super) fn start(kind: Option<ServerKind>) -> &'static str {
    match kind {
        Some(ServerKind::LlamaCpp) => START_LLAMA,
        Some(ServerKind::Ollama) => START_OLLAMA,
        None => START_EITHER,
    }
}

pub(super) async fn find(wire: &Wire, choice: &ScoringChoice) -> Result<Found, ScorerError> {
    match choice.kind {
        Some(ServerKind::LlamaCpp) => llama(wire).await,
        Some(ServerKind::Ollama) => ollama(wire).await,
        None => match llama(wire).await {
            Err(first @ (ScorerError::Refused { .. } | ScorerError::Reply { .. })) => match ollama(wire).await {
                Err(second @ (ScorerError::Refused { .. } | ScorerError::Reply { .. })) => {
                    Err(ScorerError::UnknownKind { server: wire.server(), llama: in_short(&first), ollama: in_short(&second) })
                }
                found => found,
            },
            found => found,
        },
    }
}

fn in_short(error: &ScorerError) -> String {
    match error {
        ScorerError::Refused { what, status, .. } => format!("{what}: {status}"),
        ScorerError::Reply { what, .. } => format!("{what}: another reply than expected"),
        other => other.to_string(),
    }
}

/// While it loads its model it answers 503, which is waited for.
async fn llama(wire: &Wire) -> Result<Found, ScorerError> {
    let props: Props = wire.get("/props").await?;
    if !props.is_llama() {
        return Err(wire.unreadable("/props", "it says neither slots nor settings, as llama.cpp does"));
    }
    Ok(Found::LlamaCpp(Box::new(props)))
}

async fn ollama(wire: &Wire) -> Result<Found, ScorerError> {
    wire.get("/api/version").await.map(|v: Version| Found::Ollama(v.version))
}
