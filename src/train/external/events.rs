//! What a trainer elsewhere says, put into our own events. Its words are untrusted: a line that means nothing is only
//! logged, and a number that is none stops the run.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::train::{EvalRecord, StepRecord, TrainEvent};

/// What a line or a log entry means.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Event(TrainEvent),
    /// A loss or norm that is no finite number (guard T5).
    NotFinite {
        what: &'static str,
        step: u64,
    },
    /// The trainer is through; its adapter lies in the output folder.
    Done,
}

/// Follows one run: fills in what a trainer leaves out and forgets what it says twice.
#[derive(Debug)]
pub struct Reader {
    examples: (usize, usize),
    total_steps: u64,
    before: u64,
    last_step: u64,
    last_eval: u64,
    last_checkpoint: u64,
    started: bool,
    pub best: Option<(u64, f64)>,
}

impl Reader {
    /// `examples`: for training and for evaluation. `before`: step of the newest checkpoint of an earlier run.
    pub fn new(total_steps: u64, examples: (usize, usize), before: u64) -> Self {
        let (last_step, last_eval, last_checkpoint) = (before, before, before);
        Self { examples, total_steps, before, last_step, last_eval, last_checkpoint, started: false, best: None }
    }

    pub fn last_step(&self) -> u64 {
        self.last_step
    }

    /// One line of the trainer's output; none: an ordinary word.
    pub fn line(&mut self, text: &str, seconds: f64) -> Option<Said> {
        let text = text.trim();
        if !text.starts_with('{') {
            return None;
        }
        let value: Value = serde_json::from_str(&without_bare_words(text)).ok()?;
        let kind = value.get("event")?.as_str()?;
        let step = whole(&value, "step").unwrap_or(0);
        match kind {
            "start" => {
                let from = whole(&value, "resumed_from").unwrap_or(0);
                (self.last_step, self.last_eval, self.last_checkpoint) = (from, from, from);
                let best = whole(&value, "best_step").zip(number(&value, "best_loss").filter(|loss| loss.is_finite()));
                self.best = best.or(self.best);
                self.start(&value, from)
            }
            "step" => self.step(step, &value, seconds),
            "eval" => self.eval(step, &value),
            "checkpoint" => self.checkpoint(step, PathBuf::from(value.get("path").and_then(Value::as_str).unwrap_or_default())),
            "stopped" => Some(Said::Event(TrainEvent::Stopped { step })),
            "early_stop" => {
                let evaluations_without_improvement = whole(&value, "evaluations_without_improvement").unwrap_or(0) as usize;
                Some(Said::Event(TrainEvent::EarlyStop { step, evaluations_without_improvement }))
            }
            "done" => Some(Said::Done),
            _ => None,
        }
    }

    /// One entry of Hugging Face's `log_history`.
    pub fn history(&mut self, entry: &Value, seconds: f64) -> Option<Said> {
        let step = whole(entry, "step")?;
        if entry.get("eval_loss").is_some() { self.eval(step, entry) } else { self.step(step, entry, seconds) }
    }

    pub fn checkpoint(&mut self, step: u64, path: PathBuf) -> Option<Said> {
        if step <= self.last_checkpoint {
            return None;
        }
        self.last_checkpoint = step;
        Some(Said::Event(TrainEvent::Checkpoint { step, path }))
    }

    /// What a trainer that says nothing of its start has begun with.
    pub fn assume_started(&mut self) -> Option<TrainEvent> {
        match self.start(&Value::Null, self.before) {
            Some(Said::Event(event)) => Some(event),
            _ => None,
        }
    }

    fn start(&mut self, value: &Value, from: u64) -> Option<Said> {
        if self.started {
            return None;
        }
        self.started = true;
        let resumed_from = (from > 0).then_some(from);
        Some(Said::Event(TrainEvent::Started {
            total_steps: whole(value, "total_steps").unwrap_or(self.total_steps),
            resumed_from,
            parameters: whole(value, "parameters").unwrap_or(0) as usize,
            train_examples: self.examples.0,
            eval_examples: self.examples.1,
            longest: whole(value, "longest").unwrap_or(0) as usize,
        }))
    }

    fn step(&mut self, step: u64, value: &Value, seconds: f64) -> Option<Said> {
        let loss = number(value, "loss")?;
        let grad_norm = number(value, "grad_norm");
        if !loss.is_finite() {
            return Some(Said::NotFinite { what: "loss", step });
        }
        if grad_norm.is_some_and(|norm| !norm.is_finite()) {
            return Some(Said::NotFinite { what: "gradient norm", step });
        }
        if step <= self.last_step {
            return None;
        }
        self.last_step = step;
        let tokens = whole(value, "tokens").unwrap_or(0) as usize;
        Some(Said::Event(TrainEvent::Step(StepRecord {
            step,
            // Hugging Face counts epochs as a fraction of what is behind.
            epoch: number(value, "epoch").filter(|e| e.is_finite()).map_or(1, |e| e.ceil().max(1.0) as usize),
            loss,
            lr: number(value, "learning_rate").filter(|lr| lr.is_finite()).unwrap_or(0.0),
            grad_norm: grad_norm.unwrap_or(0.0),
            tokens,
            loss_tokens: whole(value, "loss_tokens").unwrap_or(0) as usize,
            seconds: number(value, "seconds").filter(|s| s.is_finite() && *s >= 0.0).unwrap_or(seconds),
        })))
    }

    fn eval(&mut self, step: u64, value: &Value) -> Option<Said> {
        let loss = number(value, "eval_loss").or_else(|| number(value, "loss"))?;
        if !loss.is_finite() {
            return Some(Said::NotFinite { what: "eval loss", step });
        }
        if step <= self.last_eval {
            return None;
        }
        self.last_eval = step;
        let best = self.best.is_none_or(|(_, least)| loss < least);
        if best {
            self.best = Some((step, loss));
        }
        let seconds = number(value, "seconds").or_else(|| number(value, "eval_runtime"));
        let seconds = seconds.filter(|s| s.is_finite() && *s >= 0.0).unwrap_or(0.0);
        Some(Said::Event(TrainEvent::Eval(EvalRecord { step, loss, best, seconds })))
    }
}

/// A number, also where JSON has none: Python writes NaN, and as `null` or a string it means the same.
fn number(value: &Value, key: &str) -> Option<f64> {
    match value.get(key)? {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null => Some(f64::NAN),
        _ => None,
    }
}

fn whole(value: &Value, key: &str) -> Option<u64> {
    let n = value.get(key)?;
    n.as_u64().or_else(|| n.as_f64().filter(|f| f.is_finite() && *f >= 0.0).map(|f| f as u64))
}

/// JSON as Python writes it: the bare words NaN, Infinity and -Infinity become null.
pub(super) fn without_bare_words(text: &str) -> String {
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        let escaped = quoted && c == '\\';
        let taken = c.len_utf8() + if escaped { rest[1..].chars().next().map_or(0, char::len_utf8) } else { 0 };
        quoted ^= c == '"';
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// Checkpoints of a Hugging Face trainer, oldest first.
pub fn checkpoints(output: &Path) -> Vec<(u64, PathBuf)> {
    let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse().ok();
    let entries = std::fs::read_dir(output).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<(u64, PathBuf)> = entries.filter_map(|path| Some((step(&path)?, path))).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader::new(40, (8, 2), 0)
    }

    fn event(reader: &mut Reader, line: &str) -> TrainEvent {
        match reader.line(line, 0.5) {
            Some(Said::Event(event)) => event,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_become_our_events() {
        let mut reader = reader();
        let TrainEvent::Started { total_steps: 40, resumed_from: Some(3), parameters: 9, train_examples: 8, .. } =
            event(&mut reader, r#"{"event":"start","total_steps":40,"resumed_from":3,"parameters":9}"#)
        else {
            panic!("no start")
        };
        let line = r#"{"event":"step","step":4,"loss":2.5,"learning_rate":1e-4,"grad_norm":0.7,"tokens":90,"epoch":1.2}"#;
        let TrainEvent::Step(step) = event(&mut reader, line) else { panic!("no step") };
        assert_eq!((step.step, step.epoch, step.loss, step.lr, step.tokens, step.seconds), (4, 2, 2.5, 1e-4, 90, 0.5));
        assert_eq!(reader.line(line, 0.5), None, "said twice");
        let eval = event(&mut reader, r#"{"event":"eval","step":4,"loss":2.0}"#);
        assert_eq!(eval, TrainEvent::Eval(EvalRecord { step: 4, loss: 2.0, best: true, seconds: 0.0 }));
        let eval = event(&mut reader, r#"{"event":"eval","step":8,"eval_loss":2.1}"#);
        assert_eq!(eval, TrainEvent::Eval(EvalRecord { step: 8, loss: 2.1, best: false, seconds: 0.0 }));
        assert_eq!(reader.line(r#"{"event":"done"}"#, 0.0), Some(Said::Done));
    }

    #[test]
    fn ordinary_words_mean_nothing() {
        for line in ["", "Loading…", "{", "{}", r#"{"event":7}"#, r#"{"event":"dance"}"#, r#"{"event":"step"}"#, "[1]"] {
            assert_eq!(reader().line(line, 0.0), None, "{line}");
        }
    }

    #[test]
    fn every_way_to_write_not_a_number_is_one() {
        for loss in ["NaN", "null", "\"nan\"", "Infinity", "-Infinity", "\"inf\""] {
            let line = format!(r#"{{"event":"step","note":"NaN is \" fine here","step":7,"loss":{loss},"grad_norm":1.0}}"#);
            assert_eq!(reader().line(&line, 0.0), Some(Said::NotFinite { what: "loss", step: 7 }), "{loss}");
            let line = format!(r#"{{"event":"step","step":7,"loss":1.0,"grad_norm":{loss}}}"#);
            assert_eq!(reader().line(&line, 0.0), Some(Said::NotFinite { what: "gradient norm", step: 7 }), "{loss}");
        }
    }

    #[test]
    fn bare_words_are_replaced_outside_of_strings_only() {
        assert_eq!(
            without_bare_words(r#"{"a":NaN,"b":"NaN \" NaN","c":[-Infinity,Infinity],"ü":"\\"}"#),
            r#"{"a":null,"b":"NaN \" NaN","c":[null,null],"ü":"\\"}"#
        );
    }
}
