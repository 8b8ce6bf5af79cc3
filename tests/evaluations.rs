//! Evaluation runs of the real binary: any predictor on any rows, one record, stored, listed, resumed after a kill.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use common::{Workspace, json_lines, text};
use serde_json::{Value, json};

/// A workspace with a trained and validated toy.
fn validated() -> Workspace {
    let workspace = Workspace::small();
    let run = workspace.stratos(&["run", "--yes", "--to", "validate", "--json"]);
    assert!(run.status.success(), "{}", text(&run));
    workspace
}

/// The record that `validate` with these flags stores.
fn evaluate(workspace: &Workspace, flags: &[&str]) -> Value {
    let output = workspace.stratos(&[&["validate"], flags, &["--json"]].concat());
    assert!(output.status.success(), "{flags:?}: {}", text(&output));
    let last = json_lines(&output).into_iter().rev().find(|e| e["event"] == "evaluation").expect("a record");
    show(workspace, last["id"].as_str().expect("a name"))
}

fn refused(workspace: &Workspace, flags: &[&str]) -> String {
    let output = workspace.stratos(&[&["validate"], flags].concat());
    assert!(!output.status.success(), "{flags:?}: {}", text(&output));
    text(&output)
}

fn show(workspace: &Workspace, id: &str) -> Value {
    let output = workspace.stratos(&["validate", "show", id, "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let mut shown = json_lines(&output).pop().expect("a record");
    let id = shown["id"].clone();
    shown["evaluation"]["id"] = id;
    shown["evaluation"].take()
}

fn list(workspace: &Workspace) -> Vec<Value> {
    let output = workspace.stratos(&["validate", "list", "--json"]);
    json_lines(&output).pop().and_then(|v| v.as_array().cloned()).expect("a list")
}

fn finding<'a>(record: &'a Value, guard: &str) -> &'a Value {
    let found = record["findings"].as_array().expect("findings").iter().find(|f| f["guard"] == guard);
    found.unwrap_or_else(|| panic!("{guard} said nothing: {}", record["findings"]))
}

fn mae(record: &Value) -> f64 {
    record["metrics"]["mae"].as_f64().expect("an error")
}

fn best(workspace: &Workspace) -> PathBuf {
    let runs = fs::read_dir(workspace.path().join(".stratos/runs")).expect("runs");
    runs.flatten().map(|e| e.path().join("best")).find(|p| p.is_dir()).expect("a student")
}

#[test]
fn every_predictor_stands_on_the_same_rows_with_one_record_each() {
    let workspace = validated();
    let phase = show(&workspace, list(&workspace)[0]["id"].as_str().expect("a name"));
    let n = phase["metrics"]["n"].as_u64().expect("rows");
    assert_eq!(phase["predictor"], "student");
    assert_eq!(phase["rows"].as_array().map(Vec::len), Some(n as usize));
    assert_eq!((&phase["row_set"]["name"], &phase["row_set"]["chose_model"]), (&json!("held-out"), &json!(true)));
    assert_eq!(finding(&phase, "D3")["outcome"], "pass");
    for guard in ["D2", "D19", "E1", "E2", "E3", "E4", "E5", "E6", "E7", "S12"] {
        finding(&phase, guard);
    }
    let by: Vec<&str> = phase["groups"].as_array().expect("groups").iter().filter_map(|g| g["by"].as_str()).collect();
    assert!(by.contains(&"band") && by.contains(&"profile"), "{by:?}");
    let settings = phase["settings"].as_object().expect("settings");
    assert!(settings.contains_key("sampling.temperature") && settings.contains_key("train.run.learning_rate"), "{settings:?}");

    // Baselines on their own say what they say beside the student.
    for (flag, name) in [("constant", "constant"), ("profile-median", "profile median"), ("lexical", "lexical")] {
        let own = evaluate(&workspace, &["--predictor", flag]);
        let beside = phase["baselines"].as_array().expect("baselines").iter().find(|b| b["name"] == name).expect("there");
        assert_eq!(own["metrics"]["mae"], beside["metrics"]["mae"], "{flag}");
        assert_eq!(own["intervals"], beside["intervals"], "{flag}");
        assert_eq!(own["row_set"]["digest"], phase["row_set"]["digest"]);
    }

    // The teacher gave the truth, so it has no error; a folder is the student, asked again.
    let teacher = evaluate(&workspace, &["--predictor", "teacher:main"]);
    assert!(mae(&teacher) < 1e-12 && teacher["metrics"]["n"] == n, "{}", teacher["metrics"]);
    let folder = evaluate(&workspace, &["--predictor", &format!("folder:{}", best(&workspace).display()), "--limit", "6"]);
    assert_eq!((&folder["metrics"]["n"], &folder["row_set"]["of"]), (&json!(6), &json!(n)));
    assert!(folder["row_set"]["sample"].as_str().expect("words").contains("by band"), "{}", folder["row_set"]);
    assert_eq!(finding(&folder, "E4")["outcome"], "fail");
    let low = evaluate(&workspace, &["--sampling", "low", "--limit", "6"]);
    assert_ne!(low["subject"]["sampling"], phase["subject"]["sampling"]);
    assert_ne!(low["id"], folder["id"]);

    // Rows that training had are memory, and are said to be.
    let memory = evaluate(&workspace, &["--predictor", "lexical", "--rows", "train"]);
    assert_eq!(finding(&memory, "D3")["outcome"], "fail");
    assert!(finding(&memory, "E1")["saw"].as_str().expect("words").contains("fitted on"), "{}", finding(&memory, "E1"));

    let runs = list(&workspace);
    assert_eq!(runs.len(), 8, "{runs:?}");
    assert!(runs.iter().all(|r| r["mae_interval"].is_array() && r["runtime"].is_string()));
    let said = text(&workspace.stratos(&["validate", "list"]));
    assert!(said.contains("profile-median") && said.contains("held-out"), "{said}");
    predictions_of_a_file(&workspace, &phase);
    calibrators_and_names(&workspace, &phase);
}

/// Rows without a prediction are failures, and what computed the others is not known.
fn predictions_of_a_file(workspace: &Workspace, phase: &Value) {
    let rows = phase["rows"].as_array().expect("rows");
    let line = |r: &Value| json!({"article_id": r["article"], "profile_id": r["profile"], "predicted": r["truth"]}).to_string();
    let all: Vec<String> = rows.iter().map(line).collect();
    workspace.file("all.jsonl", all.join("\n"));
    workspace.file("half.jsonl", all[..all.len() / 2].join("\n"));
    let (whole, half) =
        (evaluate(workspace, &["--predictor", "file:all.jsonl"]), evaluate(workspace, &["--predictor", "file:half.jsonl"]));
    assert!(mae(&whole) < 1e-12 && mae(&half) > 1.0, "{} {}", mae(&whole), mae(&half));
    assert_eq!(half["metrics"]["n"], whole["metrics"]["n"]);
    assert_eq!(half["metrics"]["parse_failures"].as_u64(), Some((all.len() - all.len() / 2) as u64));
    assert_eq!((&finding(&half, "E5")["outcome"], &finding(&half, "E6")["outcome"]), (&json!("fail"), &json!("fail")));

    // A second annotator who is half a point off is the floor; one who copied is none.
    let score = |r: &Value, off: f64| {
        let score = (r["truth"].as_f64().expect("a truth") + off).min(10.0);
        json!({"article_id": r["article"], "profile_id": r["profile"], "score": score, "annotator": "second"}).to_string()
    };
    let file = |off: f64| rows.iter().map(|r| score(r, off)).collect::<Vec<_>>().join("\n");
    workspace.file("second.jsonl", file(0.5));
    let floored = evaluate(workspace, &["--predictor", "constant", "--second", "second.jsonl"]);
    assert_eq!((&floored["floor"]["b"], &floored["floor"]["n"]), (&json!("second"), &json!(rows.len())));
    assert!((floored["floor"]["mae"].as_f64().expect("a floor") - 0.5).abs() < 0.05, "{}", floored["floor"]);
    workspace.file("copy.jsonl", file(0.0));
    let copied = evaluate(workspace, &["--predictor", "constant", "--second", "copy.jsonl"]);
    assert_eq!(finding(&copied, "D19")["outcome"], "fail");
}

fn calibrators_and_names(workspace: &Workspace, phase: &Value) {
    let id = phase["id"].as_str().expect("a name");
    assert!(refused(workspace, &["--predictor", "constant", "--calibrator", &id[..12]]).contains("E8"));
    assert!(refused(workspace, &["--predictor", "constant", "--calibrator", "abc"]).contains("at least 8"));
    assert!(refused(workspace, &["--predictor", "constant", "--calibrator", "00000000"]).contains("there is no run"));
    assert!(refused(workspace, &["--rows", "sealed", "--predictor", "constant"]).contains("dataset seal"));
    assert!(refused(workspace, &["--predictor", "base"]).contains("seedling has no base"));
    assert!(refused(workspace, &["--predictor", "server"]).contains("[scoring]"));
    assert!(refused(workspace, &["--predictor", "teacher:nobody"]).contains("Known are"));
    assert!(refused(workspace, &["--predictor", "oracle"]).contains("profile-median"));
    workspace.file("orphans.jsonl", r#"{"article_id":"nowhere","profile_id":"texas_nurse","score":3.0}"#);
    assert!(
        refused(workspace, &["--rows", "file:orphans.jsonl", "--predictor", "constant"]).contains("its article is not stored")
    );
    workspace.file(
        "twice.jsonl",
        "{\"article_id\":\"a\",\"profile_id\":\"b\",\"predicted\":1}\n{\"article_id\":\"a\",\"profile_id\":\"b\"}",
    );
    assert!(refused(workspace, &["--predictor", "file:twice.jsonl"]).contains("earlier line"));
}

#[test]
fn a_killed_evaluation_goes_on_where_it_was_and_ends_with_the_same_numbers() {
    let workspace = validated();
    let student = format!("folder:{}", best(&workspace).display());
    let flags = ["validate", "--predictor", &student, "--rows", "train", "--sampling", "low", "--limit", "12", "--json"];
    let mut child = workspace.command(&flags).stdout(Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut before = 0;
    for line in lines.map_while(Result::ok) {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        before = event["done"].as_u64().filter(|_| event["event"] == "progress").unwrap_or(before);
        if before >= 4 {
            child.kill().expect("kills");
            break;
        }
    }
    child.wait().expect("ends");
    assert!(before >= 4, "it never answered");
    assert!(list(&workspace).iter().all(|r| r["rows"] != "train"));

    let resumed = workspace.stratos(&flags);
    assert!(resumed.status.success(), "{}", text(&resumed));
    let events = json_lines(&resumed);
    let first = events.iter().find(|e| e["event"] == "progress").expect("progress");
    assert!(first["done"].as_u64() >= Some(4), "answers were asked again: {first}");
    let last = events.iter().rev().find(|e| e["event"] == "evaluation").expect("a record");
    let resumed = show(&workspace, last["id"].as_str().expect("a name"));

    // In a workspace of its own nobody disturbed it.
    let calm = validated();
    let student = format!("folder:{}", best(&calm).display());
    let undisturbed = evaluate(&calm, &["--predictor", &student, "--rows", "train", "--sampling", "low", "--limit", "12"]);
    assert_eq!(resumed["rows"], undisturbed["rows"]);
    assert_eq!(resumed["metrics"], undisturbed["metrics"]);
    assert_eq!(resumed["id"], undisturbed["id"]);
}

#[test]
fn without_a_dataset_rows_and_training_data_come_from_files() {
    let workspace = Workspace::small();
    assert!(refused(&workspace, &["--predictor", "constant"]).contains("dataset"));
    let articles: Vec<Value> = json_lines(&workspace.stratos(&["articles", "list", "--json"]))
        .pop()
        .and_then(|v| v.as_array().cloned())
        .expect("articles");
    let line = |(i, a): (usize, &Value)| {
        let reader = common::READERS[i % 4];
        json!({"article_id": a["id"], "profile_id": reader, "score": (i % 7) as f64, "annotator": "by hand"}).to_string()
    };
    let rows: Vec<String> = articles.iter().enumerate().map(line).collect();
    workspace.file("fit.jsonl", rows[..rows.len() / 2].join("\n"));
    workspace.file("rows.jsonl", rows[rows.len() / 2..].join("\n"));
    assert!(refused(&workspace, &["--predictor", "lexical", "--rows", "file:rows.jsonl"]).contains("--fit"));
    let record = evaluate(&workspace, &["--predictor", "lexical", "--rows", "file:rows.jsonl", "--fit", "fit.jsonl"]);
    assert_eq!(record["row_set"]["name"], "file:rows.jsonl");
    assert_eq!(record["rows"][0]["source"], "by hand");
    assert!(record["metrics"]["n"].as_u64() > Some(8), "{}", record["row_set"]);
    // A score of 5.0 is forbidden by this recipe and no truth.
    assert!(record["row_set"]["left_out"]["forbidden score"].as_u64() > Some(0), "{}", record["row_set"]);
}
