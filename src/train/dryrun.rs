//! The dry run: a few steps on a copy of the numbers, the longest micro-batch first, then three answers to held-out prompts
//! (guard T2). Owns what is rehearsed and measured; saves nothing, and the run that follows begins as if it had not been.

use std::ops::ControlFlow;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::learner::Learner;
use super::objective::{Noise, Row};
use super::optimizer::{AdamW, clip_scale, global_norm};
use super::samples::student;
use super::{TrainError, TrainJob};
use crate::domain::recipe::Sampling;
use crate::domain::{Finding, one_line, read_tolerant};
use crate::student::parameters::Parameters;
use crate::student::{Prompt, generate};

pub const STEPS: usize = 20;
pub const ANSWERS: usize = 3;
/// Held-out rows whose loss is compared before and after.
const COMPARED: usize = 4;
/// Tokens of an answer, at most.
const WRITTEN: usize = 160;
const MIB: f64 = (1 << 20) as f64;

/// What a dry run measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    pub steps: usize,
    /// Of one optimizer step of the real run.
    pub seconds_per_step: f64,
    /// Of the whole run, evaluations included.
    pub eta_seconds: f64,
    /// The most memory this process held so far.
    pub peak: Option<u64>,
    /// Loss of each step.
    pub losses: Vec<f64>,
    /// Loss of a few held-out rows before and after.
    pub held_out: (f64, f64),
}

/// One answer of the rehearsed student, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub id: String,
    pub text: String,
    pub readable: bool,
}

/// Trains a copy for a few steps of one micro-batch each, at the full learning rate. `go_on` hears of each step; nothing
/// comes back where it said no.
pub fn rehearse(
    job: &TrainJob,
    train: &[Row],
    eval: &[Row],
    go_on: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Option<(Rehearsal, Parameters)>, TrainError> {
    let batches = batches(job, train);
    let learner = Learner::new(&job.subject)?;
    let mut numbers = job.subject.fresh(job.seed);
    let mut optimizer = AdamW::new(&numbers);
    let compared: Vec<&Row> = eval.iter().take(COMPARED).collect();
    let before = learner.evaluate(&numbers, &compared, job.run.micro_batch).loss;
    let (mut losses, mut seconds, mut tokens) = (Vec::new(), 0.0, 0);
    for (step, rows) in batches.iter().enumerate() {
        if !go_on(step, batches.len()) {
            return Ok(None);
        }
        let began = Instant::now();
        let noise = Noise {
            prompt: job.prompt_dropout,
            hidden: job.hidden_dropout,
            adapter: job.subject.adapter_dropout(),
            blank: job.codec.tokenizer.pad(),
            seed: job.seed,
            step: step as u64,
        };
        let (pass, gradients) = learner.learn(&numbers, rows, job.run.micro_batch, noise)?;
        let norm = global_norm(&gradients);
        for (what, value) in [("loss of the dry run", pass.loss), ("gradient norm of the dry run", norm)] {
            if !value.is_finite() {
                return Err(TrainError::NotFinite { what, value, step: step as u64 + 1, last_good: None });
            }
        }
        let scale = clip_scale(norm, job.run.clip_norm);
        optimizer.step(&mut numbers, &gradients, scale, job.run.learning_rate, job.run.weight_decay);
        losses.push(pass.loss);
        // The first step fills buffers.
        if step > 0 || batches.len() == 1 {
            seconds += began.elapsed().as_secs_f64();
            tokens += pass.tokens;
        }
    }
    let after = learner.evaluate(&numbers, &compared, job.run.micro_batch).loss;
    let (seconds_per_step, eta_seconds) = pace(job, train, eval, seconds / tokens.max(1) as f64);
    let steps = batches.len();
    let rehearsal = Rehearsal { steps, seconds_per_step, eta_seconds, peak: peak(), losses, held_out: (before, after) };
    Ok(Some((rehearsal, numbers)))
}

/// The longest rows, then what the run begins with.
fn batches<'r>(job: &TrainJob, train: &'r [Row]) -> Vec<Vec<&'r Row>> {
    let size = job.run.micro_batch.max(1);
    let mut longest: Vec<&Row> = train.iter().collect();
    longest.sort_by_key(|row| std::cmp::Reverse(row.encoded.ids.len()));
    longest.truncate(size);
    let order: Vec<&Row> = job.orders.iter().flatten().filter_map(|i| train.get(*i as usize)).collect();
    let all = job.orders.iter().map(|o| o.len().div_ceil(job.run.effective_batch.max(1))).sum::<usize>();
    let rest = order.chunks(size).map(<[_]>::to_vec);
    std::iter::once(longest).chain(rest).filter(|rows| !rows.is_empty()).take(STEPS.min(all.max(1))).collect()
}

/// Seconds of a step, and of all steps and evaluations, from seconds of a token.
fn pace(job: &TrainJob, train: &[Row], eval: &[Row], each: f64) -> (f64, f64) {
    let length = |row: &Row| row.encoded.ids.len();
    let tokens: usize = job.orders.iter().flatten().filter_map(|i| train.get(*i as usize)).map(length).sum();
    let steps: usize = job.orders.iter().map(|o| o.len().div_ceil(job.run.effective_batch.max(1))).sum();
    let evaluations = steps.div_ceil(job.run.eval_every.max(1));
    // Without the way back a token costs about a third.
    let evaluated = (evaluations * eval.iter().map(length).sum::<usize>()) as f64 / 3.0;
    (each * tokens as f64 / steps.max(1) as f64, each * (tokens as f64 + evaluated))
}

/// What this process held at most, or holds now where the system says no more.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let line = status.as_deref().and_then(|text| text.lines().find_map(|l| l.strip_prefix("VmHWM:")));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).or_else(|| {
        let pid = sysinfo::get_current_pid().ok()?;
        let mut system = sysinfo::System::new();
        system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), true);
        system.process(pid).map(sysinfo::Process::memory)
    })
}

/// Three answers of the rehearsed student to prompts that it was not trained on.
pub fn answers(job: &TrainJob, numbers: &Parameters, sampling: &Sampling, scale: (f64, f64)) -> Result<Vec<Answer>, TrainError> {
    let student = student(job, numbers, "dry-run")?;
    let prompt = |e: &super::TrainExample| {
        let messages = e.messages.split_last().map(|(_, before)| before.to_vec()).unwrap_or_default();
        Prompt { id: e.id.clone(), messages }
    };
    let prompts: Vec<Prompt> = job.eval.iter().take(ANSWERS).map(prompt).collect();
    let rules = Sampling { max_new_tokens: sampling.max_new_tokens.min(WRITTEN), ..sampling.clone() };
    let written = generate(&student, &prompts, &rules, job.seed, &mut |_| ControlFlow::Continue(()))?;
    let answer = |g: crate::student::Generated| Answer {
        readable: read_tolerant(&g.text, scale).is_ok(),
        id: g.id,
        text: one_line(&g.text, 400),
    };
    Ok(written.into_iter().map(answer).collect())
}

/// Guard T2: the dry run learnt something, or writes answers that can be read. `answers` is empty where they were not asked.
pub fn t2(run: &Rehearsal, answers: &[Answer], forecast: Option<u64>) -> Finding {
    let (before, after) = run.held_out;
    let fell = after < before;
    let readable = answers.iter().filter(|a| a.readable).count();
    let memory = match (run.peak, forecast) {
        (Some(peak), Some(forecast)) => {
            format!(", {:.0} MiB at most (forecast {:.0})", peak as f64 / MIB, forecast as f64 / MIB)
        }
        (Some(peak), None) => format!(", {:.0} MiB at most", peak as f64 / MIB),
        _ => String::new(),
    };
    let (first, last) = (run.losses.first().copied().unwrap_or(f64::NAN), run.losses.last().copied().unwrap_or(f64::NAN));
    let saw = format!(
        "{} steps, {:.1} s a step, the whole run about {}{memory}; loss {first:.3} → {last:.3}, on held-out rows {before:.3} → \
         {after:.3} ({}); {readable} of {} answers can be read",
        run.steps,
        run.seconds_per_step,
        span(run.eta_seconds),
        if fell { "it falls" } else { "it does not fall" },
        answers.len()
    );
    if fell || readable > 0 {
        return Finding::pass("T2", saw);
    }
    let remedy = "Read the answers above and the mask of a row; lower the learning rate, or check method, template and targets.";
    Finding::fail("T2", saw, remedy)
}

/// 5400 as "1 h 30 min".
pub fn span(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds:.0} s"),
        (0, m) => format!("{m} min"),
        (h, m) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::job;
    use super::*;

    fn rehearsed(change: impl FnOnce(&mut TrainJob)) -> (TrainJob, Rehearsal, Vec<Answer>) {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path());
        change(&mut job);
        let (train, eval) = (job.encode(&job.train).unwrap(), job.encode(&job.eval).unwrap());
        let (run, numbers) = rehearse(&job, &train, &eval, &mut |_, _| true).unwrap().unwrap();
        let answers = answers(&job, &numbers, &sampling(), (0.0, 10.0)).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays");
        (job, run, answers)
    }

    fn sampling() -> Sampling {
        let recipe = crate::domain::Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).unwrap();
        Sampling { max_new_tokens: 24, ..recipe.sampling }
    }

    #[test]
    fn it_tells_pace_losses_and_three_answers_and_saves_nothing() {
        let (job, run, answers) = rehearsed(|_| {});
        let steps: usize = job.orders.iter().map(|o| o.len().div_ceil(4)).sum();
        assert_eq!((run.steps, run.losses.len(), answers.len()), (steps, steps, 3));
        assert!(run.seconds_per_step > 0.0 && run.eta_seconds >= run.seconds_per_step * steps as f64 * 0.99);
        assert!(run.held_out.1 < run.held_out.0, "{run:?}");
        assert!(!t2(&run, &answers, None).failed());
    }

    #[test]
    fn the_longest_rows_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path());
        job.train[9].messages[1].content = "a much longer piece of news about chips and space".into();
        let train = job.encode(&job.train).unwrap();
        let batches = batches(&job, &train);
        assert_eq!(batches[0][0].id, "train-9");
        assert_eq!(batches[1][0].id, "train-0");
    }

    #[test]
    fn a_rate_that_ruins_it_fails_while_no_answer_can_be_read() {
        let (_, run, answers) = rehearsed(|job| {
            (job.run.learning_rate, job.run.clip_norm) = (3.0, 1e9);
            (job.prompt_dropout, job.hidden_dropout) = (0.0, 0.0);
        });
        let finding = t2(&run, &answers, Some(1 << 20));
        assert!(finding.failed() && finding.saw.contains("does not fall"), "{finding:?}");
        let saved = vec![Answer { readable: true, ..answers[0].clone() }];
        assert!(!t2(&run, &saved, None).failed());
    }

    #[test]
    fn it_stops_when_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path());
        let (train, eval) = (job.encode(&job.train).unwrap(), job.encode(&job.eval).unwrap());
        assert!(rehearse(&job, &train, &eval, &mut |step, _| step < 2).unwrap().is_none());
    }

    #[test]
    fn spans_are_told_in_hours_and_minutes() {
        assert_eq!([5400.0, 600.0, 12.0].map(span), ["1 h 30 min", "10 min", "12 s"]);
    }
}
