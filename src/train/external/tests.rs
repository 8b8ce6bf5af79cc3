//! The runner against fake trainers: shell scripts that say and do what a test names. None of them waits for a clock: one
//! that must stay alive reads from a pipe that nobody writes.

use std::fs;
use std::path::Path;

use super::*;
use crate::domain::recipe::{Method, RunRules};
use crate::domain::{ChatMessage, Digest, Recipe, Role};
use crate::train::TrainExample;
use crate::workspace::ExternalChoice;

struct World {
    dir: tempfile::TempDir,
    folder: RunFolder,
    job: ExternalJob,
}

/// Keeps what it is told; stops or asks for a checkpoint when it has seen enough.
#[derive(Default)]
struct Control {
    events: Vec<TrainEvent>,
    stop_at_step: Option<u64>,
    ask_checkpoint: bool,
}

impl TrainControl for Control {
    fn gate(&mut self) -> Gate {
        let last = self.events.iter().rev().find_map(|e| if let TrainEvent::Step(s) = e { Some(s.step) } else { None });
        if std::mem::take(&mut self.ask_checkpoint) {
            Gate::Checkpoint
        } else if self.stop_at_step.is_some() && last >= self.stop_at_step {
            Gate::Stop
        } else {
            Gate::Continue
        }
    }

    fn on_event(&mut self, event: &TrainEvent) {
        self.events.push(event.clone());
    }
}

fn example(id: &str) -> TrainExample {
    let messages = vec![ChatMessage::new(Role::User, "news"), ChatMessage::new(Role::Assistant, "SCORE: 1.0")];
    TrainExample { id: id.into(), messages, weight: 1.5 }
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("temp dir");
    let base = dir.path().join("base");
    fs::create_dir(&base).expect("base");
    let folder = RunFolder::new(&dir.path().join("run")).expect("run folder");
    let recipe = Recipe::from_toml(include_str!("../../../data/recipes/stratos-v19.toml")).expect("sound");
    let mut rules = recipe.train;
    rules.run = RunRules { effective_batch: 2, epochs: 2, ..rules.run };
    (rules.method, rules.rank, rules.alpha, rules.targets) = (Method::Dora, 1, 2.0, vec!["q_proj".into()]);
    let parts = JobParts {
        base: &base,
        base_digest: Some(Digest::of("base")),
        rules: &rules,
        train: &[example("a"), example("b"), example("c")],
        eval: &[example("d")],
        encode: None,
        orders: &[vec![0, 1, 2], vec![2, 1, 0, 0]],
        max_length: 64,
        seed: 7,
        environment: &ExternalChoice::default().environment,
    };
    let job = ExternalJob::write(&folder, &parts).expect("writes");
    World { dir, folder, job }
}

/// A script's words to lay a sound adapter where it belongs, from files that the test wrote.
const TAKE_ADAPTER: &str = "mkdir -p output/adapter; cp ../adapter/* output/adapter/\n";

impl World {
    /// Lays an adapter beside the run, for the fake trainer to hand over.
    fn adapter(&self, change: impl FnOnce(&mut serde_json::Value, &mut [f32; 4])) {
        let mut config = serde_json::json!({"peft_type": "LORA", "r": 1, "lora_alpha": 2, "use_dora": true,
            "target_modules": ["q_proj"], "base_model_name_or_path": self.job.base});
        let mut numbers = [1.0, 0.5, 0.25, 1.0];
        change(&mut config, &mut numbers);
        let bytes: Vec<u8> = numbers.iter().flat_map(|n: &f32| n.to_le_bytes()).collect();
        let name = |part: &str| format!("base_model.model.model.layers.0.self_attn.q_proj.{part}");
        let view = |from: usize, to: usize, shape: &[usize]| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes[from * 4..to * 4])
                .expect("a view")
        };
        let tensors = [
            (name("lora_A.weight"), view(0, 2, &[1, 2])),
            (name("lora_B.weight"), view(2, 3, &[1, 1])),
            (name("lora_magnitude_vector"), view(3, 4, &[1])),
        ];
        let dir = self.dir.path().join("adapter");
        fs::create_dir_all(&dir).expect("a folder");
        fs::write(dir.join("adapter_config.json"), config.to_string()).expect("writes");
        let weights = safetensors::serialize(tensors, None).expect("serialises");
        fs::write(dir.join("adapter_model.safetensors"), weights).expect("writes");
    }

    fn run(&self, script: &str, control: &mut Control) -> Result<ExternalOutcome, ExternalError> {
        self.run_with(script, control, Duration::from_secs(30), &mut |_| {})
    }

    fn run_with(
        &self,
        script: &str,
        control: &mut Control,
        grace: Duration,
        sign: &mut dyn FnMut(Sign),
    ) -> Result<ExternalOutcome, ExternalError> {
        let path = self.dir.path().join("fake.sh");
        fs::write(&path, script).expect("writes");
        let command = ["sh", &path.display().to_string(), "{job}"].map(str::to_owned).to_vec();
        let choice = ExternalChoice { command, ..ExternalChoice::default() };
        let watch = Watch { tick: Duration::from_millis(2), grace };
        train(&self.folder, &self.job, &choice, watch, control, sign)
    }
}

fn step(n: u64) -> String {
    format!("echo '{{\"event\":\"step\",\"step\":{n},\"loss\":2.5,\"learning_rate\":1e-4,\"grad_norm\":0.7,\"epoch\":1}}'\n")
}

/// Keeps a script alive until it is signalled, without a clock: nobody ever writes into this pipe.
const WAIT: &str = "mkfifo wait 2>/dev/null; read x <> wait\n";

fn count(events: &[TrainEvent], is: fn(&TrainEvent) -> bool) -> usize {
    events.iter().filter(|e| is(e)).count()
}

#[test]
fn the_job_file_says_everything_a_trainer_needs() {
    let world = world();
    let job: serde_json::Value = serde_json::from_slice(&fs::read(world.folder.job_file()).expect("reads")).expect("json");
    assert_eq!((&job["version"], &job["order"][1]), (&1.into(), &serde_json::json!(["c", "b", "a", "a"])));
    assert_eq!((&job["adapter"]["method"], &job["adapter"]["rank"], &job["max_length"]), (&"dora".into(), &1.into(), &64.into()));
    assert!(job["run"]["learning_rate"].is_f64() && job["output"].as_str().is_some_and(|p| Path::new(p).is_absolute()));
    let rows = fs::read_to_string(&world.job.data.train).expect("reads");
    let row: serde_json::Value = serde_json::from_str(rows.lines().next().expect("a row")).expect("json");
    assert_eq!((&row["prompt"][0]["role"], &row["completion"][0]["content"]), (&"user".into(), &"SCORE: 1.0".into()));
    assert_eq!((row["weight"].as_f64(), world.job.total_steps()), (Some(1.5), 4));
}

#[test]
fn checkpoints_of_another_job_are_not_gone_on_from() {
    let world = world();
    fs::create_dir(world.folder.output().join("checkpoint-2")).expect("a checkpoint");
    let write = |id: &str, value: &str| {
        let recipe = Recipe::from_toml(include_str!("../../../data/recipes/stratos-v19.toml")).expect("sound");
        let mut rules = recipe.train;
        rules.run = RunRules { effective_batch: 2, epochs: 2, ..rules.run };
        (rules.method, rules.rank, rules.alpha, rules.targets) = (Method::Dora, 1, 2.0, vec!["q_proj".into()]);
        let parts = JobParts {
            base: &world.job.base,
            base_digest: Some(Digest::of("base")),
            rules: &rules,
            train: &[example("a"), example("b"), example("c")],
            eval: &[example(id)],
            encode: None,
            orders: &[vec![0, 1, 2], vec![2, 1, 0, 0]],
            max_length: 64,
            seed: 7,
            environment: &[("NAME".to_owned(), value.to_owned())].into(),
        };
        ExternalJob::write(&world.folder, &parts)
    };
    assert!(write("d", "1").is_ok(), "the environment may change");
    assert!(matches!(write("e", "1"), Err(ExternalError::OtherJob { .. })));
}

#[test]
fn a_trainer_that_writes_events_is_followed_to_its_adapter() {
    let world = world();
    world.adapter(|_, _| {});
    let script = format!(
        "echo 'Loading \\033[31mmodel'; echo '{{\"event\":\"start\",\"total_steps\":2,\"parameters\":4}}'\n{}\
         echo '{{\"event\":\"eval\",\"step\":1,\"loss\":2.0}}'; echo '{{\"event\":\"checkpoint\",\"step\":1,\"path\":\"/x/checkpoint-1\"}}'\n\
         {}{TAKE_ADAPTER}echo '{{\"event\":\"done\"}}'",
        step(1),
        step(2)
    );
    let (mut control, mut lines) = (Control::default(), Vec::new());
    let mut sign = |sign| {
        if let Sign::Line(line) = sign {
            lines.push(line);
        }
    };
    let outcome = world.run_with(&script, &mut control, Duration::from_secs(30), &mut sign).expect("finishes");
    let ExternalOutcome::Finished { steps: 2, best: Some((1, 2.0)), early: false, adapter } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((adapter.parameters, adapter.folder), (4, world.folder.adapter()));
    assert!(matches!(control.events[0], TrainEvent::Started { total_steps: 2, train_examples: 3, eval_examples: 1, .. }));
    assert_eq!(count(&control.events, |e| matches!(e, TrainEvent::Step(_))), 2);
    assert!(matches!(control.events.last(), Some(TrainEvent::Finished(f)) if f.best_step == 1));
    assert!(lines.len() == 1 && !lines[0].contains('\u{1b}'), "{lines:?}");
    assert!(!world.folder.pid_file().exists());
}

#[test]
fn a_silent_trainer_is_followed_by_its_checkpoints() {
    let world = world();
    world.adapter(|_, _| {});
    let script = format!(
        "mkdir -p output/checkpoint-2; cat > output/checkpoint-2/trainer_state.json <<'E'\n\
         {{\"global_step\":2,\"log_history\":[{{\"step\":1,\"epoch\":0.5,\"loss\":3.0,\"grad_norm\":1.0,\"learning_rate\":1e-4}},\
         {{\"step\":2,\"epoch\":1.5,\"loss\":2.0}},{{\"step\":2,\"eval_loss\":1.5}}]}}\nE\n{TAKE_ADAPTER}"
    );
    let mut control = Control::default();
    world.run(&script, &mut control).expect("finishes");
    assert!(matches!(control.events[0], TrainEvent::Started { total_steps: 4, resumed_from: None, .. }));
    assert_eq!(count(&control.events, |e| matches!(e, TrainEvent::Step(_))), 2);
    assert_eq!(count(&control.events, |e| matches!(e, TrainEvent::Eval(r) if r.best && (r.loss - 1.5).abs() < 1e-12)), 1);
    assert_eq!(count(&control.events, |e| matches!(e, TrainEvent::Checkpoint { step: 2, .. })), 1);
}

#[test]
fn a_loss_that_is_no_number_kills_the_trainer_and_names_the_last_good_checkpoint() {
    let world = world();
    let script = format!(
        "trap '' TERM; mkdir -p output/checkpoint-1 output/checkpoint-2\n\
         echo '{{\"event\":\"checkpoint\",\"step\":1,\"path\":\"/x/checkpoint-1\"}}'\n\
         echo '{{\"event\":\"step\",\"step\":2,\"loss\":NaN,\"grad_norm\":1.0}}'\n{WAIT}"
    );
    let error = world.run(&script, &mut Control::default()).expect_err("NaN");
    let text = error.to_string();
    assert!(matches!(error, ExternalError::NotFinite { what: "loss", step: 2, .. }), "{text}");
    assert!(text.contains("T5") && text.contains("/checkpoint-1") && text.contains("learning_rate"), "{text}");
    assert!(world.folder.output().join("spoilt-checkpoint-2").exists() && world.folder.output().join("checkpoint-1").exists());
    assert!(orphan(&world.folder).is_none());
}

#[test]
fn a_stop_is_asked_for_first() {
    let world = world();
    let script = format!("trap 'echo \"{{\\\"event\\\":\\\"stopped\\\",\\\"step\\\":1}}\"; exit 0' TERM\n{}{WAIT}", step(1));
    let mut control = Control { stop_at_step: Some(1), ..Control::default() };
    let outcome = world.run(&script, &mut control).expect("stops");
    assert_eq!(outcome, ExternalOutcome::Stopped { step: 1 });
    assert_eq!(count(&control.events, |e| matches!(e, TrainEvent::Stopped { step: 1 })), 1);
}

#[test]
fn who_does_not_stop_when_asked_is_killed_with_its_helpers() {
    let world = world();
    let script = format!("trap '' TERM\n(trap '' TERM; mkfifo helper; read x <> helper) &\n{}{WAIT}", step(1));
    let mut control = Control { stop_at_step: Some(1), ..Control::default() };
    let outcome = world.run_with(&script, &mut control, Duration::from_millis(5), &mut |_| {}).expect("stops");
    assert_eq!(outcome, ExternalOutcome::Stopped { step: 1 });
    assert!(fs::read_to_string(world.folder.log()).expect("a log").contains("did not stop when asked"));
}

#[test]
fn a_checkpoint_is_asked_for_by_a_file() {
    let world = world();
    world.adapter(|_, _| {});
    // Goes on only once the request is there.
    let script = format!("while [ ! -e checkpoint.request ]; do :; done; rm checkpoint.request\n{}{TAKE_ADAPTER}", step(1));
    let mut control = Control { ask_checkpoint: true, ..Control::default() };
    assert!(world.run(&script, &mut control).is_ok());
}

#[test]
fn a_trainer_that_fails_is_quoted_with_what_to_do() {
    let table = [
        ("echo \"ModuleNotFoundError: No module named 'peft'\" >&2; exit 1", "Install the missing Python package"),
        ("echo 'HIP out of memory' >&2; exit 1", "model server"),
        ("echo odd >&2; exit 3", "Mend what it names"),
        ("echo died >&2; kill -9 $$", "signal"),
    ];
    for (script, wanted) in table {
        let world = world();
        let error = world.run(script, &mut Control::default()).expect_err(script).to_string();
        assert!(error.contains(wanted) && error.contains("trainer.log"), "{script}: {error}");
    }
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let world = world();
    let choice = ExternalChoice { command: vec!["no-such-trainer".into(), "{job}".into()], ..ExternalChoice::default() };
    let mut control = Control::default();
    let outcome = train(&world.folder, &world.job, &choice, Watch::default(), &mut control, &mut |_| {});
    let error = outcome.expect_err("nobody").to_string();
    assert!(error.contains("no-such-trainer") && error.contains("train.external.command"), "{error}");
}

#[test]
fn endless_lines_and_binary_rubbish_do_no_harm() {
    let world = world();
    world.adapter(|_, _| {});
    let script =
        format!("head -c 300000 /dev/zero | tr '\\0' 'x'; echo; head -c 1000 /dev/urandom; echo\n{}{TAKE_ADAPTER}", step(1));
    let (mut control, mut longest) = (Control::default(), 0);
    let mut sign = |sign| {
        if let Sign::Line(line) = sign {
            longest = longest.max(line.len());
        }
    };
    assert!(world.run_with(&script, &mut control, Duration::from_secs(30), &mut sign).is_ok());
    assert!(longest <= 64 << 10, "{longest}");
    assert_eq!(count(&control.events, |e| matches!(e, TrainEvent::Step(_))), 1);
}

#[test]
fn a_setting_that_ruins_runs_is_found_wherever_it_is() {
    let finding = environment_finding(|name| (name == "TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL").then(|| "1".into()));
    assert!(finding.failed() && finding.guard == "T5" && finding.remedy.starts_with("Unset TORCH_ROCM"), "{finding:?}");
    assert!(!environment_finding(|_| None).failed());
    let world = world();
    let mut choice = ExternalChoice::default();
    choice.environment.insert("TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL".into(), "1".into());
    let outcome = train(&world.folder, &world.job, &choice, Watch::default(), &mut Control::default(), &mut |_| {});
    assert!(matches!(outcome, Err(ExternalError::Ruinous { .. })));
}

#[test]
fn a_trainer_left_behind_is_found_refused_and_stopped() {
    use std::os::unix::process::CommandExt as _;
    let world = world();
    let script = format!("cd {}; {WAIT}", world.dir.path().display());
    let mut child = std::process::Command::new("sh").args(["-c", &script]).process_group(0).spawn().expect("starts");
    process::write_note(&world.folder, child.id(), "sh").expect("writes");
    let error = world.run("exit 0", &mut Control::default()).expect_err("one is there");
    assert!(matches!(error, ExternalError::Orphan { pid, .. } if pid == child.id()), "{error}");
    assert!(stop_orphan(&world.folder, Duration::from_secs(30)));
    child.wait().expect("ended");
    assert!(orphan(&world.folder).is_none() && !world.folder.pid_file().exists());
}

#[test]
fn a_note_about_the_dead_is_removed() {
    let world = world();
    let mut child = std::process::Command::new("true").spawn().expect("starts");
    child.wait().expect("ends");
    let note = PidNote { pid: child.id(), started: 1, program: "true".into() };
    fs::write(world.folder.pid_file(), serde_json::to_vec(&note).expect("json")).expect("writes");
    assert_eq!(orphan(&world.folder), None);
    assert!(!world.folder.pid_file().exists());
}

#[test]
fn an_adapter_that_is_not_what_was_asked_for_stays_outside() {
    type Change = fn(&mut serde_json::Value, &mut [f32; 4]);
    let table: [(Change, &str); 9] = [
        (|c, _| c["peft_type"] = "IA3".into(), "IA3"),
        (|c, _| c["r"] = 8.into(), "its rank is 8"),
        (|c, _| c["lora_alpha"] = 1.into(), "its alpha is 1"),
        (|c, _| c["use_dora"] = false.into(), "use_dora is false"),
        (|c, _| c["target_modules"] = serde_json::json!(["q_proj", "v_proj"]), "v_proj"),
        (|c, _| c["base_model_name_or_path"] = "/another/base".into(), "T17"),
        (|_, n| n[0] = f32::NAN, "not finite"),
        (|_, n| n[2] = f32::INFINITY, "not finite"),
        (|_, n| n[2] = 0.0, "nothing was trained"),
    ];
    for (change, wanted) in table {
        let world = world();
        world.adapter(change);
        let error = world.run(TAKE_ADAPTER, &mut Control::default()).expect_err(wanted).to_string();
        assert!(error.contains(wanted) && error.contains("train again"), "{error}");
    }
    let error = world().run("exit 0", &mut Control::default()).expect_err("none").to_string();
    assert!(error.contains("adapter_config.json"), "{error}");
}

#[test]
fn a_truncated_adapter_is_refused() {
    let world = world();
    world.adapter(|_, _| {});
    let path = world.dir.path().join("adapter/adapter_model.safetensors");
    let bytes = fs::read(&path).expect("reads");
    for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).expect("writes");
        let error = world.run(TAKE_ADAPTER, &mut Control::default()).expect_err("truncated").to_string();
        assert!(error.contains("cannot be read"), "{length}: {error}");
    }
}

/// The shipped trainer for real, where `STRATOS_PEERS_PYTHON` names a Python with torch, transformers and peft.
#[test]
fn the_trainer_that_comes_with_the_binary_gives_back_an_adapter() {
    let Some(python) = std::env::var("STRATOS_PEERS_PYTHON").ok().filter(|p| Path::new(p).exists()) else {
        eprintln!("skipped: STRATOS_PEERS_PYTHON names no Python");
        return;
    };
    let dir = tempfile::tempdir().expect("temp dir");
    let folder = RunFolder::new(&dir.path().join("run")).expect("run folder");
    let recipe = Recipe::from_toml(include_str!("../../../data/recipes/stratos-v19.toml")).expect("sound");
    let mut rules = recipe.train;
    let run = RunRules { micro_batch: 1, effective_batch: 2, epochs: 2, eval_every: 1, checkpoint_every: 1, ..rules.run };
    (rules.run, rules.rank, rules.targets) = (run, 2, vec!["q_proj".into(), "down_proj".into()]);
    let encode = |_: &[ChatMessage]| Ok(crate::student::Encoded { ids: (1..20).collect(), loss_from: 12 });
    let environment = [("OMP_NUM_THREADS".to_owned(), "1".to_owned())].into();
    let parts = JobParts {
        base: &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/student/llama/base"),
        base_digest: None,
        rules: &rules,
        train: &[example("a"), example("b"), example("c")],
        eval: &[example("d")],
        encode: Some(&encode),
        orders: &[vec![0, 1, 2], vec![2, 1, 0, 0]],
        max_length: 64,
        seed: 7,
        environment: &environment,
    };
    let job = ExternalJob::write(&folder, &parts).expect("writes");
    let command = vec![python, "{script}".into(), "{job}".into()];
    let choice = ExternalChoice { command, environment };
    let mut control = Control { stop_at_step: Some(2), ..Control::default() };
    let watch = Watch { tick: Duration::from_millis(20), ..Watch::default() };
    let first = train(&folder, &job, &choice, watch, &mut control, &mut |_| {}).expect("stops");
    let ExternalOutcome::Stopped { step: at } = first else { panic!("{first:?}") };
    let mut control = Control::default();
    let second = train(&folder, &job, &choice, watch, &mut control, &mut |_| {}).expect("finishes");
    let TrainEvent::Started { resumed_from, total_steps: 4, .. } = control.events[0] else { panic!("{:?}", control.events) };
    assert_eq!(resumed_from, Some(at));
    assert!(matches!(second, ExternalOutcome::Finished { steps: 4, best: Some(_), .. }), "{second:?}");
}
