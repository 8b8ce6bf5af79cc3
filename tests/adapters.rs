//! Adapters on a base, by the real binary: killed at any step, the run ends with the bits of an undisturbed one; and a base
//! goes through every phase of a workspace.

#[path = "common/base.rs"]
mod base;
mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{BINARY, Workspace, json_lines, text};
use serde_json::{Value, json};

const SETTINGS: &str = r#"
base = "BASE"
precision = "f32"
seed = 3
max_tokens = 512
[adapter]
dora = true
rank = 4
alpha = 8.0
targets = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
[run]
learning_rate = 1e-2
schedule = "cosine"
warmup_share = 0.1
micro_batch = 3
effective_batch = 6
epochs = 3
weight_decay = 0.01
clip_norm = 1.0
order = "shuffle"
eval_every = 7
checkpoint_every = 3
patience = 0
"#;

/// A folder with a base, rows and settings.
struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let rows: Vec<Value> = (0..48).map(row).collect();
        let texts: Vec<String> = rows.iter().map(|r| r["messages"].to_string()).collect();
        base::write(&dir.path().join("base"), texts.iter().map(String::as_str));
        let file = |rows: &[Value]| rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        fs::write(dir.path().join("train.jsonl"), file(&rows[..40])).expect("writes");
        fs::write(dir.path().join("eval.jsonl"), file(&rows[40..])).expect("writes");
        let settings = SETTINGS.replace("BASE", &dir.path().join("base").display().to_string());
        fs::write(dir.path().join("settings.toml"), settings).expect("writes");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tune(&self, out: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("tune").arg(self.path("settings.toml"));
        for (flag, name) in [("--rows", "train.jsonl"), ("--eval", "eval.jsonl"), ("--out", out)] {
            command.arg(flag).arg(self.path(name));
        }
        command
    }

    fn adapter(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("best/adapter_model.safetensors")).expect("an adapter")
    }
}

fn row(i: usize) -> Value {
    let reader = ["a nurse in Texas", "a student in Kuwait", "a gamer in Seoul"][i % 3];
    let topic = ["hospital staffing", "an oil company hires", "a new console", "mining prices"][i % 4];
    json!({"id": format!("row-{i}"), "weight": 1.0 + i as f64 / 20.0, "messages": [
        {"role": "system", "content": format!("You score news for one reader. The reader is {reader}.")},
        {"role": "user", "content": format!("News {i}: {topic}")},
        {"role": "assistant", "content": format!("SCORE: {}.5 | REASON: {topic}.", i % 9)}]})
}

/// Kills the run at its `at`-th step from now on; false: it ended before.
fn kill_at(mut command: Command, at: usize) -> bool {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut steps = 0;
    for line in lines.map_while(Result::ok) {
        steps += usize::from(line.contains("\"event\":\"step\""));
        if steps == at {
            child.kill().expect("kills");
            child.wait().expect("ends");
            return true;
        }
    }
    child.wait().expect("ends");
    false
}

#[test]
fn killed_at_twenty_random_steps_a_run_ends_with_the_same_bits() {
    let lab = Lab::new();
    let calm = lab.tune("calm").output().expect("runs");
    assert!(calm.status.success(), "{}", text(&calm));
    let (mut kills, mut state) = (0, 12345u32);
    while kills < 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Checkpoints are three steps apart, so most of these lose steps.
        if !kill_at(lab.tune(&format!("rough-{}", kills / 5)), 1 + (state >> 20) as usize % 5) {
            break;
        }
        kills += 1;
    }
    assert_eq!(kills, 20);
    for n in 0..4 {
        let out = format!("rough-{n}");
        let end = lab.tune(&out).output().expect("runs");
        assert!(end.status.success(), "{}", text(&end));
        assert!(lab.adapter(&out) == lab.adapter("calm"), "run {n} came out otherwise");
    }
}

#[test]
fn the_cores_change_nothing() {
    let lab = Lab::new();
    for threads in ["1", "3"] {
        let out = lab.tune(threads).args(["--threads", threads]).output().expect("runs");
        assert!(out.status.success(), "{}", text(&out));
    }
    assert!(lab.adapter("1") == lab.adapter("3"));
}

#[test]
fn an_adapter_answers_and_refuses_another_base() {
    let lab = Lab::new();
    let trained = lab.tune("run").output().expect("runs");
    assert!(trained.status.success(), "{}", text(&trained));
    let answer = |lab: &Lab| {
        let mut command = Command::new(BINARY);
        command.arg("answer").arg(lab.path("run/best")).arg("--rows").arg(lab.path("eval.jsonl"));
        command.arg("--out").arg(lab.path("answers.jsonl")).args(["--max-new-tokens", "12"]).output().expect("runs")
    };
    let answered = answer(&lab);
    assert!(answered.status.success(), "{}", text(&answered));
    let rows = fs::read_to_string(lab.path("answers.jsonl")).expect("answers");
    assert_eq!(rows.lines().count(), 8);
    assert!(rows.lines().all(|l| l.contains("\"output\"") && l.contains("row-4")), "{rows}");
    // Other weights under the same name.
    base::write(&lab.path("base"), ["another text altogether", "of other words and other numbers 12345"]);
    let refused = answer(&lab);
    assert!(!refused.status.success() && text(&refused).contains("T17"), "{}", text(&refused));
}

fn configure(workspace: &Workspace, base: &Path) {
    let recipe = workspace.path().join("data/recipes/stratos-v19.toml");
    let text = fs::read_to_string(&recipe).expect("recipe");
    let (head, tail) = text.split_once("[train]").expect("a train table");
    let (train, tail) = tail.split_once("\n[seedling]").expect("a seedling table");
    let small = [("rank", "2"), ("epochs", "1"), ("effective_batch", "8"), ("eval_every", "5"), ("checkpoint_every", "4")];
    let line = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        small.iter().find(|(name, _)| *name == key).map_or_else(|| line.to_owned(), |(name, value)| format!("{name} = {value}"))
    };
    let train: Vec<String> = train.lines().map(line).collect();
    fs::write(&recipe, format!("{head}[train]{}\n[seedling]{tail}", train.join("\n"))).expect("writes");
    let file = workspace.path().join("stratos.toml");
    let mut config: toml::Table = fs::read_to_string(&file).expect("config").parse().expect("toml");
    let student = config.entry("student").or_insert(toml::Value::Table(toml::Table::new()));
    student.as_table_mut().expect("a table").insert("base".into(), base.display().to_string().into());
    fs::write(&file, config.to_string()).expect("writes");
}

#[test]
fn a_base_goes_through_every_phase() {
    let workspace = Workspace::small();
    let folder = workspace.path().join("my-base");
    let articles = fs::read_to_string(workspace.path().join("data/polarizing_articles_v19.json")).expect("articles");
    base::write(&folder, articles.lines().chain(["SCORE: 1.5 | REASON: PROFILE RECOGNISE SIGNALS MATCH VERDICT"]));
    configure(&workspace, Path::new("my-base"));
    let run = workspace.stratos(&["run", "--yes", "--to", "audit", "--json"]);
    assert!(run.status.success(), "{}", text(&run));
    let events = json_lines(&run);
    let steps = events.iter().filter(|e| e["event"] == "step").count();
    assert!(steps > 3, "{steps} steps");
    let runs = fs::read_dir(workspace.path().join(".stratos/runs")).expect("runs").next().expect("one").expect("one");
    let best = runs.path().join("best");
    assert!(best.join("adapter_model.safetensors").exists() && best.join("stratos_base.json").exists());
    // Random weights answer nothing that can be read: the smoke test keeps them from being served.
    let deploy = workspace.stratos(&["deploy", "--json"]);
    assert!(!deploy.status.success() && text(&deploy).contains("smoke answers"), "{}", text(&deploy));
    let score = workspace.stratos(&["score", "--profile", common::READERS[0], "--title", "A title"]);
    // It answers; that nothing can be read in it is said, and is the exit code.
    assert!(score.status.success() || text(&score).contains("no score could be read"), "{}", text(&score));
}

#[test]
fn a_base_that_is_not_there_is_named_with_what_to_do() {
    let workspace = Workspace::small();
    configure(&workspace, Path::new("HuggingFaceTB/SmolLM2-135M-Instruct"));
    let run = workspace.stratos(&["run", "--yes", "--json"]);
    assert!(!run.status.success());
    assert!(text(&run).contains("stratos models pull HuggingFaceTB/SmolLM2-135M-Instruct"), "{}", text(&run));
}
