//! Training runs of this workspace, from their folders.
//!
//! Owns the list and one run's curves, for a console that compares. What a folder says is `phases::train::record`'s.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::{Library, Read};
use crate::domain::UnixMillis;
use crate::engine::job::Failure;
use crate::engine::phases::{RunRecord, run_view};
use crate::engine::snapshot::TrainView;
use crate::train::{TrainEvent, steplog};

/// Bytes at the end of a log in which its last records stand.
const TAIL: u64 = 8 << 10;

/// One run in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    /// The name of its folder.
    pub run: String,
    /// When its log last grew.
    pub last: UnixMillis,
    pub step: u64,
    /// 0: not known.
    pub total_steps: u64,
    /// The newest losses: of the rows that were trained on, and of those held out.
    pub loss: Option<f64>,
    pub eval_loss: Option<f64>,
    pub parameters: u64,
    /// As the configuration names it; empty where an older version began the run.
    pub student: String,
    pub recipe: String,
}

impl Library {
    /// Every run that has made a step, the newest first.
    pub(super) fn runs(&self) -> Read<Vec<RunLine>> {
        let root = self.workspace.state_dir("runs")?;
        let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
        let mut runs: Vec<RunLine> = entries.filter_map(|e| line(&e.path())).collect();
        runs.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.run.cmp(&b.run)));
        Ok(runs)
    }

    /// One run as its folder tells of it.
    pub(super) fn run(&self, name: &str) -> Read<TrainView> {
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        let dir = self.workspace.state_dir("runs")?.join(name);
        if !plain || !dir.is_dir() {
            return Err(Failure::new("there is no such run", "Runs stand in .stratos/runs."));
        }
        Ok(run_view(&dir, name))
    }
}

fn line(dir: &Path) -> Option<RunLine> {
    let log = dir.join(steplog::FILE);
    let modified = std::fs::metadata(&log).ok()?.modified().ok()?;
    let millis = modified.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let (mut step, mut loss, mut eval_loss) = (0, None, None);
    for event in tail(&log)? {
        match event {
            TrainEvent::Step(s) => (step, loss) = (s.step, Some(s.loss)),
            TrainEvent::Eval(e) => eval_loss = Some(e.loss),
            _ => {}
        }
    }
    let record = RunRecord::read(dir);
    (step > 0).then(|| RunLine {
        run: dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        last: UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX)),
        step,
        total_steps: record.total_steps,
        loss,
        eval_loss,
        parameters: record.parameters,
        student: record.student,
        recipe: record.recipe,
    })
}

/// The last records of a log, oldest first: a long one is not read through for one line of a list.
fn tail(log: &Path) -> Option<Vec<TrainEvent>> {
    let mut file = std::fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    // The first line may be cut; then it is no record.
    Some(bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{EvalRecord, StepRecord};

    #[test]
    fn a_run_is_a_line_however_long_its_log() {
        let dir = tempfile::tempdir().expect("folder");
        let dir = dir.path().join("6f0e");
        std::fs::create_dir(&dir).expect("creates");
        assert_eq!(line(&dir), None, "no step yet");
        let mut log = steplog::StepLog::open(&dir, 0).expect("opens");
        for step in 1..=500 {
            let record =
                StepRecord { step, epoch: 1, loss: 2.5, lr: 0.1, grad_norm: 1.0, tokens: 9, loss_tokens: 5, seconds: 0.5 };
            log.add(&TrainEvent::Step(record)).expect("writes");
        }
        log.add(&TrainEvent::Eval(EvalRecord { step: 500, loss: 2.0, best: true, seconds: 0.0 })).expect("writes");
        RunRecord { total_steps: 900, student: "seedling".into(), ..RunRecord::default() }.write(&dir).expect("writes");
        let line = line(&dir).expect("a line");
        assert_eq!((line.run.as_str(), line.step, line.total_steps), ("6f0e", 500, 900));
        assert_eq!((line.loss, line.eval_loss, line.student.as_str()), (Some(2.5), Some(2.0), "seedling"));
    }
}
