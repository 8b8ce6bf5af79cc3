//! The external backend: training by a program of the operator's own stack, such as TRL and PEFT under accelerate.
//!
//! Owns the job file, the program's process, what its words mean, and the adapter that comes back. Does not own the data
//! or its order (`dataset`), when to train (`engine`), or the model server next door (`neighbours`). A program that knows
//! the job file and writes the events of `docs/training-elsewhere.md` may be anything.

mod adapter;
mod error;
mod events;
mod job;
mod process;
#[cfg(all(test, unix))]
mod tests;

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

pub use adapter::{ReturnedAdapter, take_back};
pub use error::ExternalError;
pub use job::{AdapterRules, DataFiles, ExternalJob, JOB_VERSION, JobParts, RunFolder};
pub use process::{PidNote, orphan, stop_orphan};

use super::event::{Finish, Gate, TrainControl, TrainEvent};
use crate::domain::Finding;
use crate::workspace::{ExternalChoice, RUINOUS_SETTINGS};
use events::{Reader, Said};
use process::{Heard, Log, Process};

/// The trainer that comes with the binary.
const SCRIPT: &str = include_str!("../../data/external/external_trainer.py");
/// Last words that an error shows.
const TAIL: usize = 20;
const LARGEST_LOG: usize = 16 << 20;
const LARGEST_STATE: u64 = 32 << 20;

/// How a trainer is watched.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// Between two looks at the gate, the process and its checkpoints.
    pub tick: Duration,
    /// From the request to stop until it is killed; a checkpoint of a large model takes its time.
    pub grace: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self { tick: Duration::from_millis(500), grace: Duration::from_secs(90) }
    }
}

/// What is told besides training events.
#[derive(Debug, Clone, PartialEq)]
pub enum Sign {
    /// A word of the trainer's, safe to show.
    Line(String),
    /// Time since its last word or checkpoint.
    Silent(Duration),
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExternalOutcome {
    /// `best` step and eval loss; none where the trainer never evaluated.
    Finished { steps: u64, best: Option<(u64, f64)>, early: bool, adapter: ReturnedAdapter },
    /// Asked to stop; the next run goes on from its last checkpoint.
    Stopped { step: u64 },
}

/// Guard T5 for the environment that the trainer would inherit.
pub fn environment_finding(read: impl Fn(&str) -> Option<String>) -> Finding {
    match ruinous(read) {
        Some(ExternalError::Ruinous { name, why }) => Finding::fail(
            "T5",
            format!("{name} is set in the environment: {why}"),
            format!("Unset {name} where you start the console, then train again."),
        ),
        _ => Finding::pass("T5", "no setting that is known to destroy a run is in the environment"),
    }
}

fn ruinous(read: impl Fn(&str) -> Option<String>) -> Option<ExternalError> {
    let (name, why) = RUINOUS_SETTINGS.iter().find(|(name, _)| read(name).is_some())?;
    Some(ExternalError::Ruinous { name: (*name).into(), why: (*why).into() })
}

/// Runs the trainer of `choice` on a written job until it ends, is stopped at the gate, or says a number that is none.
pub fn train(
    folder: &RunFolder,
    job: &ExternalJob,
    choice: &ExternalChoice,
    watch: Watch,
    control: &mut dyn TrainControl,
    sign: &mut dyn FnMut(Sign),
) -> Result<ExternalOutcome, ExternalError> {
    let inherited = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    if let Some(refused) = ruinous(|name| choice.environment.get(name).cloned().or_else(|| inherited(name))) {
        return Err(refused);
    }
    if let Some(note) = orphan(folder) {
        return Err(ExternalError::Orphan { pid: note.pid, folder: folder.path().to_owned() });
    }
    let script = folder.script();
    fs::write(&script, SCRIPT).map_err(ExternalError::io(&script))?;
    // A request or an adapter of an earlier run must not be taken for this one's.
    let _ = fs::remove_file(folder.checkpoint_request());
    if folder.adapter().exists() {
        fs::remove_dir_all(folder.adapter()).map_err(ExternalError::io(&folder.adapter()))?;
    }
    let (job_file, script) = (folder.job_file().display().to_string(), script.display().to_string());
    let fill = |word: &String| word.replace("{job}", &job_file).replace("{script}", &script);
    let command: Vec<String> = choice.command.iter().map(fill).collect();
    let before = events::checkpoints(&folder.output()).pop();
    let examples = (count(&job.data.train), count(&job.data.eval));
    let mut run = Run {
        folder,
        reader: Reader::new(job.total_steps(), examples, before.as_ref().map_or(0, |(step, _)| *step)),
        log: Log::open(&folder.log(), LARGEST_LOG)?,
        tail: VecDeque::new(),
        // Checkpoints that were there before are good: they were written by a run that went on.
        good: before.into_iter().collect(),
        heard: Instant::now(),
        last_step_at: Instant::now(),
        speaks: false,
        early: false,
        said_stopped: false,
        control,
        sign,
    };
    let outcome = run.follow(Process::start(folder, &command, &choice.environment)?, job, watch);
    process::forget(folder);
    outcome
}

fn count(path: &std::path::Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

struct Run<'a> {
    folder: &'a RunFolder,
    reader: Reader,
    log: Log,
    tail: VecDeque<String>,
    /// Checkpoints by step, oldest first.
    good: Vec<(u64, PathBuf)>,
    heard: Instant,
    last_step_at: Instant,
    /// Whether it writes events itself; if not, its checkpoints are read.
    speaks: bool,
    early: bool,
    said_stopped: bool,
    control: &'a mut dyn TrainControl,
    sign: &'a mut dyn FnMut(Sign),
}

impl Run<'_> {
    fn follow(&mut self, mut process: Process, job: &ExternalJob, watch: Watch) -> Result<ExternalOutcome, ExternalError> {
        let mut stopping: Option<Instant> = None;
        let mut looked = Instant::now();
        let status = loop {
            let heard = process.line(watch.tick);
            let ended = match heard {
                Heard::Line(line) => {
                    self.line(&line).or_else(|e| self.abort(&mut process, e))?;
                    None
                }
                // Output ends a moment before the process does.
                Heard::End => process.wait_a_moment(watch.tick),
                Heard::Nothing => process.ended(),
            };
            if let Some(status) = ended {
                break status;
            }
            if looked.elapsed() >= watch.tick {
                looked = Instant::now();
                self.tick().or_else(|e| self.abort(&mut process, e))?;
            }
            match stopping {
                Some(asked) if asked.elapsed() >= watch.grace => {
                    self.log.line("(killed: it did not stop when asked)");
                    process.kill();
                }
                Some(_) => {}
                None => stopping = self.gate(&process),
            }
        };
        for line in process.last_lines() {
            self.line(&line).or_else(|e| self.abort(&mut process, e))?;
        }
        self.poll_state().or_else(|e| self.abort(&mut process, e))?;
        self.end(status, stopping.is_some(), job)
    }

    fn gate(&mut self, process: &Process) -> Option<Instant> {
        match self.control.gate() {
            Gate::Continue => None,
            Gate::Checkpoint => {
                let path = self.folder.checkpoint_request();
                if let Err(e) = fs::write(&path, b"") {
                    (self.sign)(Sign::Line(format!("{}: {e}; no checkpoint was asked for", path.display())));
                }
                None
            }
            Gate::Stop => {
                self.log.line("(asked to stop)");
                process.ask_to_stop();
                Some(Instant::now())
            }
        }
    }

    fn tick(&mut self) -> Result<(), ExternalError> {
        self.poll_state()?;
        (self.sign)(Sign::Silent(self.heard.elapsed()));
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<(), ExternalError> {
        self.heard = Instant::now();
        self.log.line(line);
        let said = self.reader.line(line, self.last_step_at.elapsed().as_secs_f64());
        if said.is_none() && !line.trim_start().starts_with("{\"event\"") {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(crate::domain::one_line(line, 400));
            (self.sign)(Sign::Line(line.to_owned()));
        }
        self.speaks |= said.is_some();
        self.say(said)
    }

    fn say(&mut self, said: Option<Said>) -> Result<(), ExternalError> {
        match said {
            None | Some(Said::Done) => return Ok(()),
            Some(Said::NotFinite { what, step }) => {
                // One of the failing step itself may be spoilt already.
                let on_disk = events::checkpoints(&self.folder.output());
                let mut known = self.good.iter().rev().chain(on_disk.iter().rev());
                let last_good = known.find(|(at, _)| *at < step).map(|(_, path)| path.clone());
                return Err(ExternalError::NotFinite { what, step, last_good });
            }
            Some(Said::Event(event)) => {
                if !matches!(event, TrainEvent::Started { .. })
                    && let Some(started) = self.reader.assume_started()
                {
                    self.control.on_event(&started);
                }
                match &event {
                    // Told once, when it has ended.
                    TrainEvent::Stopped { .. } => {
                        self.said_stopped = true;
                        return Ok(());
                    }
                    TrainEvent::Step(_) => self.last_step_at = Instant::now(),
                    TrainEvent::Checkpoint { step, path } => self.good.push((*step, path.clone())),
                    TrainEvent::EarlyStop { .. } => self.early = true,
                    _ => {}
                }
                self.control.on_event(&event);
            }
        }
        Ok(())
    }

    /// For a trainer that writes no events: what its newest checkpoint says of the steps so far.
    fn poll_state(&mut self) -> Result<(), ExternalError> {
        if self.speaks {
            return Ok(());
        }
        let output = self.folder.output();
        let newest = events::checkpoints(&output).pop();
        let places = [newest.as_ref().map(|(_, path)| path.join("trainer_state.json")), Some(output.join("trainer_state.json"))];
        for path in places.into_iter().flatten() {
            if fs::metadata(&path).is_ok_and(|m| m.len() > LARGEST_STATE) {
                continue;
            }
            // Half a file is read again at the next look.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let Ok(state) = serde_json::from_str::<serde_json::Value>(&events::without_bare_words(&text)) else { continue };
            for entry in state["log_history"].as_array().into_iter().flatten() {
                let said = self.reader.history(entry, 0.0);
                self.say(said)?;
            }
        }
        if let Some(said) = newest.and_then(|(step, path)| self.reader.checkpoint(step, path)) {
            self.heard = Instant::now();
            self.say(Some(said))?;
        }
        Ok(())
    }

    /// A run that went wrong is killed, not asked: what it would save now is spoilt.
    fn abort(&mut self, process: &mut Process, error: ExternalError) -> Result<(), ExternalError> {
        process.kill();
        if let ExternalError::NotFinite { step, .. } = &error {
            for (at, path) in events::checkpoints(&self.folder.output()) {
                if at >= *step {
                    let name = format!("spoilt-checkpoint-{at}");
                    // One that cannot be set aside is named in the log; the error stands either way.
                    if fs::rename(&path, path.with_file_name(name)).is_err() {
                        self.log
                            .line(&format!("({} was written at or after step {step}: do not resume from it)", path.display()));
                    }
                }
            }
        }
        Err(error)
    }

    fn end(&mut self, status: ExitStatus, stopped: bool, job: &ExternalJob) -> Result<ExternalOutcome, ExternalError> {
        let step = self.reader.last_step();
        let adapter = self.folder.adapter();
        if (stopped || self.said_stopped) && !(status.success() && adapter.exists()) {
            self.control.on_event(&TrainEvent::Stopped { step });
            return Ok(ExternalOutcome::Stopped { step });
        }
        if !status.success() {
            let tail: Vec<String> = self.tail.iter().map(|line| format!("  {line}")).collect();
            let status = status.to_string();
            return Err(ExternalError::Failed { status, tail: tail.join("\n"), log: self.folder.log() });
        }
        let adapter = take_back(&adapter, job)?;
        let (best, early) = (self.reader.best, self.early);
        if let Some((best_step, best_loss)) = best {
            let finish = Finish { steps: step, best_step, best_loss, early, best: adapter.folder.clone() };
            self.control.on_event(&TrainEvent::Finished(finish));
        }
        Ok(ExternalOutcome::Finished { steps: step, best, early, adapter })
    }
}
