//! Which paid teacher, and how it is asked.
//!
//! Owns the settings that all paid teachers share and the table from a provider's name to its client. Reads no file: the
//! engine's wiring fills the settings from `stratos.toml`.

use std::time::Duration;

use thiserror::Error;

use super::anthropic::Anthropic;
use super::compatible::Compatible;
use super::gemini::Gemini;
use super::keys::Key;
use super::openai::OpenAi;
use super::{Limits, Teacher};

/// What one paid teacher is told, in the words of `[teacher]`.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub provider: String,
    pub model: String,
    /// `None`: the provider's own address.
    pub base_url: Option<String>,
    pub key_env: Option<String>,
    /// A key at hand; none is looked for then.
    pub key: Option<Key>,
    /// `None`: where the provider supports it.
    pub structured: Option<bool>,
    /// Marks the prompt's shared front for the provider's cache, where it wants that said.
    pub cache: bool,
    pub temperature: Option<f64>,
    pub effort: Option<String>,
    /// Requests of one batch, at most.
    pub max_batch: Option<usize>,
    pub poll: Option<Duration>,
    /// How long a batch may stay unseen before it counts as never made.
    pub settle: Option<Duration>,
    pub concurrency: usize,
}

/// A batch may appear in a provider's list this much later than it was made.
const SETTLE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    #[error("there is no teacher provider '{0}'; use one of anthropic, openai, gemini, compatible, rehearsal")]
    Unknown(String),
    #[error("provider \"compatible\" needs a base_url, such as \"http://127.0.0.1:11434/v1\" for Ollama")]
    NoBaseUrl,
}

/// A client for the settings. Nothing is connected and no key is looked for before the first call.
pub fn build(settings: Settings) -> Result<Box<dyn Teacher>, BuildError> {
    match settings.provider.as_str() {
        "anthropic" => Ok(Box::new(Anthropic::new(settings))),
        "openai" => Ok(Box::new(OpenAi::new(settings))),
        "gemini" => Ok(Box::new(Gemini::new(settings))),
        "compatible" => Ok(Box::new(Compatible::new(settings)?)),
        other => Err(BuildError::Unknown(other.to_owned())),
    }
}

impl Settings {
    /// What changes the answers, as text; nothing where nothing is set.
    pub(super) fn options(&self) -> String {
        let temperature = self.temperature.map(|t| format!("temperature {t} ")).unwrap_or_default();
        let effort = self.effort.as_ref().map(|e| format!("effort {e}")).unwrap_or_default();
        format!("{temperature}{effort}")
    }

    /// The address without a trailing slash and without the version that our paths begin with.
    pub(super) fn address(&self, usual: &str, version: &str) -> String {
        let base = self.base_url.as_deref().unwrap_or(usual).trim_end_matches('/');
        base.strip_suffix(version).unwrap_or(base).trim_end_matches('/').to_owned()
    }

    /// A batch API's limits: ours, below the provider's own, so that a batch fits into memory. `most`: the provider's.
    pub(super) fn batch_limits(&self, most: usize, expires_h: u64) -> Limits {
        Limits {
            requests: self.max_batch.unwrap_or(10_000).clamp(1, most),
            bytes: 48 << 20,
            poll: self.poll.unwrap_or(Duration::from_secs(60)),
            expires: Some(Duration::from_secs(expires_h * 3600)),
            settle: self.settle.unwrap_or(SETTLE),
            concurrency: self.concurrency.max(1),
        }
    }
}
