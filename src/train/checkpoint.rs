//! Checkpoints: everything a run needs to go on as if it had never stopped, written at optimizer steps into a temporary
//! folder, synced, then renamed. Random numbers are named by step (see `student::random`), so they need no state.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::optimizer::AdamW;
use crate::domain::Digest;
use crate::student::StudentError;
use crate::student::parameters::Parameters;

const VERSION: u32 = 1;
/// Checkpoints kept besides the best student.
const KEPT: usize = 2;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub version: u32,
    /// Of recipe block, seed, student, data and order.
    pub job: Digest,
    /// Optimizer steps done; with the saved order this is the position in the data too.
    pub step: u64,
    pub best: Option<(u64, f64)>,
    pub evaluations_without_improvement: usize,
    pub finished: bool,
    pub early: bool,
}

impl RunState {
    pub fn new(job: Digest) -> Self {
        Self { version: VERSION, job, step: 0, best: None, evaluations_without_improvement: 0, finished: false, early: false }
    }
}

pub struct Checkpoint {
    pub state: RunState,
    pub weights: Parameters,
    pub optimizer: AdamW,
}

fn folder(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// Writes a folder of files so that it exists whole or not at all.
pub fn write_folder(path: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), TrainError> {
    let temporary = path.with_extension("tmp");
    let remove = |path: &Path| match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io(path)(e)),
        _ => Ok(()),
    };
    remove(&temporary)?;
    std::fs::create_dir_all(&temporary).map_err(TrainError::io(&temporary))?;
    for (name, bytes) in files {
        let path = temporary.join(name);
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(TrainError::io(&path))?;
    }
    // An older folder steps aside first; a crash in between leaves it under a name that `settle` puts back.
    let aside = path.with_extension("old");
    if path.exists() {
        remove(&aside)?;
        std::fs::rename(path, &aside).map_err(TrainError::io(path))?;
    }
    std::fs::rename(&temporary, path).map_err(TrainError::io(path))?;
    remove(&aside)?;
    if let Some(parent) = path.parent() {
        // Not every file system can sync a folder.
        let _ = File::open(parent).and_then(|f| f.sync_all());
    }
    Ok(())
}

/// Undoes a replacement that a crash cut short.
pub fn settle(path: &Path) -> Result<(), TrainError> {
    let aside = path.with_extension("old");
    if aside.exists() && !path.exists() {
        std::fs::rename(&aside, path).map_err(TrainError::io(&aside))?;
    }
    Ok(())
}

/// Saves a checkpoint, drops those past the newest two, and returns its folder.
pub fn save(run: &Path, state: &RunState, weights: &Parameters, optimizer: &AdamW) -> Result<PathBuf, TrainError> {
    let path = folder(run).join(format!("step-{:08}", state.step));
    let state_json = serde_json::to_vec_pretty(state).map_err(|e| TrainError::checkpoint(&path, e.to_string()))?;
    let files = [
        ("weights.safetensors", weights.to_safetensors()?),
        ("first.safetensors", optimizer.first.to_safetensors()?),
        ("second.safetensors", optimizer.second.to_safetensors()?),
        ("state.json", state_json),
    ];
    write_folder(&path, &files)?;
    let known = list(run)?;
    for old in &known[..known.len().saturating_sub(KEPT)] {
        std::fs::remove_dir_all(old).map_err(TrainError::io(old))?;
    }
    Ok(path)
}

/// Checkpoint folders, oldest first.
pub fn list(run: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let folder = folder(run);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(TrainError::io(&folder)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(TrainError::io(&folder))?.path();
        let step = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("step-"));
        if step.is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit())) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one checkpoint and proves that it is this job's.
pub fn load(path: &Path, job: &Digest, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Checkpoint, TrainError> {
    let file = path.join("state.json");
    let text = std::fs::read(&file).map_err(TrainError::io(&file))?;
    let state: RunState = serde_json::from_slice(&text).map_err(|e| TrainError::checkpoint(&file, e.to_string()))?;
    if state.version != VERSION {
        return Err(TrainError::checkpoint(&file, format!("written by another version ({})", state.version)));
    }
    if state.job != *job {
        return Err(TrainError::OtherJob { path: path.to_owned() });
    }
    let read = |name: &str| {
        let file = path.join(name);
        let bytes = std::fs::read(&file).map_err(TrainError::io(&file))?;
        let named = |e: StudentError| TrainError::checkpoint(&file, e.to_string());
        Parameters::from_safetensors(shapes.clone(), &bytes).map_err(named)
    };
    let (first, second) = (read("first.safetensors")?, read("second.safetensors")?);
    let optimizer = AdamW { steps: state.step, first, second };
    Ok(Checkpoint { weights: read("weights.safetensors")?, optimizer, state })
}
