//! What the stub of Ollama keeps: blobs by digest, models by name, and which of them are loaded.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::gguf::Head;

/// Status and words.
pub type Refusal = (u16, String);

/// Tokens that are read where nobody says how many.
const CONTEXT: i64 = 4096;

#[derive(Default)]
pub struct Store {
    pub blobs: HashMap<String, Vec<u8>>,
    pub models: BTreeMap<String, Model>,
    /// By their weights: names that share them share what is loaded, under the name that loaded it.
    pub loaded: BTreeMap<String, Loaded>,
}

pub struct Loaded {
    pub name: String,
    pub model: Model,
    pub context: i64,
}

#[derive(Clone, Default)]
pub struct Model {
    /// Digest and size of the weights, and of an adapter.
    files: Vec<(String, usize)>,
    pub head: Head,
    template: String,
    pub system: String,
    pub parameters: BTreeMap<String, Value>,
}

pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::from("sha256:"), |hex, byte| hex + &format!("{byte:02x}"))
}

pub fn checked(digest: &str) -> Result<String, Refusal> {
    let hex = digest.strip_prefix("sha256:").or_else(|| digest.strip_prefix("sha256-")).unwrap_or_default();
    let sound = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if sound { Ok(format!("sha256:{hex}")) } else { Err((400, "invalid digest format".into())) }
}

/// With its tag; `None`: it is no name.
fn full(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let (model, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let sound = |part: &str| !part.is_empty() && part.len() <= 80 && !part.starts_with(['-', '.']) && part.chars().all(plain);
    (model.split('/').all(sound) && sound(tag)).then(|| format!("{model}:{tag}"))
}

/// The name that a body asks for, under its newer key or its older one.
fn asked(body: &Value) -> &str {
    let text = |key: &str| body[key].as_str().filter(|name| !name.is_empty());
    text("model").or_else(|| text("name")).unwrap_or_default()
}

fn missing(name: &str) -> Refusal {
    (404, format!("model '{name}' not found"))
}

impl Store {
    /// With its tag, as it is spelt where it is known: names that differ in case alone are one.
    fn known(&self, name: &str) -> Option<String> {
        let full = full(name)?;
        let (mut model, mut tag) = full.split_once(':')?;
        for (known_model, known_tag) in self.models.keys().filter_map(|known| known.split_once(':')) {
            model = if known_model.eq_ignore_ascii_case(model) { known_model } else { model };
            tag = if known_tag.eq_ignore_ascii_case(tag) { known_tag } else { tag };
        }
        Some(format!("{model}:{tag}"))
    }

    /// The model of a question, with its name.
    pub fn get(&self, body: &Value) -> Result<(String, Model), Refusal> {
        let asked = body["model"].as_str().unwrap_or_default();
        let name = self.known(asked).ok_or_else(|| missing(asked))?;
        let model = self.models.get(&name).cloned().ok_or_else(|| missing(asked))?;
        Ok((name, model))
    }

    /// The model of a chat, whose name has to be spelt as it is.
    pub fn get_exactly(&self, body: &Value) -> Result<(String, Model), Refusal> {
        let asked = body["model"].as_str().unwrap_or_default();
        let name = full(asked).ok_or_else(|| (400, "model is required".to_owned()))?;
        let model = self.models.get(&name).cloned().ok_or_else(|| missing(asked))?;
        Ok((name, model))
    }

    pub fn show(&self, body: &Value) -> Result<Value, Refusal> {
        let asked = asked(body);
        if asked.is_empty() {
            return Err((400, "model is required".into()));
        }
        let name = self.known(asked).ok_or_else(|| (500, "invalid model path".to_owned()))?;
        self.models.get(&name).map(Model::shown).ok_or_else(|| missing(asked))
    }

    /// What shares weights stays loaded as it is, until it is asked for another context or adapter.
    pub fn load(&mut self, name: &str, model: &Model, context: i64) {
        let stays = |loaded: &Loaded| loaded.context == context && loaded.model.files == model.files;
        if !self.loaded.get(model.weights()).is_some_and(stays) {
            let loaded = Loaded { name: name.to_owned(), model: model.clone(), context };
            self.loaded.insert(model.weights().to_owned(), loaded);
        }
    }

    pub fn unload(&mut self, model: &Model) {
        self.loaded.remove(model.weights());
    }

    pub fn copy(&mut self, body: &Value) -> Result<(), Refusal> {
        let part = |key: &str| {
            let name = body[key].as_str().unwrap_or_default();
            self.known(name).ok_or_else(|| (400, format!("{key} \"{name}\" is invalid")))
        };
        let (source, destination) = (part("source")?, part("destination")?);
        let missing = || (404, format!("model \"{}\" not found", body["source"].as_str().unwrap_or_default()));
        let model = self.models.get(&source).cloned().ok_or_else(missing)?;
        self.models.insert(destination, model);
        Ok(())
    }

    /// What was loaded of it stays so.
    pub fn delete(&mut self, body: &Value) -> Result<(), Refusal> {
        let asked = asked(body);
        let name = self.known(asked).ok_or_else(|| (400, format!("name \"{asked}\" is invalid")))?;
        let model = self.models.remove(&name).ok_or_else(|| missing(asked))?;
        self.prune(&model);
        Ok(())
    }

    pub fn put(&mut self, name: String, model: Model) {
        if let Some(before) = self.models.insert(name, model) {
            self.prune(&before);
        }
    }

    /// Lets go of the files of a model that is gone, where no other needs them.
    fn prune(&mut self, gone: &Model) {
        for file in &gone.files {
            if !self.models.values().any(|model| model.files.contains(file)) {
                self.blobs.remove(&file.0);
            }
        }
    }

    /// The name of a model that is to be made: what is wrong with the request itself is seen first.
    pub fn prepare(&self, body: &Value) -> Result<String, Refusal> {
        let relative = |file: &String| file.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !body["files"].as_object().is_none_or(|files| files.keys().all(relative)) {
            return Err((400, "file path must be relative".into()));
        }
        self.known(asked(body)).ok_or_else(|| (400, "invalid model name".into()))
    }

    /// A model as it was asked for. What is said on the way goes into `said`.
    pub fn make(&self, body: &Value, said: &mut Vec<Value>) -> Result<Model, Refusal> {
        let text = |key: &str| body[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let mut model = match text("from") {
            Some(from) => self.base(&from, said)?,
            None if body["files"].is_null() => return Err((400, "neither 'from' or 'files' was specified".into())),
            None => self.of_files(&body["files"], said)?,
        };
        if !body["adapters"].is_null() {
            let adapter = self.of_files(&body["adapters"], said).map_err(|(_, why)| (400, why))?;
            model.files.extend(adapter.files);
        }
        if let Some(template) = text("template") {
            if template.matches("{{").count() != template.matches("}}").count() {
                return Err((400, "template error: template: :1: unclosed action".into()));
            }
            model.template = template;
        }
        model.system = text("system").unwrap_or(model.system);
        let parameters = body["parameters"].as_object().into_iter().flatten();
        model.parameters.extend(parameters.map(|(key, value)| (key.clone(), value.clone())));
        said.extend(model.layers().iter().map(|(digest, _)| json!({"status": format!("using existing layer {digest}")})));
        said.push(json!({"status": "writing manifest"}));
        Ok(model)
    }

    /// A model that is here, spelt as it is; any other would be pulled, and there is no registry.
    fn base(&self, from: &str, said: &mut Vec<Value>) -> Result<Model, Refusal> {
        let name = full(from).ok_or_else(|| (400, "invalid model name".to_owned()))?;
        self.models.get(&name).cloned().ok_or_else(|| {
            said.push(json!({"status": "pulling manifest"}));
            let path = name.replace(':', "/manifests/");
            (500, format!("pull model manifest: Get \"https://registry.ollama.ai/v2/library/{path}\": dial tcp: no such host"))
        })
    }

    fn of_files(&self, files: &Value, said: &mut Vec<Value>) -> Result<Model, Refusal> {
        let files: Vec<(&str, &str)> = files
            .as_object()
            .into_iter()
            .flatten()
            .map(|(file, digest)| (file.as_str(), digest.as_str().unwrap_or_default()))
            .collect();
        let looks_right = |digest: &str| self.blobs.get(digest).is_some_and(|bytes| bytes.starts_with(b"GGUF"));
        if !files.iter().any(|(file, digest)| file.rsplit('.').next() == Some("gguf") || looks_right(digest)) {
            return Err((400, "unknown type".into()));
        }
        let mut model = Model::default();
        for (_, digest) in files {
            said.push(json!({"status": "parsing GGUF"}));
            let digest = checked(digest).map_err(|(_, why)| (500, why))?;
            let gone = || format!("open /root/.ollama/models/blobs/{}: no such file or directory", digest.replace(':', "-"));
            let bytes = self.blobs.get(&digest).ok_or_else(|| (500, gone()))?;
            if !bytes.starts_with(b"GGUF") {
                return Err((400, "supplied file was not in GGUF format".into()));
            }
            model.head = Head::read(bytes).map_err(|why| (500, why))?;
            model.files.push((digest, bytes.len()));
        }
        Ok(model)
    }
}

/// As Go writes it.
fn go_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026") + "\n"
}

impl Model {
    fn weights(&self) -> &str {
        self.files.first().map_or("", |(digest, _)| digest)
    }

    pub fn template(&self) -> &str {
        if self.template.is_empty() { "{{ .Prompt }}" } else { &self.template }
    }

    /// Digest and size of everything it is made of.
    fn layers(&self) -> Vec<(String, usize)> {
        let parameters = if self.parameters.is_empty() { String::new() } else { go_json(&json!(self.parameters)) };
        let texts = [self.template.clone(), self.system.clone(), parameters].into_iter().filter(|text| !text.is_empty());
        let texts = texts.map(|text| (digest_of(text.as_bytes()), text.len()));
        self.files.iter().cloned().chain(texts).collect()
    }

    /// The layer that says what it is.
    fn config(&self) -> String {
        let family = &self.head.family;
        let digests: Vec<String> = self.layers().into_iter().map(|(digest, _)| digest).collect();
        go_json(&json!({"model_format": "gguf", "model_family": family, "model_families": [family], "model_type": "134.52M",
            "file_type": "Q8_0", "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}}))
    }

    fn size(&self) -> usize {
        self.layers().iter().map(|(_, size)| size).sum::<usize>() + self.config().len()
    }

    pub fn digest(&self) -> String {
        let manifest = json!([self.config(), self.layers()]);
        digest_of(manifest.to_string().as_bytes()).trim_start_matches("sha256:").to_owned()
    }

    /// A request's own goes before the model's; what is not whole is cut.
    pub fn option(&self, options: &Value, key: &str) -> Option<i64> {
        options[key].as_f64().or_else(|| self.parameters.get(key)?.as_f64()).map(|number| number as i64)
    }

    pub fn context(&self, options: &Value) -> i64 {
        self.option(options, "num_ctx").unwrap_or(CONTEXT).max(4)
    }

    fn details(&self) -> Value {
        let family = &self.head.family;
        json!({"parent_model": "", "format": "gguf", "family": family, "families": [family], "parameter_size": "134.52M",
            "quantization_level": "Q8_0"})
    }

    pub fn listed(&self, name: &str) -> Value {
        json!({"name": name, "model": name, "modified_at": "2026-11-22T00:00:00.000000Z", "size": self.size(),
            "digest": self.digest(), "details": self.details()})
    }

    fn shown(&self) -> Value {
        let line = |key: &str, value: &Value| match value.as_str() {
            Some(text) => format!("{key:<30} {text:?}"),
            None => format!("{key:<30} {value}"),
        };
        let lines = self.parameters.iter().flat_map(|(key, value)| match value.as_array() {
            Some(values) => values.iter().map(|v| line(key, v)).collect::<Vec<_>>(),
            None => vec![line(key, value)],
        });
        let parameters = lines.collect::<Vec<_>>().join("\n");
        let family = &self.head.family;
        let mut info = json!({"general.architecture": family, "general.parameter_count": 134_515_008});
        info[format!("{family}.context_length")] = json!(self.head.context);
        json!({
            "license": "", "modelfile": format!("# Modelfile generated by \"ollama show\"\nFROM x\nTEMPLATE \"\"\"{}\"\"\"\n", self.template()),
            "parameters": parameters, "template": self.template(), "system": self.system, "details": self.details(),
            "model_info": info, "capabilities": ["completion"], "modified_at": "2026-11-22T00:00:00.000000Z",
        })
    }
}
