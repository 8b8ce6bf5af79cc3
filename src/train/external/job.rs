//! The job file: everything that a trainer elsewhere needs to know, in one JSON file beside its data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ExternalError;
use crate::domain::recipe::{Method, RunRules, TrainRules};
use crate::domain::{ChatMessage, Digest, one_line};
use crate::student::Encoded;
use crate::train::TrainExample;
use crate::workspace::atomic_write;

pub const JOB_VERSION: u32 = 1;

/// What `job.json` holds. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalJob {
    pub version: u32,
    /// Folder of the base model in the Hugging Face layout.
    pub base: PathBuf,
    /// Identity of the base, so that its adapter is never laid over another (guard T17).
    pub base_digest: Option<Digest>,
    pub data: DataFiles,
    /// For each epoch the ids of the rows, in order, repeats included. The trainer must not shuffle.
    pub order: Vec<Vec<String>>,
    pub adapter: AdapterRules,
    pub run: RunRules,
    pub precision: String,
    /// Tokens of the longest row that may be trained; longer ones are refused, never cut.
    pub max_length: usize,
    pub seed: u64,
    /// Checkpoints go here, and at the end the adapter, into `adapter/`.
    pub output: PathBuf,
    /// A file that asks for a checkpoint at the next step; the trainer deletes it.
    pub checkpoint_request: PathBuf,
    /// What the trainer's environment was set to, for the record.
    pub environment: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFiles {
    pub train: PathBuf,
    pub train_sha256: Digest,
    pub eval: PathBuf,
    pub eval_sha256: Digest,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterRules {
    pub method: Method,
    pub rank: usize,
    pub alpha: f64,
    #[serde(default)]
    pub rslora: bool,
    #[serde(default)]
    pub dropout: f64,
    pub targets: Vec<String>,
}

impl From<&TrainRules> for AdapterRules {
    fn from(rules: &TrainRules) -> Self {
        let TrainRules { method, rank, alpha, rslora, dropout, .. } = *rules;
        Self { method, rank, alpha, rslora, dropout, targets: rules.targets.clone() }
    }
}

/// One line of a data file: TRL's prompt/completion form, and the tokens that serving will see, so that training and
/// serving cannot differ by a template (guard T11).
#[derive(Serialize)]
struct DataRow<'a> {
    id: &'a str,
    prompt: &'a [ChatMessage],
    completion: &'a [ChatMessage],
    weight: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_ids: Option<&'a [u32]>,
    /// Index of the first token that carries loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_from: Option<usize>,
}

/// What a job is made of.
pub struct JobParts<'a> {
    pub base: &'a Path,
    pub base_digest: Option<Digest>,
    pub rules: &'a TrainRules,
    pub train: &'a [TrainExample],
    pub eval: &'a [TrainExample],
    /// Encodes a row's messages; `None` leaves it to the trainer's own template.
    pub encode: Encode<'a>,
    /// For each epoch indices into `train`.
    pub orders: &'a [Vec<u32>],
    pub max_length: usize,
    pub seed: u64,
    pub environment: &'a BTreeMap<String, String>,
}

/// Where everything of an external run lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder's absolute path is asked for, since the trainer may work elsewhere.
    pub fn new(path: &Path) -> Result<Self, ExternalError> {
        std::fs::create_dir_all(path).map_err(ExternalError::io(path))?;
        Ok(Self(std::path::absolute(path).map_err(ExternalError::io(path))?))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn job_file(&self) -> PathBuf {
        self.0.join("job.json")
    }

    pub fn output(&self) -> PathBuf {
        self.0.join("output")
    }

    pub fn adapter(&self) -> PathBuf {
        self.output().join("adapter")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("trainer.log")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.0.join("trainer.pid")
    }

    pub(super) fn script(&self) -> PathBuf {
        self.0.join("external_trainer.py")
    }

    pub(super) fn checkpoint_request(&self) -> PathBuf {
        self.0.join("checkpoint.request")
    }
}

impl ExternalJob {
    /// Writes data and job file; the same parts give the same bytes, so that a run goes on where it was.
    pub fn write(folder: &RunFolder, parts: &JobParts<'_>) -> Result<Self, ExternalError> {
        let (train, eval) = (parts.train, parts.eval);
        if train.is_empty() || eval.is_empty() || parts.orders.iter().all(Vec::is_empty) {
            return Err(ExternalError::NoExamples { train: train.len(), eval: eval.len() });
        }
        if parts.rules.method == Method::Full {
            return Err(ExternalError::Full);
        }
        let id = |index: &u32| train.get(*index as usize).map(|e| e.id.clone());
        let epoch = |indices: &Vec<u32>| -> Result<Vec<String>, ExternalError> {
            indices.iter().map(|i| id(i).ok_or_else(|| ExternalError::Order { id: format!("number {i}") })).collect()
        };
        let order = parts.orders.iter().map(epoch).collect::<Result<_, _>>()?;
        let (train_rows, eval_rows) = (rows(train, parts.encode)?, rows(eval, parts.encode)?);
        let data = DataFiles {
            train: folder.path().join("train.jsonl"),
            train_sha256: Digest::of(&train_rows),
            eval: folder.path().join("eval.jsonl"),
            eval_sha256: Digest::of(&eval_rows),
        };
        let base = std::path::absolute(parts.base).map_err(ExternalError::io(parts.base))?;
        let job = Self {
            version: JOB_VERSION,
            base,
            base_digest: parts.base_digest.clone(),
            data,
            order,
            adapter: parts.rules.into(),
            run: parts.rules.run.clone(),
            precision: parts.rules.precision.clone(),
            max_length: parts.max_length,
            seed: parts.seed,
            output: folder.output(),
            checkpoint_request: folder.checkpoint_request(),
            environment: parts.environment.clone(),
        };
        job.refuse_another(folder)?;
        std::fs::create_dir_all(&job.output).map_err(ExternalError::io(&job.output))?;
        // Plain scalars, lists and maps always serialise.
        let text = serde_json::to_vec_pretty(&job).unwrap_or_default();
        for (path, bytes) in [(&job.data.train, &train_rows), (&job.data.eval, &eval_rows), (&folder.job_file(), &text)] {
            atomic_write(path, bytes).map_err(|e| ExternalError::io(path)(std::io::Error::other(e)))?;
        }
        Ok(job)
    }

    /// Checkpoints of another job must not be gone on from. The environment may change: it decides how, not what.
    fn refuse_another(&self, folder: &RunFolder) -> Result<(), ExternalError> {
        let before = std::fs::read(folder.job_file()).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let same = before.is_some_and(|before| Self { environment: self.environment.clone(), ..before } == *self);
        if same || super::events::checkpoints(&folder.output()).is_empty() {
            return Ok(());
        }
        Err(ExternalError::OtherJob { folder: folder.path().to_owned() })
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        let per_step = self.run.effective_batch.max(1);
        self.order.iter().map(|epoch| epoch.len().div_ceil(per_step) as u64).sum()
    }
}

/// How a row's messages become tokens.
pub type Encode<'a> = Option<&'a dyn Fn(&[ChatMessage]) -> Result<Encoded, String>>;

fn rows(examples: &[TrainExample], encode: Encode<'_>) -> Result<Vec<u8>, ExternalError> {
    let fail = |id: &str, why: &str| ExternalError::Row { id: one_line(id, 80), why: one_line(why, 200) };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for example in examples {
        let id = example.id.as_str();
        if !seen.insert(id) {
            return Err(fail(id, "another row has the same name"));
        }
        let Some((answer, prompt)) = example.messages.split_last() else { return Err(fail(id, "it has no messages")) };
        let encoded = encode.map(|encode| encode(&example.messages)).transpose().map_err(|why| fail(id, &why))?;
        let row = DataRow {
            id,
            prompt,
            completion: std::slice::from_ref(answer),
            weight: example.weight,
            input_ids: encoded.as_ref().map(|e| e.ids.as_slice()),
            loss_from: encoded.as_ref().map(|e| e.loss_from),
        };
        serde_json::to_writer(&mut out, &row).map_err(|e| fail(id, &e.to_string()))?;
        out.push(b'\n');
    }
    Ok(out)
}
