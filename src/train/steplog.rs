//! `steps.jsonl`: every step and evaluation of a run, one line each. A resumed run first forgets what lies past its
//! checkpoint, so the file reads as if nothing had happened.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::{EvalRecord, StepRecord, TrainError, TrainEvent};

pub const FILE: &str = "steps.jsonl";

pub struct StepLog {
    path: PathBuf,
    file: File,
}

impl StepLog {
    /// Opens the log of a run folder, keeping records up to `step`.
    pub fn open(run: &Path, step: u64) -> Result<Self, TrainError> {
        let path = run.join(FILE);
        let kept: String = read(&path)?.iter().filter(|e| at(e) <= step).filter_map(line).collect();
        std::fs::write(&path, kept).map_err(TrainError::io(&path))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(TrainError::io(&path))?;
        Ok(Self { path, file })
    }

    pub fn add(&mut self, event: &TrainEvent) -> Result<(), TrainError> {
        let Some(line) = line(event) else { return Ok(()) };
        self.file.write_all(line.as_bytes()).map_err(TrainError::io(&self.path))
    }
}

fn at(event: &TrainEvent) -> u64 {
    match event {
        TrainEvent::Step(StepRecord { step, .. }) | TrainEvent::Eval(EvalRecord { step, .. }) => *step,
        _ => 0,
    }
}

fn line(event: &TrainEvent) -> Option<String> {
    if !matches!(event, TrainEvent::Step(_) | TrainEvent::Eval(_)) {
        return None;
    }
    serde_json::to_string(event).ok().map(|line| line + "\n")
}

/// The steps and evaluations of a log; a line cut off by a crash is left out.
pub fn read(path: &Path) -> Result<Vec<TrainEvent>, TrainError> {
    let mut all = Vec::new();
    each(path, |event| all.push(event))?;
    Ok(all)
}

/// [`read`] without holding more than one line: a log may be long.
pub fn each(path: &Path, mut take: impl FnMut(TrainEvent)) -> Result<(), TrainError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(TrainError::io(path)(e)),
    };
    for line in BufReader::new(file).split(b'\n') {
        if let Ok(event) = serde_json::from_slice(&line.map_err(TrainError::io(path))?) {
            take(event);
        }
    }
    Ok(())
}
