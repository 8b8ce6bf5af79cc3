//! Live answers: what the student in training writes to a few held-out prompts, always the same ones.
//!
//! Owns when they are written, how they are read, and their log in the run's folder. Training does not know them: they draw
//! no random number of its, and a run with them is bit for bit the run without.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::learner::Subject;
use super::{TrainError, TrainEvent, TrainJob};
use crate::domain::recipe::Sampling;
use crate::domain::{Answer, ChatMessage, read_tolerant, safe_text};
use crate::student::parameters::Parameters;
use crate::student::peft::Adapter;
use crate::student::{Generated, Prompt, Stop, Student, generate};

/// Rows that are asked.
pub const ROWS: usize = 3;
/// Tokens of an answer, at most: most think blocks end before.
pub const WRITTEN: usize = 256;
/// Characters of an answer that are kept.
const KEPT: usize = 4000;
/// Share of the time of training that answers may take where nobody said how often.
const SHARE: f64 = 0.05;
pub const FILE: &str = "samples.jsonl";
/// Where the student stands for a moment while it is made.
const FOLDER: &str = "answering";

/// What is asked, and how often.
#[derive(Debug, Clone)]
pub struct SampleRules {
    /// Steps between two rounds; `None`: at evaluations, as far as a twentieth of the time allows.
    pub every: Option<u64>,
    pub rows: Vec<SampleRow>,
    pub sampling: Sampling,
    /// The recipe asks for a think block.
    pub think: bool,
    pub scale: (f64, f64),
}

/// A held-out prompt, and the score that its teacher gave.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    pub id: String,
    /// System and user turns.
    pub messages: Vec<ChatMessage>,
    pub teacher: f64,
}

/// One answer as it was written, and as it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    pub id: String,
    pub text: String,
    pub tokens: usize,
    /// It was not at its end after the tokens it had.
    pub cut: bool,
    /// As far as any score can be read.
    pub score: Option<f64>,
    /// Why it is not in the recipe's full format.
    pub defect: Option<String>,
    pub teacher: f64,
}

impl SampleRules {
    fn due(&self, step: u64, evaluated: bool, spent: f64, trained: f64) -> bool {
        match self.every {
            Some(0) => false,
            Some(every) => step.is_multiple_of(every),
            None => evaluated && spent <= SHARE * trained,
        }
    }

    fn read(&self, g: Generated, teacher: f64) -> SampleRecord {
        let (score, defect) = match Answer::parse_strict(&g.text, self.think, self.scale) {
            Ok(answer) => (Some(answer.score), None),
            Err(defect) => (read_tolerant(&g.text, self.scale).ok().map(|(score, _)| score), Some(defect.to_string())),
        };
        let text = safe_text(&g.text).chars().take(KEPT).collect();
        SampleRecord { id: g.id, text, tokens: g.tokens, cut: g.stop == Stop::Length, score, defect, teacher }
    }
}

/// The rounds of one run.
pub(super) struct Samples<'a> {
    job: &'a TrainJob,
    /// `None`: not asked for, or something stood in the way.
    rules: Option<&'a SampleRules>,
    /// Seconds of this session spent on answers, and on steps.
    spent: f64,
    trained: f64,
}

impl<'a> Samples<'a> {
    /// Forgets what a run that went back to its checkpoint wrote after it.
    pub fn open(job: &'a TrainJob, step: u64) -> Result<Self, TrainError> {
        let rules = job.samples.as_ref().filter(|rules| !rules.rows.is_empty());
        let path = job.run_dir.join(FILE);
        if path.exists() {
            let kept: String = read(&job.run_dir)?.iter().filter(|e| at(e) <= step).filter_map(line).collect();
            std::fs::write(&path, kept).map_err(TrainError::io(&path))?;
        }
        Ok(Self { job, rules, spent: 0.0, trained: 0.0 })
    }

    pub fn trained(&mut self, seconds: f64) {
        self.trained += seconds;
    }

    /// Asks the student, where it is time. What goes wrong here ends the answers and not the run.
    pub fn round(&mut self, numbers: &Parameters, step: u64, evaluated: bool) -> Option<TrainEvent> {
        let rules = self.rules.filter(|rules| rules.due(step, evaluated, self.spent, self.trained))?;
        let began = Instant::now();
        let written = ask(self.job, rules, numbers);
        let seconds = began.elapsed().as_secs_f64();
        self.spent += seconds;
        let event = written.map(|answers| TrainEvent::Samples { step, seconds, answers });
        let kept = event.and_then(|event| self.keep(&event).map(|()| event));
        Some(kept.unwrap_or_else(|error| {
            self.rules = None;
            TrainEvent::NoSamples { why: error.to_string() }
        }))
    }

    fn keep(&self, event: &TrainEvent) -> Result<(), TrainError> {
        use std::io::Write as _;
        let path = self.job.run_dir.join(FILE);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(TrainError::io(&path))?;
        file.write_all(line(event).unwrap_or_default().as_bytes()).map_err(TrainError::io(&path))
    }
}

fn ask(job: &TrainJob, rules: &SampleRules, numbers: &Parameters) -> Result<Vec<SampleRecord>, TrainError> {
    let student = student(job, numbers, FOLDER)?;
    let prompts: Vec<Prompt> = rules.rows.iter().map(|r| Prompt { id: r.id.clone(), messages: r.messages.clone() }).collect();
    let sampling = Sampling { max_new_tokens: rules.sampling.max_new_tokens.min(WRITTEN), ..rules.sampling.clone() };
    let written = generate(&student, &prompts, &sampling, job.seed, &mut |_| ControlFlow::Continue(()))?;
    Ok(written.into_iter().zip(&rules.rows).map(|(g, row)| rules.read(g, row.teacher)).collect())
}

/// A student of these numbers that can answer. `name`: a folder of the run that is there only meanwhile.
pub(super) fn student(job: &TrainJob, numbers: &Parameters, name: &str) -> Result<Student, TrainError> {
    match &job.subject {
        Subject::Adapter(a) => {
            let adapter = Adapter { rules: a.rules.clone(), numbers: numbers.clone(), base: None };
            Ok(Student::adapted(&a.base, Some(&adapter))?)
        }
        Subject::Full(_) => {
            let folder = job.run_dir.join(name);
            super::checkpoint::write_folder(&folder, &job.subject.files(&job.codec, numbers)?)?;
            let student = Student::load(&folder);
            std::fs::remove_dir_all(&folder).map_err(TrainError::io(&folder))?;
            Ok(student?)
        }
    }
}

fn at(event: &TrainEvent) -> u64 {
    if let TrainEvent::Samples { step, .. } = event { *step } else { 0 }
}

fn line(event: &TrainEvent) -> Option<String> {
    serde_json::to_string(event).ok().map(|line| line + "\n")
}

/// The rounds that a run has written; a line cut off by a crash is left out.
pub fn read(run: &Path) -> Result<Vec<TrainEvent>, TrainError> {
    let path = run.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(TrainError::io(&path)(e)),
    };
    let events = text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(events.filter(|e| matches!(e, TrainEvent::Samples { .. })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(every: Option<u64>) -> SampleRules {
        let recipe = crate::domain::Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound");
        SampleRules { every, rows: Vec::new(), sampling: recipe.sampling, think: true, scale: (0.0, 10.0) }
    }

    #[test]
    fn answers_come_as_often_as_was_said_and_else_cost_a_twentieth() {
        for (every, step, evaluated, spent, trained, expected) in [
            (None, 100, true, 0.0, 0.0, true),
            (None, 100, false, 0.0, 100.0, false),
            (None, 200, true, 5.0, 100.0, true),
            (None, 200, true, 5.1, 100.0, false),
            (Some(50), 100, false, 1e9, 0.0, true),
            (Some(50), 101, true, 0.0, 1e9, false),
            (Some(0), 100, true, 0.0, 1e9, false),
        ] {
            assert_eq!(rules(every).due(step, evaluated, spent, trained), expected, "{every:?} at {step}");
        }
    }

    #[test]
    fn an_answer_is_read_with_its_score_and_what_is_wrong_with_its_form() {
        let read = |text: &str, stop| {
            let g = Generated { id: "a".into(), text: text.into(), tokens: 9, prompt_tokens: 4, stop, expected_score: None };
            let record = rules(None).read(g, 7.0);
            (record.score, record.defect, record.cut)
        };
        assert_eq!(read("<think>\nx\n</think>\nSCORE: 7.5 | REASON: so.", Stop::End), (Some(7.5), None, false));
        let (score, defect, cut) = read("SCORE: 7 | REASON: so.", Stop::End);
        assert_eq!((score, defect.as_deref(), cut), (Some(7.0), Some("there is no think block"), false));
        let (score, defect, cut) = read("<think>\nand on and on", Stop::Length);
        assert_eq!((score, defect.as_deref(), cut), (None, Some("the think block is not closed"), true));
    }
}
