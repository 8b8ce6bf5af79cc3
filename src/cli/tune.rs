//! `stratos tune` and `stratos answer`: an adapter from a file of rows, and a student's answers to another, outside any
//! workspace. For rows that come from elsewhere, for measuring, and for looking.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use color_eyre::eyre::{Result, WrapErr as _, bail, eyre};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bench::use_threads;
use crate::dataset::{OrderRow, order};
use crate::domain::recipe::{RunRules, Sampling};

use crate::domain::{ChatMessage, Digester, read_tolerant};
use crate::headless::say;
use crate::student::adapter::AdapterRules;
use crate::student::base::Base;
use crate::student::matrix::Keep;
use crate::student::{Prompt, Student, generate};
use crate::train::learner::{AdapterSubject, Device, Subject};
use crate::train::{Gate, TrainControl, TrainEvent, TrainJob, rows, train};

#[derive(Debug, Args)]
pub struct TuneArgs {
    /// A .toml file: base, precision, seed, recompute, `max_tokens`, [adapter] and [run]
    settings: PathBuf,
    /// Rows to learn from (JSONL: messages, or prompt and completion; id, weight and score where there are)
    #[arg(long)]
    rows: PathBuf,
    /// Rows that decide which step is the best
    #[arg(long)]
    eval: PathBuf,
    /// The run's folder; the adapter will be in its best/
    #[arg(long)]
    out: PathBuf,
    /// Stop after so many steps and say how fast they were
    #[arg(long)]
    steps: Option<u64>,
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// A model's or an adapter's folder, or a .gguf file
    student: PathBuf,
    /// Rows to answer; an assistant's turn at their end is left out, everything else comes back beside the answer
    #[arg(long)]
    rows: PathBuf,
    #[arg(long)]
    out: PathBuf,
    /// 0 takes the likeliest token every time
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    #[arg(long, default_value_t = 96)]
    max_new_tokens: usize,
    /// Texts that end an answer
    #[arg(long)]
    stop: Vec<String>,
    #[arg(long, default_value_t = 19)]
    seed: u64,
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    base: PathBuf,
    #[serde(default = "stored")]
    precision: String,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    recompute: bool,
    max_tokens: usize,
    adapter: AdapterRules,
    run: RunRules,
}

fn stored() -> String {
    "stored".into()
}

pub fn tune(args: &TuneArgs) -> Result<()> {
    use_threads(args.threads)?;
    let text = std::fs::read_to_string(&args.settings).wrap_err_with(|| format!("cannot read {}", args.settings.display()))?;
    let settings: Settings = toml::from_str(&text).wrap_err_with(|| format!("{}", args.settings.display()))?;
    let base = Base::load(&settings.base, Keep::of_name(&settings.precision))?;
    let (train_rows, eval_rows) = (rows::read(&args.rows)?, rows::read(&args.eval)?);
    let scored: Vec<OrderRow> =
        train_rows.iter().map(|r| OrderRow { score: r.score.unwrap_or_default(), repeats: 1, weight: 1.0 }).collect();
    let order = |epoch| order(&scored, settings.run.order, 5.0, settings.seed, epoch);
    let job = TrainJob {
        run_dir: args.out.clone(),
        prompt_dropout: 0.0,
        hidden_dropout: 0.0,
        seed: settings.seed,
        codec: base.codec.clone(),
        max_tokens: settings.max_tokens.min(base.config.max_position_embeddings),
        subject: Subject::Adapter(Box::new(AdapterSubject {
            base: Arc::new(base),
            path: std::fs::canonicalize(&settings.base).unwrap_or(settings.base),
            precision: settings.precision,
            rules: settings.adapter,
            recompute: settings.recompute,
            device: Device::Cpu,
        })),
        train: train_rows.into_iter().map(|r| r.example).collect(),
        eval: eval_rows.into_iter().map(|r| r.example).collect(),
        orders: (0..settings.run.epochs).map(order).collect(),
        data_digest: Digester::new().field(std::fs::read(&args.rows)?).field(std::fs::read(&args.eval)?).finish(),
        run: settings.run,
        samples: None,
    };
    let mut control = Lines { began: Instant::now(), steps: args.steps, done: 0, tokens: 0, gate: 0 };
    train(&job, &mut control)?;
    let seconds = control.began.elapsed().as_secs_f64();
    let speed = control.tokens as f64 / seconds;
    say(&json!({"steps": control.done, "tokens": control.tokens, "seconds": seconds, "tokens_per_second": speed,
        "peak_mb": crate::bench::peak_mb()})
    .to_string());
    Ok(())
}

/// One JSON line for each event.
struct Lines {
    began: Instant,
    steps: Option<u64>,
    done: u64,
    tokens: usize,
    gate: u64,
}

impl TrainControl for Lines {
    fn gate(&mut self) -> Gate {
        if self.gate == 0 {
            // Loading is not training.
            self.began = Instant::now();
        }
        self.gate += 1;
        if self.steps.is_some_and(|most| self.done >= most) { Gate::Stop } else { Gate::Continue }
    }

    fn on_event(&mut self, event: &TrainEvent) {
        if let TrainEvent::Step(step) = event {
            self.done += 1;
            self.tokens += step.tokens;
        }
        say(&serde_json::to_string(event).unwrap_or_default());
    }
}

pub fn answer(args: &AnswerArgs) -> Result<()> {
    use_threads(args.threads)?;
    let student = Student::load(&args.student)?;
    let text = std::fs::read_to_string(&args.rows).wrap_err_with(|| format!("cannot read {}", args.rows.display()))?;
    let values: Vec<Value> = text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
        .map(|(n, l)| serde_json::from_str(l).map_err(|e| eyre!("{}, line {}: {e}", args.rows.display(), n + 1)))
        .collect::<Result<_>>()?;
    let prompts = values.iter().enumerate().map(|(n, v)| prompt(n, v)).collect::<Result<Vec<_>>>()?;
    let sampling = Sampling {
        temperature: args.temperature,
        top_p: 0.95,
        top_k: 20,
        max_new_tokens: args.max_new_tokens.max(1),
        repeat_penalty: 1.0,
        temperature_floor: 0.0,
        stop: args.stop.clone(),
    };
    let (began, mut done) = (Instant::now(), 0);
    let answers = generate(&student, &prompts, &sampling, args.seed, &mut |_| {
        done += 1;
        ControlFlow::Continue(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    write_answers(&args.out, values, &answers)?;
    let (read, written): (usize, usize) = answers.iter().fold((0, 0), |(r, w), a| (r + a.prompt_tokens, w + a.tokens));
    say(&json!({"answers": done, "seconds": seconds, "answers_per_second": f64::from(done) / seconds, "prompt_tokens": read,
        "generated_tokens": written, "peak_mb": crate::bench::peak_mb()})
    .to_string());
    Ok(())
}

fn prompt(n: usize, value: &Value) -> Result<Prompt> {
    let turns = value.get("messages").or(value.get("prompt")).cloned().unwrap_or_default();
    let mut messages: Vec<ChatMessage> = serde_json::from_value(turns).wrap_err_with(|| format!("row {}", n + 1))?;
    if messages.last().is_some_and(|m| m.role == crate::domain::Role::Assistant) {
        messages.pop();
    }
    if messages.is_empty() {
        bail!("row {} has no messages", n + 1);
    }
    let id = value.get("id").and_then(Value::as_str).map_or_else(|| format!("row-{}", n + 1), str::to_owned);
    Ok(Prompt { id, messages })
}

fn write_answers(path: &Path, rows: Vec<Value>, answers: &[crate::student::Generated]) -> Result<()> {
    let mut file = BufWriter::new(File::create(path).wrap_err_with(|| format!("cannot write {}", path.display()))?);
    for (mut row, answer) in rows.into_iter().zip(answers) {
        if let Value::Object(row) = &mut row {
            for bulk in ["messages", "prompt", "completion"] {
                row.remove(bulk);
            }
            let score = read_tolerant(&answer.text, (0.0, 10.0)).ok().map(|(score, _)| score);
            row.insert("output".into(), json!(answer.text));
            row.insert("prediction".into(), json!(score));
            row.insert("expected".into(), json!(answer.expected_score));
            row.insert("stop".into(), json!(answer.stop));
            row.insert("tokens".into(), json!(answer.tokens));
        }
        writeln!(file, "{row}")?;
    }
    file.flush()?;
    Ok(())
}
