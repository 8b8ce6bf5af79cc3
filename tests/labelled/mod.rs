//! A small workspace that is taught from imported labels alone: a student of short reasons, four readers, 28 articles.

#![allow(dead_code, reason = "each test binary uses its own part of this support")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{READERS, Workspace, json_lines, text};

/// Imported labels only; nothing is asked of a teacher.
pub fn workspace() -> Workspace {
    let workspace = Workspace::small();
    choose(&workspace, "sources = [\"imported\"]");
    let recipe = workspace.path().join("data/recipes/stratos-v19.toml");
    let rules = fs::read_to_string(&recipe).expect("reads");
    let rules = rules
        .replace("think = true  ", "think = false ")
        .replace("min_rows_per_profile = 20", "min_rows_per_profile = 3")
        .replace("min_profiles = 4", "min_profiles = 3");
    assert!(rules.contains("think = false"), "the recipe has a switch");
    fs::write(&recipe, rules).expect("writes");
    workspace
}

/// Writes `stratos.toml` with these lines in `[labels]`.
pub fn choose(workspace: &Workspace, labels: &str) {
    workspace.file("stratos.toml", format!("recipe = \"stratos-v19\"\nseed = 19\n[labels]\n{labels}\n"));
}

/// The articles of the workspace's recipe.
pub fn articles(workspace: &Workspace) -> Vec<Value> {
    let file = fs::read_to_string(workspace.path().join("data/polarizing_articles_v19.json")).expect("reads");
    serde_json::from_str(&file).expect("JSON")
}

/// One score row; its reason is its own.
pub fn score_row(article: &str, profile: &str, score: f64, annotator: &str) -> Value {
    let reason = format!("The {annotator} finds what {article} says of interest to {profile} in the measure of {score}.");
    json!({"article_id": article, "profile_id": profile, "score": score, "reason": reason, "annotator": annotator})
}

/// Every reader's judgement of every article, high where it was written for them.
pub fn judgements(workspace: &Workspace, annotator: &str, shift: f64) -> Vec<Value> {
    let mut rows = Vec::new();
    for (i, article) in articles(workspace).iter().enumerate() {
        let id = article["id"].as_str().expect("an id");
        for reader in READERS {
            let meant = article["targets"].as_array().is_some_and(|t| t.iter().any(|r| r == reader));
            let score = if meant { [9.5, 7.5, 6.0][i % 3] } else { [0.5, 1.0, 2.5][i % 3] };
            rows.push(score_row(id, reader, score + shift, annotator));
        }
    }
    rows
}

pub fn lines(rows: &[Value]) -> String {
    rows.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n"
}

pub fn json_of(workspace: &Workspace, arguments: &[&str]) -> Value {
    let output = workspace.stratos(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", text(&output)))
}

/// What `stratos ARGUMENTS` says; it must succeed.
pub fn told(workspace: &Workspace, arguments: &[&str]) -> String {
    let output = workspace.stratos(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// What `stratos ARGUMENTS` says; it must fail.
pub fn refused(workspace: &Workspace, arguments: &[&str]) -> String {
    let output = workspace.stratos(arguments);
    assert!(!output.status.success(), "{arguments:?} should fail: {}", text(&output));
    text(&output)
}

pub fn import(workspace: &Workspace, name: &str, rows: &[Value]) -> String {
    let path = workspace.file(name, lines(rows));
    told(workspace, &["dataset", "import", &path.to_string_lossy()])
}

/// The file's entry in `dataset sources`.
pub fn source(workspace: &Workspace, name: &str) -> Value {
    let all = json_of(workspace, &["dataset", "sources", "--json"]);
    let found = all.as_array().expect("a list").iter().find(|s| s["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name} is no source: {all}"))
}

/// How many rows of a source were left out for a reason.
pub fn left_out(source: &Value, reason: &str) -> u64 {
    let reasons = source["reasons"].as_array().expect("reasons");
    reasons.iter().filter(|r| r[1] == reason).filter_map(|r| r[2].as_u64()).sum()
}

pub fn built(workspace: &Workspace) -> Vec<Value> {
    let output = workspace.stratos(&["dataset", "build", "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    json_lines(&output)
}

/// The examples of the dataset that was built last.
pub fn examples(workspace: &Workspace) -> Vec<Value> {
    let folder = newest(&workspace.path().join(".stratos/datasets"));
    let text = fs::read_to_string(folder.join("dataset.json")).expect("a dataset");
    let stored: Value = serde_json::from_str(&text).expect("JSON");
    stored["examples"].as_array().expect("examples").clone()
}

fn newest(folder: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path()).collect();
    let written = |path: &PathBuf| fs::metadata(path.join("dataset.json")).and_then(|m| m.modified()).expect("a time");
    all.sort_by_key(written);
    all.pop().expect("one")
}

/// Where a file of the real material is, or `None` with a line that says so.
pub fn real(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("STRATOS_TEST_DATA").map(|folder| PathBuf::from(folder).join(name)).filter(|path| path.is_file());
    if path.is_none() {
        eprintln!("skipped: STRATOS_TEST_DATA does not name a folder with {name}");
    }
    path
}
