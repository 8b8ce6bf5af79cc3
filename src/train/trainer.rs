//! The loop: order → steps → evaluations → checkpoints, one gate call per step. Owns the guards of a running training
//! (T5: nothing not finite; T13: every tensor learns) and early stopping; the arithmetic is its neighbours'.

use std::path::PathBuf;
use std::time::Instant;

use super::checkpoint::{self, RunState};
use super::learner::Learner;
use super::objective::{Noise, Row};
use super::optimizer::{AdamW, clip_scale, global_norm};
use super::samples::Samples;
use super::schedule::learning_rate;
use super::steplog::StepLog;
use super::{EvalRecord, Finish, Gate, StepRecord, TrainControl, TrainError, TrainEvent, TrainJob, TrainOutcome};
use crate::domain::{Digest, Digester};
use crate::student::parameters::Parameters;

struct Trainer<'a> {
    job: &'a TrainJob,
    control: &'a mut dyn TrainControl,
    weights: Parameters,
    learner: Learner<'a>,
    optimizer: AdamW,
    state: RunState,
    log: StepLog,
    samples: Samples<'a>,
    train: Vec<Row>,
    eval: Vec<Row>,
    /// Examples of every optimizer step.
    steps: Vec<(usize, Vec<u32>)>,
    best: PathBuf,
}

/// Trains, or goes on training, and leaves the best student in `run_dir/best`.
pub fn train(job: &TrainJob, control: &mut dyn TrainControl) -> Result<TrainOutcome, TrainError> {
    train_rows(job, job.encode(&job.train)?, job.encode(&job.eval)?, control)
}

/// [`train`] on the job's examples encoded before.
pub fn train_rows(
    job: &TrainJob,
    train: Vec<Row>,
    eval: Vec<Row>,
    control: &mut dyn TrainControl,
) -> Result<TrainOutcome, TrainError> {
    job.refuse_long(&train)?;
    job.refuse_long(&eval)?;
    let steps = plan(job)?;
    std::fs::create_dir_all(&job.run_dir).map_err(TrainError::io(&job.run_dir))?;
    let best = job.run_dir.join("best");
    checkpoint::settle(&best)?;
    let digest = digest(job)?;
    let (shapes, mut resumed) = (job.subject.shapes(), None);
    for path in checkpoint::list(&job.run_dir)?.into_iter().rev() {
        match checkpoint::load(&path, &digest, &shapes) {
            Ok(found) => {
                resumed = Some(found);
                break;
            }
            Err(error @ TrainError::OtherJob { .. }) => return Err(error),
            Err(error) => control.on_event(&TrainEvent::CheckpointSkipped { path, why: error.to_string() }),
        }
    }
    let resumed_from = resumed.as_ref().map(|c| c.state.step);
    let (state, weights, optimizer) = if let Some(c) = resumed {
        (c.state, c.weights, c.optimizer)
    } else {
        let fresh = job.subject.fresh(job.seed);
        let optimizer = AdamW::new(&fresh);
        (RunState::new(digest), fresh, optimizer)
    };
    let log = StepLog::open(&job.run_dir, state.step)?;
    let samples = Samples::open(job, state.step)?;
    let learner = Learner::new(&job.subject)?;
    let longest = train.iter().chain(&eval).map(|r| r.encoded.ids.len()).max().unwrap_or(0);
    control.on_event(&TrainEvent::Started {
        total_steps: steps.len() as u64,
        resumed_from,
        parameters: weights.count(),
        train_examples: train.len(),
        eval_examples: eval.len(),
        longest,
    });
    Trainer { job, control, weights, learner, optimizer, state, log, samples, train, eval, steps, best }.run()
}

/// What a checkpoint must agree with to be gone on from.
fn digest(job: &TrainJob) -> Result<Digest, TrainError> {
    let mut digest = Digester::new()
        .field(Digest::of_json(&job.run).as_str())
        .field(job.prompt_dropout.to_le_bytes())
        .field(job.hidden_dropout.to_le_bytes())
        .field(job.seed.to_le_bytes())
        .field(job.subject.identity())
        .field(job.codec.tokenizer.to_json()?)
        .field(job.codec.template.source())
        .field(job.data_digest.as_str())
        .field(Digest::of_json(&job.orders).as_str());
    for example in job.train.iter().chain(&job.eval) {
        digest = digest.field(&example.id).field(example.weight.to_le_bytes());
        for message in &example.messages {
            digest = digest.field(&message.content);
        }
    }
    Ok(digest.finish())
}

/// Cuts every epoch's order into optimizer steps; the last step of an epoch may be smaller.
fn plan(job: &TrainJob) -> Result<Vec<(usize, Vec<u32>)>, TrainError> {
    if let Some(bad) = job.orders.iter().flatten().find(|i| **i as usize >= job.train.len()) {
        return Err(TrainError::Order { index: *bad, examples: job.train.len() });
    }
    let size = job.run.effective_batch.max(1);
    let cut = |(epoch, order): (usize, &Vec<u32>)| order.chunks(size).map(move |c| (epoch + 1, c.to_vec())).collect::<Vec<_>>();
    let steps: Vec<_> = job.orders.iter().enumerate().flat_map(cut).collect();
    if steps.is_empty() || job.eval.is_empty() {
        return Err(TrainError::NoExamples { train: steps.len(), eval: job.eval.len() });
    }
    Ok(steps)
}

impl Trainer<'_> {
    fn run(mut self) -> Result<TrainOutcome, TrainError> {
        let total = self.steps.len() as u64;
        let run = &self.job.run;
        while !self.state.finished {
            match self.control.gate() {
                Gate::Continue => {}
                Gate::Checkpoint => {
                    self.checkpoint()?;
                    continue;
                }
                Gate::Stop => {
                    self.checkpoint()?;
                    let step = self.state.step;
                    self.control.on_event(&TrainEvent::Stopped { step });
                    return Ok(TrainOutcome::Stopped { step });
                }
            }
            self.step(total)?;
            let done = self.state.step == total;
            let evaluates = done || self.state.step.is_multiple_of(run.eval_every as u64);
            if evaluates {
                self.evaluate()?;
            }
            if let Some(written) = self.samples.round(&self.weights, self.state.step, evaluates) {
                self.control.on_event(&written);
            }
            self.state.early = !done && run.patience > 0 && self.state.evaluations_without_improvement >= run.patience;
            self.state.finished = done || self.state.early;
            if self.state.finished || self.state.step.is_multiple_of(run.checkpoint_every as u64) {
                self.checkpoint()?;
            }
        }
        if self.state.early {
            let evaluations_without_improvement = self.state.evaluations_without_improvement;
            self.control.on_event(&TrainEvent::EarlyStop { step: self.state.step, evaluations_without_improvement });
        }
        let (best_step, best_loss) = self.state.best.unwrap_or((self.state.step, f64::NAN));
        let finish = Finish { steps: self.state.step, best_step, best_loss, early: self.state.early, best: self.best.clone() };
        self.control.on_event(&TrainEvent::Finished(finish.clone()));
        Ok(TrainOutcome::Finished(finish))
    }

    fn step(&mut self, total: u64) -> Result<(), TrainError> {
        let began = Instant::now();
        let rules = &self.job.run;
        let (epoch, ref indices) = self.steps[self.state.step as usize];
        let rows: Vec<&Row> = indices.iter().map(|i| &self.train[*i as usize]).collect();
        let noise = Noise {
            prompt: self.job.prompt_dropout,
            hidden: self.job.hidden_dropout,
            adapter: self.job.subject.adapter_dropout(),
            blank: self.job.codec.tokenizer.pad(),
            seed: self.job.seed,
            step: self.state.step,
        };
        let (pass, gradients) = self.learner.learn(&self.weights, &rows, rules.micro_batch, noise)?;
        let step = self.state.step + 1;
        let norm = global_norm(&gradients);
        for (what, value) in [("loss", pass.loss), ("gradient norm", norm)] {
            if !value.is_finite() {
                let last_good = checkpoint::list(&self.job.run_dir)?.pop();
                return Err(TrainError::NotFinite { what, value, step, last_good });
            }
        }
        if step <= 2 {
            learns(&gradients, step)?;
        }
        let lr = learning_rate(rules, self.state.step, total);
        let scale = clip_scale(norm, rules.clip_norm);
        self.optimizer.step(&mut self.weights, &gradients, scale, lr, rules.weight_decay);
        self.state.step = step;
        let record = StepRecord {
            step,
            epoch,
            loss: pass.loss,
            lr,
            grad_norm: norm,
            tokens: pass.tokens,
            loss_tokens: pass.loss_tokens,
            seconds: began.elapsed().as_secs_f64(),
        };
        self.samples.trained(record.seconds);
        self.tell(&TrainEvent::Step(record))
    }

    fn evaluate(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let rows: Vec<&Row> = self.eval.iter().collect();
        let loss = self.learner.evaluate(&self.weights, &rows, self.job.run.micro_batch).loss;
        let step = self.state.step;
        if !loss.is_finite() {
            let last_good = checkpoint::list(&self.job.run_dir)?.pop();
            return Err(TrainError::NotFinite { what: "evaluation loss", value: loss, step, last_good });
        }
        let best = self.state.best.is_none_or(|(_, least)| loss < least);
        if best {
            self.state.best = Some((step, loss));
            self.state.evaluations_without_improvement = 0;
            let files = self.job.subject.files(&self.job.codec, &self.weights)?;
            checkpoint::write_folder(&self.best, &files)?;
        } else {
            self.state.evaluations_without_improvement += 1;
        }
        self.tell(&TrainEvent::Eval(EvalRecord { step, loss, best, seconds: began.elapsed().as_secs_f64() }))
    }

    fn checkpoint(&mut self) -> Result<(), TrainError> {
        let path = checkpoint::save(&self.job.run_dir, &self.state, &self.weights, &self.optimizer)?;
        self.control.on_event(&TrainEvent::Checkpoint { step: self.state.step, path });
        Ok(())
    }

    fn tell(&mut self, event: &TrainEvent) -> Result<(), TrainError> {
        self.log.add(event)?;
        self.control.on_event(event);
        Ok(())
    }
}

/// Guard T13: after the first steps every trainable tensor has a gradient that is finite and not nought.
/// A starts to learn when B is no longer nought, so an adapter's A is asked at the second step.
fn learns(gradients: &Parameters, step: u64) -> Result<(), TrainError> {
    let still = |name: &str, g: &[f32]| g.iter().all(|v| *v == 0.0) && !(step == 1 && name.contains("lora_A"));
    let dead = |(name, _, g): &(&str, bool, &[f32])| g.iter().any(|v| !v.is_finite()) || still(name, g);
    let names: Vec<String> = gradients.iter().filter(dead).map(|(n, ..)| n.to_owned()).collect();
    if names.is_empty() { Ok(()) } else { Err(TrainError::NoGradient { names }) }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::path::Path;

    use super::super::tests::job;
    use super::*;
    use crate::domain::recipe::Sampling;
    use crate::student::Student;
    use crate::train::{SampleRow, SampleRules};

    /// Stops at some gates, remembers every event.
    #[derive(Default)]
    struct Watch {
        stop_before: Vec<u64>,
        gates: u64,
        events: Vec<TrainEvent>,
    }

    impl TrainControl for Watch {
        fn gate(&mut self) -> Gate {
            self.gates += 1;
            if self.stop_before.contains(&self.gates) { Gate::Stop } else { Gate::Continue }
        }

        fn on_event(&mut self, event: &TrainEvent) {
            self.events.push(event.clone());
        }
    }

    /// A panic at the gate before step 4 stands for a kill.
    struct Crash(u64);

    impl TrainControl for Crash {
        fn gate(&mut self) -> Gate {
            self.0 += 1;
            assert!(self.0 < 4, "killed");
            Gate::Continue
        }

        fn on_event(&mut self, _: &TrainEvent) {}
    }

    fn finish(job: &TrainJob, watch: &mut Watch) -> Finish {
        match train(job, watch).expect("trains") {
            TrainOutcome::Finished(finish) => finish,
            TrainOutcome::Stopped { step } => panic!("stopped at {step}"),
        }
    }

    fn best_bytes(run: &Path) -> Vec<u8> {
        std::fs::read(run.join("best/model.safetensors")).expect("best student")
    }

    fn losses(run: &Path) -> Vec<u64> {
        let bits = |e: &TrainEvent| match e {
            TrainEvent::Step(s) => s.loss.to_bits(),
            TrainEvent::Eval(e) => e.loss.to_bits(),
            _ => 0,
        };
        super::super::steplog::read(&run.join("steps.jsonl")).expect("log").iter().map(bits).collect()
    }

    #[test]
    fn it_learns_and_leaves_a_student_that_loads() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path());
        job.orders = vec![(0..12).collect(); 12];
        let mut watch = Watch::default();
        let finish = finish(&job, &mut watch);
        let loss = |e: &TrainEvent| if let TrainEvent::Step(s) = e { Some(s.loss) } else { None };
        let losses: Vec<f64> = watch.events.iter().filter_map(loss).collect();
        assert!(losses[losses.len() - 1] < 0.5 * losses[0], "{losses:?}");
        let student = Student::load(&finish.best).unwrap();
        assert!(
            student
                .config
                .same_shape(&job.subject.config().clone().with_ends(&student.config.eos_token_ids, student.config.pad_token_id))
        );
        assert_eq!(checkpoint::list(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn stopped_and_resumed_is_the_uninterrupted_run_bit_for_bit() {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let straight = finish(&job(whole.path()), &mut Watch::default());
        // Gates 2 and 5 of each call: stops after step 1, then after steps 5, …
        let job = job(parts.path());
        for at in [2, 5] {
            let mut watch = Watch { stop_before: vec![at], ..Watch::default() };
            assert!(matches!(train(&job, &mut watch).unwrap(), TrainOutcome::Stopped { .. }));
        }
        let resumed = finish(&job, &mut Watch::default());
        assert_eq!((resumed.steps, resumed.best_loss.to_bits()), (straight.steps, straight.best_loss.to_bits()));
        assert_eq!(best_bytes(parts.path()), best_bytes(whole.path()));
        assert_eq!(losses(parts.path()), losses(whole.path()));
    }

    /// With live answers at every step.
    fn asked(run_dir: &Path) -> TrainJob {
        let mut job = job(run_dir);
        let recipe = crate::domain::Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).unwrap();
        let row =
            |e: &crate::train::TrainExample| SampleRow { id: e.id.clone(), messages: e.messages[..2].to_vec(), teacher: 9.5 };
        let sampling = Sampling { max_new_tokens: 12, ..recipe.sampling };
        let rows = job.eval.iter().take(2).map(row).collect();
        job.samples = Some(SampleRules { every: Some(1), rows, sampling, think: true, scale: (0.0, 10.0) });
        job
    }

    #[test]
    fn live_answers_change_no_number_of_the_run_and_are_kept_as_if_it_had_never_stopped() {
        let [without, with, parts] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        finish(&job(without.path()), &mut Watch::default());
        let mut watch = Watch::default();
        let steps = finish(&asked(with.path()), &mut watch).steps;
        assert_eq!(best_bytes(with.path()), best_bytes(without.path()));
        assert_eq!(losses(with.path()), losses(without.path()));
        let answers = |run: &Path| -> Vec<_> {
            let all = super::super::samples::read(run).unwrap();
            all.into_iter()
                .filter_map(|e| if let TrainEvent::Samples { step, answers, .. } = e { Some((step, answers)) } else { None })
                .collect()
        };
        let written = answers(with.path());
        assert_eq!((written.len() as u64, written[0].1.len(), written[0].1[0].teacher), (steps, 2, 9.5));
        assert!(!with.path().join("answering").exists());
        let crash = std::panic::catch_unwind(AssertUnwindSafe(|| train(&asked(parts.path()), &mut Crash(0))));
        assert!(crash.is_err());
        finish(&asked(parts.path()), &mut Watch::default());
        assert_eq!(answers(parts.path()), written);
    }

    #[test]
    fn answers_that_cannot_be_written_end_the_answers_and_not_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = asked(folder.path());
        let rules = job.samples.as_mut().unwrap();
        rules.rows[0].messages[1].content = "news ".repeat(300);
        let mut watch = Watch::default();
        finish(&job, &mut watch);
        let told = watch.events.iter().filter(|e| matches!(e, TrainEvent::NoSamples { .. })).count();
        assert_eq!(told, 1);
    }

    #[test]
    fn a_checkpoint_that_is_asked_for_is_written_and_the_run_goes_on() {
        struct Asks(u64, Vec<u64>);
        impl TrainControl for Asks {
            fn gate(&mut self) -> Gate {
                self.0 += 1;
                if self.0 == 2 { Gate::Checkpoint } else { Gate::Continue }
            }

            fn on_event(&mut self, event: &TrainEvent) {
                if let TrainEvent::Checkpoint { step, .. } = event {
                    self.1.push(*step);
                }
            }
        }
        let (asked, straight) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut asks = Asks(0, Vec::new());
        train(&job(asked.path()), &mut asks).unwrap();
        assert_eq!(asks.1[..2], [1, 2], "after the first step, and then as the recipe says");
        finish(&job(straight.path()), &mut Watch::default());
        assert_eq!(best_bytes(asked.path()), best_bytes(straight.path()));
    }

    #[test]
    fn a_crash_after_steps_past_the_checkpoint_changes_nothing() {
        let (whole, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        finish(&job(whole.path()), &mut Watch::default());
        let job = job(crashed.path());
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| train(&job, &mut Crash(0)))).is_err());
        let mut watch = Watch::default();
        finish(&job, &mut watch);
        // The newest checkpoint is that of step 2.
        assert!(matches!(watch.events[0], TrainEvent::Started { resumed_from: Some(2), .. }));
        assert_eq!(losses(crashed.path()), losses(whole.path()));
        assert_eq!(best_bytes(crashed.path()), best_bytes(whole.path()));
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
        let (whole, damaged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        finish(&job(whole.path()), &mut Watch::default());
        let job = job(damaged.path());
        train(&job, &mut Watch { stop_before: vec![6], ..Watch::default() }).unwrap();
        let newest = checkpoint::list(damaged.path()).unwrap().pop().unwrap();
        std::fs::write(newest.join("second.safetensors"), b"half").unwrap();
        let mut watch = Watch::default();
        finish(&job, &mut watch);
        assert!(matches!(watch.events[0], TrainEvent::CheckpointSkipped { .. }));
        assert_eq!(best_bytes(damaged.path()), best_bytes(whole.path()));
    }

    #[test]
    fn a_folder_of_another_job_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path());
        train(&job, &mut Watch { stop_before: vec![2], ..Watch::default() }).unwrap();
        job.seed += 1;
        assert!(matches!(train(&job, &mut Watch::default()), Err(TrainError::OtherJob { .. })));
    }

    #[test]
    fn a_finished_run_is_not_run_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = finish(&job(folder.path()), &mut Watch::default());
        let mut watch = Watch::default();
        assert_eq!(finish(&job(folder.path()), &mut watch), first);
        assert_eq!(watch.gates, 0);
    }

    #[test]
    fn a_rate_that_explodes_is_stopped_at_the_last_good_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path());
        (job.run.learning_rate, job.run.warmup_share) = (1e30, 0.0);
        job.run.checkpoint_every = 1;
        let error = train(&job, &mut Watch::default()).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { last_good: Some(_), .. }), "{error}");
    }

    #[test]
    fn without_improvement_it_stops_early() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path());
        (job.run.learning_rate, job.run.eval_every, job.run.patience) = (1e-12, 1, 2);
        job.run.weight_decay = 0.0;
        job.orders = vec![(0..12).collect(); 30];
        let finish = finish(&job, &mut Watch::default());
        assert!(finish.early && finish.steps < 90, "{finish:?}");
    }

    #[test]
    fn texts_that_do_not_fit_are_named_and_none_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job(folder.path());
        job.train[4].messages[1].content = "news ".repeat(300);
        let error = train(&job, &mut Watch::default()).unwrap_err().to_string();
        assert!(error.contains("train-4") && !error.contains("train-3"), "{error}");
    }

    #[test]
    fn a_tensor_without_gradient_is_named() {
        let mut gradients = super::super::tests::toy_subject().1;
        gradients.get_mut("model.norm.weight").fill(0.0);
        gradients.get_mut("model.layers.1.mlp.up_proj.weight")[3] = f32::NAN;
        let error = learns(&gradients, 1).unwrap_err().to_string();
        assert!(error.contains("layers.1.mlp.up_proj.weight, model.norm.weight") && !error.contains("embed"), "{error}");
    }
}
