//! The adapter that comes back: taken only if it is whole, finite, trained, and what was asked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::ExternalError;
use super::job::ExternalJob;
use crate::domain::recipe::Method;
use crate::domain::{Digest, one_line};

pub const CONFIG: &str = "adapter_config.json";
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// An adapter's file is small; what is larger is something else.
const LARGEST: u64 = 8 << 30;
const TRAIN_AGAIN: &str = "see the trainer's log, then train again";

/// A PEFT adapter folder that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedAdapter {
    pub folder: PathBuf,
    pub parameters: usize,
    /// Of its weights file.
    pub digest: Digest,
}

/// Reads the adapter in `folder` and holds it against the job.
pub fn take_back(folder: &Path, job: &ExternalJob) -> Result<ReturnedAdapter, ExternalError> {
    let refuse = |path: &Path, why: String| ExternalError::Adapter { path: path.to_owned(), why, remedy: TRAIN_AGAIN };
    let path = folder.join(CONFIG);
    let text = fs::read(&path).map_err(|e| refuse(&path, e.to_string()))?;
    let config: Value = serde_json::from_slice(&text).map_err(|e| refuse(&path, e.to_string()))?;
    check_config(&config, job).map_err(|why| refuse(&path, why))?;
    let path = folder.join(WEIGHTS);
    let size = fs::metadata(&path).map_err(|e| refuse(&path, e.to_string()))?.len();
    if size > LARGEST {
        return Err(refuse(&path, format!("it has {size} bytes, too many for an adapter")));
    }
    let bytes = fs::read(&path).map_err(|e| refuse(&path, e.to_string()))?;
    let parameters = check_weights(&bytes, job).map_err(|why| refuse(&path, why))?;
    Ok(ReturnedAdapter { folder: folder.to_owned(), parameters, digest: Digest::of(&bytes) })
}

fn check_config(config: &Value, job: &ExternalJob) -> Result<(), String> {
    let rules = &job.adapter;
    let kind = config["peft_type"].as_str().unwrap_or("unnamed");
    if kind != "LORA" {
        return Err(format!("its type is {}, asked for was LORA", one_line(kind, 40)));
    }
    if config["r"].as_u64() != Some(rules.rank as u64) {
        return Err(format!("its rank is {}, asked for was {}", config["r"], rules.rank));
    }
    if config["lora_alpha"].as_f64() != Some(rules.alpha) {
        return Err(format!("its alpha is {}, asked for was {}", config["lora_alpha"], rules.alpha));
    }
    let dora = config["use_dora"].as_bool().unwrap_or(false);
    if dora != (rules.method == Method::Dora) {
        return Err(format!("use_dora is {dora}, asked for was {:?}", rules.method));
    }
    let listed: BTreeSet<&str> = config["target_modules"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let wanted: BTreeSet<&str> = rules.targets.iter().map(String::as_str).collect();
    if listed != wanted {
        return Err(format!(
            "its targets are {}, asked for were {wanted:?}",
            one_line(&config["target_modules"].to_string(), 200)
        ));
    }
    let base = config["base_model_name_or_path"].as_str().unwrap_or_default();
    let same = Path::new(base) == job.base || fs::canonicalize(base).ok() == fs::canonicalize(&job.base).ok();
    if base.is_empty() || !same {
        return Err(format!("it was trained on '{}', asked for was {} (guard T17)", one_line(base, 200), job.base.display()));
    }
    Ok(())
}

/// Counts the parameters of weights that are finite and cover what was asked for.
fn check_weights(bytes: &[u8], job: &ExternalJob) -> Result<usize, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| format!("it cannot be read: {e}"))?;
    let (mut parameters, mut moved, mut covered) = (0, false, BTreeSet::new());
    for (name, tensor) in tensors.tensors() {
        let sum = check_tensor(tensor.dtype(), tensor.data()).map_err(|why| format!("{}: {why}", one_line(&name, 120)))?;
        parameters += tensor.shape().iter().product::<usize>();
        moved |= name.contains(".lora_B.") && sum > 0.0;
        covered.extend(job.adapter.targets.iter().filter(|t| name.split('.').any(|part| part == t.as_str())));
    }
    let missing: Vec<&str> = job.adapter.targets.iter().filter(|t| !covered.contains(t)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(format!("it holds nothing for {}", missing.join(", ")));
    }
    let magnitudes = tensors.names().iter().any(|name| name.contains("lora_magnitude_vector"));
    if magnitudes != (job.adapter.method == Method::Dora) {
        return Err("DoRA's magnitudes and the configuration do not belong together".into());
    }
    if !moved {
        return Err("all of its B matrices are zero: nothing was trained (guard T13)".into());
    }
    Ok(parameters)
}

/// Sum of absolute values of a tensor whose numbers are finite.
fn check_tensor(dtype: Dtype, data: &[u8]) -> Result<f64, String> {
    let sum: f64 = match dtype {
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b).abs())).sum(),
        Dtype::F16 => data.as_chunks::<2>().0.iter().map(|b| f64::from(f16::from_le_bytes(*b)).abs()).sum(),
        Dtype::BF16 => data.as_chunks::<2>().0.iter().map(|b| f64::from(bf16::from_le_bytes(*b)).abs()).sum(),
        other => return Err(format!("numbers of type {other:?}; F32, F16 or BF16 can be read")),
    };
    if sum.is_finite() { Ok(sum) } else { Err("it holds numbers that are not finite (guard T5)".into()) }
}
