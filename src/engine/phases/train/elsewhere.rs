//! Training by a program of the operator's own stack (`train.backend = "external"`): the job from the same parts, the same
//! proofs before it starts, and the adapter that comes back as the run's best student.

use std::path::Path;

use super::super::super::event::{Event, Level};
use super::super::super::job::{Failure, JobContext, JobMessage, PhaseEnd};
use super::super::super::subject::Choice;
use super::control::{Begins, Control};
use super::start::Prepared;
use crate::domain::{Digest, Finding, one_line};
use crate::student::Student;
use crate::student::base::Base;
use crate::student::matrix::Keep;
use crate::student::peft::{self, BaseRecord};
use crate::train::external::{self, ExternalError, ExternalJob, ExternalOutcome, JobParts, RunFolder, Sign, Watch};
use crate::train::steplog::StepLog;
use crate::train::{Gate, TrainControl, TrainEvent, neighbours, proofs, write_student};

pub(super) fn run(context: &mut JobContext, input: &Digest, choice: &Choice, prepared: &Prepared) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let (rules, elsewhere) = (&workspace.recipe.train, &workspace.config.train.external);
    let Choice::Base(path) = choice else {
        let next = "Set student.base to a model's folder, or train.backend = \"native\" in stratos.toml.";
        return Err(Failure::new("the practice student is not trained elsewhere", next));
    };
    if !path.is_dir() {
        let next = "Set student.base to the folder of the original model; other trainers read no GGUF.";
        return Err(Failure::new("a trainer elsewhere needs a model's folder", next));
    }
    let read = |name: &str| {
        let own = elsewhere.environment.get(name).cloned();
        own.or_else(|| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    };
    let mut findings = vec![external::environment_finding(read)];
    findings.extend(neighbours::find(neighbours::OLLAMA_URL).map(|found| found.finding()));
    findings.extend(prepared.text_proofs(&workspace, choice)?);
    context.hold(input, &findings)?;

    let digest = Base::load(path, Keep::AsStored)?.digest;
    context.hold(input, &[proofs::t17(rules.base_digest.as_deref(), &digest)])?;
    let encode = |messages: &[crate::domain::ChatMessage]| prepared.codec.example(messages).map_err(|e| e.to_string());
    let folder = RunFolder::new(&prepared.run_dir.join("elsewhere"))?;
    let parts = JobParts {
        base: path,
        base_digest: Some(digest.clone()),
        rules,
        train: &prepared.examples[0],
        eval: &prepared.examples[1],
        encode: Some(&encode),
        orders: &prepared.orders,
        max_length: prepared.max_tokens,
        seed: workspace.config.seed,
        environment: &elsewhere.environment,
    };
    let job = ExternalJob::write(&folder, &parts)?;
    let tell = context.tell.clone();
    let mut sign = |sign: Sign| {
        if let Sign::Line(line) = sign {
            let text = format!("trainer: {}", one_line(&line, 400));
            // Gone only while the process ends.
            let _ = tell.send(JobMessage::Event(Event::Log { level: Level::Info, text }));
        }
    };
    let mut begins = Begins::of(&workspace, input, prepared, choice);
    begins.record.elsewhere = true;
    begins.no_samples = Some("a trainer elsewhere keeps the student to itself".into());
    let control = Control { context: &mut *context, begins };
    let mut control = Logged { control, run_dir: &prepared.run_dir, log: None };
    let outcome = external::train(&folder, &job, elsewhere, Watch::default(), &mut control, &mut sign);
    if let Err(ExternalError::NotFinite { what, step, .. }) = &outcome {
        super::tell_not_finite(context, what, *step);
    }
    let outcome = outcome?;
    let ExternalOutcome::Finished { steps, best, early, adapter } = outcome else { return Ok(PhaseEnd::Stopped) };
    let record = BaseRecord {
        path: std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
        digest,
        precision: rules.precision.clone(),
        thinking: prepared.codec.template.thinking(),
    };
    let student = take(&adapter.folder, &prepared.run_dir.join("best"), &record)?;
    let saw = format!("the adapter names its base by digest {}; it is refused on another", record.digest.short());
    context.hold(input, &[Finding::pass("T17", saw)])?;
    let early = if early { ", stopped early" } else { "" };
    let best = best.map_or_else(String::new, |(step, loss)| format!(", best eval loss {loss:.3} at step {step}"));
    let headline = format!("{:.1} M parameters, {steps} steps elsewhere{early}{best}", adapter.parameters as f64 / 1e6);
    Ok(PhaseEnd::Done { output: student.digest().clone(), headline })
}

/// The returned adapter becomes the best student, with the base that it belongs to.
fn take(from: &Path, best: &Path, base: &BaseRecord) -> Result<Student, Failure> {
    let read = |name: &'static str| {
        let path = from.join(name);
        let failed = |e| Failure::new(format!("cannot read {}: {e}", path.display()), "Train again.");
        Ok::<_, Failure>((name, std::fs::read(&path).map_err(failed)?))
    };
    let mut files = vec![read(peft::CONFIG_FILE)?, read(peft::WEIGHTS_FILE)?];
    files.push((peft::BASE_FILE, serde_json::to_vec_pretty(base)?));
    write_student(best, &files)?;
    Ok(Student::load(best)?)
}

/// Keeps the run's step log, as the trainer of this binary does.
struct Logged<'a> {
    control: Control<'a>,
    run_dir: &'a Path,
    log: Option<StepLog>,
}

impl TrainControl for Logged<'_> {
    fn gate(&mut self) -> Gate {
        self.control.gate()
    }

    fn on_event(&mut self, event: &TrainEvent) {
        if let TrainEvent::Started { resumed_from, .. } = event {
            self.log = StepLog::open(self.run_dir, resumed_from.unwrap_or(0)).ok();
        }
        if let (TrainEvent::Step(_) | TrainEvent::Eval(_), Some(log)) = (event, &mut self.log)
            && log.add(event).is_err()
        {
            // The run matters more than its curve.
            self.log = None;
        }
        self.control.on_event(event);
    }
}
