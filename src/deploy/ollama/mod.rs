//! Ollama as a place to release to: models are made there, looked at, asked, switched and taken away, by its HTTP API.
//!
//! Owns that client. It blocks: call it from a job's thread, never from async code. Scores are asked for elsewhere
//! (`scorer`); which release is live is the ledger's.
//!
//! A release is a model of its own, `NAME:RELEASE`, which is never written again; `NAME:latest` is a copy of the one that is
//! served. Switching, and rolling back, copies another release there. Weights are stored once however many names they have.

mod error;
mod replies;
mod smoke;
mod upload;
mod wire;

pub use error::OllamaError;
pub use replies::{Model, Running, Shown};
pub use smoke::{Smoke, Smoked};

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use self::wire::Wire;
use crate::deploy::Blob;
use crate::deploy::modelfile::Modelfile;
use crate::domain::one_line;

/// The tag that is served.
const SERVED: &str = "latest";

/// What is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The server has these bytes already.
    Known {
        bytes: u64,
    },
    Uploading {
        done: u64,
        total: u64,
    },
    /// What the server says of its own work.
    Status(String),
}

/// Hears of progress and may end the whole.
pub type Listener<'a> = &'a mut dyn FnMut(Told) -> ControlFlow<()>;

/// A release that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// `NAME:RELEASE`.
    pub model: String,
    /// What the server calls the whole of weights, template and parameters; it is pinned (S6).
    pub digest: String,
    pub weights: Blob,
}

/// What is served after a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// `NAME:latest`.
    pub model: String,
    pub digest: String,
    /// Of what was served until now; `None`: nothing was, or the same.
    pub before: Option<String>,
}

#[derive(Debug)]
pub struct Ollama {
    wire: Wire,
    tokio: Runtime,
}

impl Ollama {
    /// Asks for the version, so that a wrong address shows now. `patience`: for the server to say the next thing; loading a
    /// large model takes a minute.
    pub fn connect(server: &str, patience: Duration) -> Result<Self, OllamaError> {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tokio = tokio.map_err(|e| OllamaError::Connection { server: one_line(server, 120), why: e.to_string() })?;
        let ollama = Self { wire: Wire::new(server, patience)?, tokio };
        ollama.version()?;
        Ok(ollama)
    }

    pub fn version(&self) -> Result<String, OllamaError> {
        let said: replies::Version = self.tokio.block_on(self.wire.get("/api/version"))?;
        Ok(one_line(&said.version, 40))
    }

    /// What it has.
    pub fn models(&self) -> Result<Vec<Model>, OllamaError> {
        let all: replies::Tags = self.tokio.block_on(self.wire.get("/api/tags"))?;
        Ok(all.models)
    }

    /// What is loaded.
    pub fn running(&self) -> Result<Vec<Running>, OllamaError> {
        let all: replies::Loaded = self.tokio.block_on(self.wire.get("/api/ps"))?;
        Ok(all.models)
    }

    pub fn show(&self, model: &str) -> Result<Shown, OllamaError> {
        self.tokio.block_on(self.wire.post("/api/show", &json!({"model": model})))
    }

    /// What the server calls a model's whole; `None`: it has no such model.
    pub fn digest(&self, model: &str) -> Result<Option<String>, OllamaError> {
        let wanted = full_name(model);
        Ok(self.models()?.into_iter().find(|m| m.name == wanted).map(|m| m.digest))
    }

    /// The model still is what was pinned; another digest is an error (S6).
    pub fn check_pinned(&self, model: &str, pinned: &str) -> Result<(), OllamaError> {
        match self.digest(model)? {
            Some(found) if found == pinned => Ok(()),
            found => Err(OllamaError::OtherDigest {
                server: self.wire.server(),
                model: one_line(model, 120),
                pinned: short(pinned),
                found: found.map_or_else(|| "nothing".into(), |d| short(&d)),
            }),
        }
    }

    /// Makes `NAME:TAG` from a GGUF and a Modelfile's template and parameters. Bytes that the server has are not sent again.
    pub fn release(
        &self,
        name: &str,
        tag: &str,
        gguf: &Path,
        modelfile: &Modelfile,
        told: Listener<'_>,
    ) -> Result<Made, OllamaError> {
        let model = format!("{}:{}", part(name)?, part(tag)?);
        let parameters = modelfile.parameters().map_err(|e| OllamaError::Modelfile { why: e.to_string() })?;
        let template = modelfile.template().ok_or_else(|| OllamaError::Modelfile {
            why: "it has no TEMPLATE (guard S2); write it anew: stratos deploy modelfile".into(),
        })?;
        let weights = Blob::of(gguf)?;
        self.tokio.block_on(async {
            upload::send(&self.wire, &weights, told).await?;
            self.wire.follow("/api/create", &create_body(&model, &weights, template, &parameters), told).await
        })?;
        let digest = self.digest(&model)?;
        let digest = digest.ok_or_else(|| OllamaError::NotMade { server: self.wire.server(), model: model.clone() })?;
        Ok(Made { model, digest, weights })
    }

    /// Serves a release as `NAME:latest`. What was served until now stays under its own tag.
    pub fn switch(&self, name: &str, tag: &str) -> Result<Switched, OllamaError> {
        let (source, served) = (format!("{}:{}", part(name)?, part(tag)?), format!("{name}:{SERVED}"));
        let before = self.digest(&served)?;
        self.copy(&source, &served)?;
        let found = self.digest(&source)?;
        let digest = found.ok_or_else(|| OllamaError::NotMade { server: self.wire.server(), model: source })?;
        self.check_pinned(&served, &digest)?;
        Ok(Switched { model: served, before: before.filter(|b| *b != digest), digest })
    }

    pub fn copy(&self, source: &str, destination: &str) -> Result<(), OllamaError> {
        self.tokio.block_on(self.wire.post_empty("/api/copy", &json!({"source": source, "destination": destination})))
    }

    pub fn delete(&self, model: &str) -> Result<(), OllamaError> {
        self.tokio.block_on(self.wire.delete("/api/delete", &json!({"model": model})))
    }

    /// Asks a model, as scoring asks it, and checks that it read every token (S8).
    pub fn smoke(&self, model: &str, smoke: &Smoke<'_>) -> Result<Smoked, OllamaError> {
        self.tokio.block_on(smoke::ask(&self.wire, model, smoke))
    }
}

fn create_body(model: &str, weights: &Blob, template: &str, parameters: &Map<String, Value>) -> Value {
    let file = weights.path.file_name().map_or_else(|| "model.gguf".into(), |n| n.to_string_lossy().into_owned());
    let mut files = Map::new();
    files.insert(file, json!(weights.name()));
    json!({"model": model, "files": files, "template": template, "parameters": parameters, "stream": true})
}

/// As the server lists it.
fn full_name(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or_default();
    if last.contains(':') { model.to_owned() } else { format!("{model}:{SERVED}") }
}

/// A name or a tag that the server takes as it is.
fn part(text: &str) -> Result<&str, OllamaError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let sound = !text.is_empty() && text.len() <= 80 && text.chars().all(plain) && !text.starts_with(['-', '.', '_']);
    if sound { Ok(text) } else { Err(OllamaError::Name { name: one_line(text, 40) }) }
}

fn short(digest: &str) -> String {
    one_line(digest.trim_start_matches("sha256:").get(..12).unwrap_or(digest), 40)
}
