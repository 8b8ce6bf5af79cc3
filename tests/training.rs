//! Adapters on a base, in a workspace: proved and rehearsed before the first step, trained here or by a program elsewhere.
//! The base is a toy student that the workspace trained itself before.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Workspace, json_lines, text};
use serde_json::Value;

/// A workspace whose base is its own first student.
fn with_base() -> Workspace {
    let workspace = Workspace::small();
    let first = workspace.stratos(&["run", "--yes", "--to", "train", "--json"]);
    assert!(first.status.success(), "{}", text(&first));
    let best = runs(&workspace).pop().expect("a run").join("best");
    let base = workspace.path().join("base");
    fs::create_dir(&base).expect("creates");
    for file in fs::read_dir(best).expect("a student").flatten() {
        fs::copy(file.path(), base.join(file.file_name())).expect("copies");
    }
    let recipe = workspace.path().join("data/recipes/stratos-v19.toml");
    let text = fs::read_to_string(&recipe).expect("reads");
    let (head, tail) = text.split_once("[train]").expect("a table");
    let (rules, tail) = tail.split_once("[seedling]").expect("a table");
    let rules = rules
        .replace("rank = 16", "rank = 2")
        .replace("effective_batch = 32", "effective_batch = 16")
        .replace("epochs = 2", "epochs = 1")
        .replace("learning_rate = 1e-4", "learning_rate = 2e-3");
    fs::write(&recipe, format!("{head}[train]{rules}[seedling]{tail}")).expect("writes");
    set(&workspace, "base = \"seedling\"", "base = \"base\"");
    workspace
}

fn set(workspace: &Workspace, from: &str, to: &str) {
    let path = workspace.path().join("stratos.toml");
    let text = fs::read_to_string(&path).expect("reads");
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).expect("writes");
}

fn runs(workspace: &Workspace) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(workspace.path().join(".stratos/runs")).expect("runs").flatten().map(|e| e.path()).collect();
    all.sort_by_key(|path| fs::metadata(path).and_then(|m| m.modified()).expect("a time"));
    all
}

/// What a guard saw, and whether it failed.
fn finding(events: &[Value], guard: &str) -> (String, bool) {
    let found = events.iter().rev().find(|e| e["event"] == "finding" && e["finding"]["guard"] == guard);
    let found = &found.unwrap_or_else(|| panic!("{guard} said nothing: {events:?}"))["finding"];
    (found["saw"].as_str().expect("words").to_owned(), found["outcome"] == "fail")
}

#[test]
fn a_base_is_proved_rehearsed_and_trained_here_and_elsewhere() {
    let workspace = with_base();
    let here = workspace.stratos(&["run", "--yes", "--to", "train", "--json"]);
    assert!(here.status.success(), "{}", text(&here));
    let events = json_lines(&here);
    for guard in ["T1", "T2", "T3", "T4", "T6", "T7", "T8", "T9", "T10", "T11", "T12", "T13", "T15", "T16", "T17", "T18", "T19"] {
        let (saw, failed) = finding(&events, guard);
        assert!(!failed || guard == "T4", "{guard}: {saw}");
    }
    assert!(finding(&events, "T4").0.contains("student.method \"full\" → \"dora\""), "{:?}", finding(&events, "T4"));
    let run = runs(&workspace).pop().expect("a run");
    for file in ["settings.json", "order.jsonl", "dry-run.json", "best/stratos_base.json", "best/adapter_config.json"] {
        assert!(run.join(file).is_file(), "{file}");
    }

    let dry = workspace.stratos(&["train", "--dry-run", "--json"]);
    assert!(dry.status.success() && text(&dry).contains("dry run: "), "{}", text(&dry));

    // A trainer elsewhere that hands back what was trained here.
    let kept = workspace.path().join("kept");
    fs::create_dir(&kept).expect("creates");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(run.join("best").join(name), kept.join(name)).expect("copies");
    }
    let script = workspace.file("fake.sh", format!("mkdir -p output/adapter\ncp {}/* output/adapter/\n", kept.display()));
    let toml = workspace.path().join("stratos.toml");
    let mut config: toml::Table = fs::read_to_string(&toml).expect("reads").parse().expect("TOML");
    let command = ["sh", &script.to_string_lossy(), "{job}"].map(String::from).to_vec();
    let external = toml::Table::from_iter([("command".to_owned(), toml::Value::from(command))]);
    let train = [("backend".to_owned(), "external".into()), ("external".to_owned(), external.into())];
    config.insert("train".into(), toml::Table::from_iter(train).into());
    fs::write(&toml, toml::to_string(&config).expect("writes")).expect("writes");
    let elsewhere = workspace.stratos(&["run", "--yes", "--to", "train", "--json"]);
    assert!(elsewhere.status.success(), "{}", text(&elsewhere));
    let events = json_lines(&elsewhere);
    assert!(!finding(&events, "T5").1 && !finding(&events, "T17").1);
    let taken = runs(&workspace).pop().expect("a run").join("best");
    assert_ne!(taken, run.join("best"));
    let base = |best: PathBuf| {
        let text = fs::read_to_string(best.join("stratos_base.json")).expect("a record");
        serde_json::from_str::<Value>(&text).expect("JSON")["digest"].clone()
    };
    assert_eq!(base(taken), base(run.join("best")));

    // What is known to destroy a run is refused before it starts.
    let fatal = ("TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL", "1");
    let ruined = workspace.command(&["train", "--again", "--json"]).env(fatal.0, fatal.1).output().expect("runs");
    assert!(!ruined.status.success() && text(&ruined).contains("guard T5"), "{}", text(&ruined));

    // An earlier fine-tune is not taken for a fresh base.
    fs::write(workspace.path().join("base/trainer_state.json"), "{}").expect("writes");
    let tuned = workspace.stratos(&["train", "--again", "--json"]);
    assert!(!tuned.status.success() && text(&tuned).contains("guard T19"), "{}", text(&tuned));
}
