//! What the stub of Ollama keeps: blobs by digest, models by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Status and words.
pub type Refusal = (u16, String);

#[derive(Default)]
pub struct Store {
    pub blobs: HashMap<String, Vec<u8>>,
    pub models: BTreeMap<String, Model>,
    pub loaded: BTreeSet<String>,
}

#[derive(Clone, Default)]
pub struct Model {
    layers: Vec<String>,
    size: usize,
    pub template: String,
    pub system: String,
    parameters: Map<String, Value>,
}

pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::from("sha256:"), |hex, byte| hex + &format!("{byte:02x}"))
}

/// With its tag; `None`: it is no name.
fn full(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let (model, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let sound = |part: &str| !part.is_empty() && part.len() <= 80 && part.chars().all(plain);
    (model.split('/').all(sound) && sound(tag)).then(|| format!("{model}:{tag}"))
}

fn named(body: &Value) -> Result<String, Refusal> {
    let name = body["model"].as_str().or_else(|| body["name"].as_str()).unwrap_or_default();
    full(name).ok_or_else(|| (400, "invalid model name".into()))
}

impl Store {
    pub fn get(&self, body: &Value) -> Result<(String, Model), Refusal> {
        let missing = || (404, format!("model '{}' not found", body["model"].as_str().unwrap_or_default()));
        let name = named(body).map_err(|_| missing())?;
        let model = self.models.get(&name).cloned().ok_or_else(missing)?;
        Ok((name, model))
    }

    pub fn load(&mut self, name: &str, on: bool) {
        if on {
            self.loaded.insert(name.to_owned())
        } else {
            self.loaded.remove(name)
        };
    }

    pub fn copy(&mut self, body: &Value) -> Result<(), Refusal> {
        let part = |key: &str| {
            let name = body[key].as_str().unwrap_or_default();
            full(name).ok_or_else(|| (400, format!("{key} \"{name}\" is invalid")))
        };
        let (source, destination) = (part("source")?, part("destination")?);
        let missing = || (404, format!("model \"{}\" not found", body["source"].as_str().unwrap_or_default()));
        let model = self.models.get(&source).cloned().ok_or_else(missing)?;
        self.models.insert(destination, model);
        Ok(())
    }

    pub fn delete(&mut self, body: &Value) -> Result<(), Refusal> {
        let (name, _) = self.get(body)?;
        self.models.remove(&name);
        self.loaded.remove(&name);
        Ok(())
    }

    /// The model's name and the layers it is made of.
    pub fn prepare(&self, body: &Value) -> Result<(String, Vec<String>), Refusal> {
        let name = named(body)?;
        if body["adapters"].as_object().is_some_and(|a| !a.is_empty()) {
            return Err((400, "LoRA adapters are no longer supported".into()));
        }
        let mut layers = Vec::new();
        for (file, digest) in body["files"].as_object().into_iter().flatten() {
            if file.starts_with('/') || file.split('/').any(|part| part == "..") {
                return Err((400, "file path must be relative".into()));
            }
            let digest = digest.as_str().unwrap_or_default().to_owned();
            if !self.blobs.contains_key(&digest) {
                return Err((
                    400,
                    format!("open /root/.ollama/models/blobs/{}: no such file or directory", digest.replace(':', "-")),
                ));
            }
            layers.push(digest);
        }
        Ok((name, layers))
    }
}

impl Model {
    pub fn new(store: &Store, body: &Value, layers: &[String]) -> Result<Self, Refusal> {
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let mut model = match body["from"].as_str() {
            Some(from) => store.get(&json!({"model": from}))?.1,
            None if layers.is_empty() => return Err((400, "neither 'from' or 'files' was specified".into())),
            None => {
                let blobs: Vec<&Vec<u8>> = layers.iter().filter_map(|digest| store.blobs.get(digest)).collect();
                if blobs.iter().any(|bytes| !bytes.starts_with(b"GGUF")) {
                    return Err((400, "supplied file was not in GGUF format".into()));
                }
                Self { layers: layers.to_vec(), size: blobs.iter().map(|b| b.len()).sum(), ..Self::default() }
            }
        };
        if let Some(template) = text("template") {
            if template.matches("{{").count() != template.matches("}}").count() {
                return Err((400, "template error: template: :1: unclosed action".into()));
            }
            model.template = template;
        }
        model.system = text("system").unwrap_or(model.system);
        if let Some(parameters) = body["parameters"].as_object() {
            model.parameters.extend(parameters.clone());
        }
        Ok(model)
    }

    pub fn digest(&self) -> String {
        let manifest = json!([self.layers, self.template, self.system, self.parameters]);
        digest_of(manifest.to_string().as_bytes()).trim_start_matches("sha256:").to_owned()
    }

    pub fn option(&self, options: &Value, key: &str) -> Option<i64> {
        options[key].as_i64().or_else(|| self.parameters.get(key)?.as_i64())
    }

    pub fn context(&self, options: &Value) -> Option<usize> {
        self.option(options, "num_ctx").and_then(|n| usize::try_from(n).ok())
    }

    fn details() -> Value {
        json!({"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "134.52M",
            "quantization_level": "Q8_0"})
    }

    pub fn listed(&self, name: &str) -> Value {
        json!({"name": name, "model": name, "modified_at": "2026-11-22T00:00:00.000000Z", "size": self.size,
            "digest": self.digest(), "details": Self::details()})
    }

    pub fn shown(&self) -> Value {
        let line = |key: &str, value: &Value| match value.as_str() {
            Some(text) => format!("{key:<30} {text:?}"),
            None => format!("{key:<30} {value}"),
        };
        let lines = self.parameters.iter().flat_map(|(key, value)| match value.as_array() {
            Some(values) => values.iter().map(|v| line(key, v)).collect::<Vec<_>>(),
            None => vec![line(key, value)],
        });
        let parameters = lines.collect::<Vec<_>>().join("\n");
        json!({
            "license": "", "modelfile": format!("# Modelfile generated by \"ollama show\"\nFROM x\nTEMPLATE \"\"\"{}\"\"\"\n", self.template),
            "parameters": parameters, "template": self.template, "system": self.system, "details": Self::details(),
            "model_info": {"general.architecture": "llama", "general.parameter_count": 134_515_008, "llama.context_length": 8192},
            "capabilities": ["completion"], "modified_at": "2026-11-22T00:00:00.000000Z",
        })
    }
}
