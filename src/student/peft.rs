//! Adapter folders exactly as PEFT writes and reads them (`adapter_config.json`, `adapter_model.safetensors`), and beside
//! them the base that the adapter belongs to, by digest: guard T17 refuses it on another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::adapter::AdapterRules;
use super::base::{Base, BaseWeights, Projection};
use super::load::projection_shapes;
use super::parameters::Parameters;
use super::{StudentConfig, StudentError};
use crate::domain::Digest;

pub const CONFIG_FILE: &str = "adapter_config.json";
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Ours, beside PEFT's.
pub const BASE_FILE: &str = "stratos_base.json";

/// The base that an adapter was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    pub path: PathBuf,
    pub digest: Digest,
    /// How the base's matrices were kept.
    pub precision: String,
    /// Whether the chat template was asked to think, where it can be asked.
    #[serde(default)]
    pub thinking: Option<bool>,
}

#[derive(Debug, Clone)]
pub struct Adapter {
    pub rules: AdapterRules,
    pub numbers: Parameters,
    /// Absent in folders that PEFT wrote.
    pub base: Option<BaseRecord>,
}

impl Adapter {
    /// The folder's files, names and bytes.
    pub fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
        let pretty = |value: &Value| format!("{value:#}\n").into_bytes();
        let rules = &self.rules;
        let path = self.base.as_ref().map(|b| b.path.display().to_string());
        let config = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": path,
            "r": rules.rank,
            "lora_alpha": rules.alpha,
            "lora_dropout": rules.dropout,
            "target_modules": rules.targets,
            "bias": "none",
            "use_dora": rules.dora,
            "use_rslora": rules.rslora,
            "fan_in_fan_out": false,
            "init_lora_weights": true,
            "inference_mode": true,
        });
        let mut files = vec![(CONFIG_FILE, pretty(&config)), (WEIGHTS_FILE, self.numbers.to_safetensors()?)];
        if let Some(base) = &self.base {
            files.push((BASE_FILE, pretty(&json!(base))));
        }
        Ok(files)
    }

    /// What a folder says of itself, without its numbers.
    pub fn rules(folder: &Path) -> Result<AdapterRules, StudentError> {
        let path = folder.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(StudentError::io(&path))?;
        let file: File = serde_json::from_str(&text).map_err(|e| StudentError::file(&path, e.to_string()))?;
        file.rules().map_err(|why| StudentError::file(&path, why))
    }

    /// Reads a folder for this base and proves that it fits.
    pub fn load(folder: &Path, base: &BaseWeights) -> Result<Self, StudentError> {
        let rules = Self::rules(folder)?;
        let shapes = rules.shapes(base);
        Self::read(folder, rules, shapes)
    }

    /// Reads a folder for a base of this shape, whose numbers need not be there.
    pub(super) fn load_for(folder: &Path, config: &StudentConfig) -> Result<Self, StudentError> {
        let rules = Self::rules(folder)?;
        let shapes = rules.shapes_for(std::iter::repeat_n(projection_shapes(config), config.num_hidden_layers));
        Self::read(folder, rules, shapes)
    }

    fn read(folder: &Path, rules: AdapterRules, shapes: BTreeMap<String, Vec<usize>>) -> Result<Self, StudentError> {
        let path = folder.join(WEIGHTS_FILE);
        let bytes = std::fs::read(&path).map_err(StudentError::io(&path))?;
        let numbers = Parameters::from_safetensors(shapes, &bytes).map_err(|e| {
            StudentError::file(&path, format!("{e}; it was made for another base, or by another method than {CONFIG_FILE} says"))
        })?;
        Ok(Self { rules, numbers, base: Self::base_of(folder)? })
    }

    /// The base that a folder names.
    pub fn base_of(folder: &Path) -> Result<Option<BaseRecord>, StudentError> {
        let path = folder.join(BASE_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| StudentError::file(&path, e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StudentError::io(&path)(e)),
        }
    }

    /// The base that a folder must name.
    pub fn record(folder: &Path) -> Result<BaseRecord, StudentError> {
        let missing = || format!("it does not name its base; put {BASE_FILE} beside it, or merge it with PEFT");
        Self::base_of(folder)?.ok_or_else(|| StudentError::file(folder, missing()))
    }

    /// Guard T17.
    pub fn check_base(&self, base: &Base) -> Result<(), StudentError> {
        self.check_digest(&base.digest)
    }

    pub(super) fn check_digest(&self, base: &Digest) -> Result<(), StudentError> {
        match &self.base {
            Some(record) if record.digest != *base => Err(StudentError::Config(format!(
                "the adapter was trained on the base {} (guard T17), this one is {}; use the base it belongs to ({})",
                record.digest.short(),
                base.short(),
                record.path.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// `adapter_config.json`, as far as it decides something here.
#[derive(Debug, Deserialize)]
struct File {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    target_modules: Targets,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    #[serde(default)]
    rank_pattern: serde_json::Map<String, Value>,
    #[serde(default)]
    alpha_pattern: serde_json::Map<String, Value>,
    modules_to_save: Option<Vec<String>>,
    layers_to_transform: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Targets {
    Many(Vec<String>),
    One(String),
}

impl File {
    fn rules(self) -> Result<AdapterRules, String> {
        let mut targets = match self.target_modules {
            Targets::Many(names) => names,
            Targets::One(all) if all == "all-linear" => Projection::ALL.map(|p| p.name().to_owned()).to_vec(),
            Targets::One(pattern) => return Err(format!("target_modules '{pattern}' is a pattern; only lists are read")),
        };
        targets.sort_by_key(|t| Projection::of_name(t));
        let unknown = targets.iter().find(|t| Projection::of_name(t).is_none());
        let refusals = [
            (self.peft_type != "LORA", format!("peft_type '{}'", self.peft_type)),
            (self.fan_in_fan_out, "fan_in_fan_out".into()),
            (self.bias.as_deref().is_some_and(|b| b != "none"), "trained biases".into()),
            (!self.rank_pattern.is_empty() || !self.alpha_pattern.is_empty(), "rank_pattern and alpha_pattern".into()),
            (self.modules_to_save.is_some_and(|m| !m.is_empty()), "modules_to_save".into()),
            (self.layers_to_transform.is_some_and(|l| !l.is_null()), "layers_to_transform".into()),
            (unknown.is_some(), format!("target module '{}'", unknown.map_or("", String::as_str))),
            (self.r == 0 || self.r > 4096, format!("rank {}", self.r)),
        ];
        if let Some((_, what)) = refusals.into_iter().find(|(yes, _)| *yes) {
            return Err(format!("{what} is not supported; merge the adapter with PEFT and use the merged folder"));
        }
        Ok(AdapterRules {
            dora: self.use_dora,
            rank: self.r,
            alpha: self.lora_alpha,
            rslora: self.use_rslora,
            dropout: self.lora_dropout,
            targets,
        })
    }
}
