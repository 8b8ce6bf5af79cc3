//! Proofs that compare with what lies on disk: free space, the parent run's settings, the base's folder.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::domain::{Digest, Finding, one_line};
use crate::student::peft;
use crate::train::TrainJob;
use crate::train::forecast::mib;
use crate::train::learner::Subject;
use crate::workspace::{WorkspaceError, atomic_write};

pub const SETTINGS_FILE: &str = "settings.json";
/// Bytes of one number in a checkpoint: itself and two moments.
const CHECKPOINT_BYTES: u64 = 12;
/// Checkpoints on disk at once: two recent ones, one being written.
const CHECKPOINTS_HELD: u64 = 3;
/// Bytes of one number in the best student, of which there are two while one is replaced, and in the release.
const EXPORT_BYTES: u64 = 3 * 4;
/// Variables that may change at once and still be told apart.
const FEW: usize = 2;

/// Guard T3: the disk holds checkpoints, the best student and its release. `learnt` numbers are what each of them writes: all
/// of a small student, the adapter alone of a base.
pub fn t3(learnt: u64, free: Option<u64>) -> Finding {
    let need = learnt * (CHECKPOINT_BYTES * CHECKPOINTS_HELD + EXPORT_BYTES) + (16 << 20);
    match free {
        Some(free) if free < need => Finding::fail(
            "T3",
            format!("{} are free where checkpoints go; the run needs up to {}", mib(free), mib(need)),
            "Free some disk space and run again.",
        ),
        Some(free) => Finding::pass("T3", format!("{} are free, up to {} are needed", mib(free), mib(need))),
        None => Finding::pass("T3", format!("the system does not say how much is free; up to {} are needed", mib(need))),
    }
}

/// Everything that decides what this run does, as it was understood.
pub fn settings(job: &TrainJob) -> Value {
    let subject = match &job.subject {
        Subject::Full(config) => json!({"method": "full", "shape": serde_json::from_str::<Value>(&config.to_json()).ok()}),
        Subject::Adapter(a) => json!({
            "method": if a.rules.dora { "dora" } else { "lora" },
            "rules": a.rules,
            "base": a.base.digest,
            "kept": a.base.weights.layers.first().map(|l| l.projections[0].precision()),
            "recompute": a.recompute,
            "device": format!("{:?}", a.device).to_lowercase(),
        }),
    };
    let steps: usize = job.orders.iter().map(|o| o.len().div_ceil(job.run.effective_batch.max(1))).sum();
    json!({
        "student": subject,
        "run": job.run,
        "prompt_dropout": job.prompt_dropout,
        "hidden_dropout": job.hidden_dropout,
        "seed": job.seed,
        "max_tokens": job.max_tokens,
        "data": job.data_digest,
        "rows": {"train": job.train.len(), "eval": job.eval.len(), "steps": steps},
        "tokenizer": job.codec.tokenizer.to_json().ok().map(Digest::of),
        "template": Digest::of(job.codec.template.source()),
        "threads": rayon::current_num_threads(),
    })
}

/// Guard T17: the adapter keeps its base's digest and is refused on another; a recipe that pins its base by the first digits
/// of a digest is trained on no other.
pub fn t17(pinned: Option<&str>, base: &Digest) -> Finding {
    match pinned {
        Some(digits) if !base.as_str().starts_with(digits) => Finding::fail(
            "T17",
            format!("the recipe starts from the base {digits}; this one is {}", base.as_str()),
            "Set student.base to the model that the recipe names, or its train.base_digest to this one if it is meant.",
        ),
        Some(_) => Finding::pass("T17", format!("the base is the one the recipe names, {}", base.as_str())),
        None => {
            let saw = format!("the adapter will name its base by digest {}; it is refused on another", base.as_str());
            Finding::pass("T17", saw)
        }
    }
}

/// Guard T18: the effective settings are written beside the run, for every report to read.
pub fn t18(run_dir: &Path, settings: &Value) -> Result<Finding, WorkspaceError> {
    let text = format!("{settings:#}\n");
    atomic_write(&run_dir.join(SETTINGS_FILE), text.as_bytes())?;
    let digest = Digest::of(&text);
    Ok(Finding::pass(
        "T18",
        format!("the effective settings are in {SETTINGS_FILE} of the run's folder, digest {}", digest.short()),
    ))
}

/// The settings of the run in this folder; none of a run older than that file.
pub fn parent_settings(run_dir: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(run_dir.join(SETTINGS_FILE)).ok()?).ok()
}

/// Guard T4: what changed since the parent run, variable by variable.
pub fn t4(parent: Option<&Value>, now: &Value) -> Finding {
    let Some(parent) = parent else { return Finding::pass("T4", "there is no parent run to compare with") };
    let changed = differences(parent, now);
    let shown: Vec<&str> = changed.iter().take(24).map(String::as_str).collect();
    match changed.len() {
        0 => Finding::pass("T4", "nothing changed since the parent run"),
        n if n <= FEW => Finding::pass("T4", format!("changed since the parent run: {}", shown.join("; "))),
        n => Finding::fail(
            "T4",
            format!("{n} variables changed at once since the parent run: {}", shown.join("; ")),
            "If it turns out better or worse nobody will know why: change one at a time, on a pilot of 1,000 rows.",
        ),
    }
}

/// Names of the values that differ, with both. What follows from another variable is not one of its own.
pub fn differences(a: &Value, b: &Value) -> Vec<String> {
    const FOLLOWS: [&str; 5] = ["rows.train", "rows.eval", "rows.steps", "threads", "tokenizer"];
    let mut found = Vec::new();
    walk("", a, b, &mut found);
    found.retain(|line| !FOLLOWS.iter().any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))));
    found
}

fn walk(name: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    if let (Value::Object(x), Value::Object(y)) = (a, b) {
        let keys: BTreeSet<&String> = x.keys().chain(y.keys()).collect();
        for key in keys {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            walk(&name, x.get(key).unwrap_or(&Value::Null), y.get(key).unwrap_or(&Value::Null), found);
        }
    } else if a != b {
        let shown = |v: &Value| one_line(&v.to_string(), 40);
        found.push(format!("{} {} → {}", one_line(name, 80), shown(a), shown(b)));
    }
}

/// Guard T19: a recipe that asks for a fresh base is not given an earlier fine-tune.
pub fn t19(base: &Path, continues: bool) -> Finding {
    let signs = [peft::CONFIG_FILE, peft::BASE_FILE, "trainer_state.json", "training_args.bin", "optimizer.pt", "manifest.json"];
    let file = signs.into_iter().find(|name| base.join(name).exists());
    let name = base.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let of_a_run = || base.parent().is_some_and(|run| run.join(SETTINGS_FILE).exists() && run.join("steps.jsonl").exists());
    let sign = match file {
        Some(name) => Some(format!("it holds {name}")),
        None if name.starts_with("checkpoint-") => Some("its name is that of a trainer's checkpoint".to_owned()),
        None => of_a_run().then(|| "it lies in the folder of a run of this program".to_owned()),
    };
    let shown = one_line(&name, 80);
    match sign {
        None => Finding::pass("T19", format!("nothing in '{shown}' says that it is an earlier fine-tune")),
        Some(sign) if continues => {
            Finding::pass("T19", format!("'{shown}' is an earlier fine-tune ({sign}), as the recipe allows"))
        }
        Some(sign) => Finding::fail(
            "T19",
            format!("'{shown}' is an earlier fine-tune: {sign}; the recipe asks for a fresh base"),
            "Set student.base to the original model, or train.continues = true in the recipe if going on is meant.",
        ),
    }
}
