//! The audit in the real binary: a queue in turns of bands, verdicts that reach the dataset exactly where its rows change,
//! a book that is only added to.

mod common;
mod labelled;

use std::collections::BTreeSet;
use std::fs;

use common::Workspace;
use labelled::{examples, json_of, refused, told};
use serde_json::Value;

/// A workspace with a built dataset.
fn built() -> Workspace {
    let workspace = Workspace::small();
    told(&workspace, &["run", "--yes", "--to", "dataset"]);
    workspace
}

fn phase(workspace: &Workspace, name: &str) -> String {
    let status = json_of(workspace, &["status", "--json"]);
    let phases = status["phases"].as_array().cloned().unwrap_or_default();
    let found = phases.iter().find(|p| p["phase"] == name).expect("a phase");
    found["state"]["state"].as_str().unwrap_or_default().to_owned()
}

fn queue(workspace: &Workspace, more: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = ["audit", "list", "--json"].into_iter().chain(more.iter().copied()).collect();
    json_of(workspace, &arguments)["rows"].as_array().cloned().expect("rows")
}

fn ids(row: &Value) -> (String, String) {
    let text = |key: &str| row[key].as_str().expect("an id").to_owned();
    (text("article"), text("profile"))
}

/// Whether the dataset teaches this pair, and as what.
fn taught(workspace: &Workspace, (article, profile): &(String, String)) -> Option<Value> {
    examples(workspace).into_iter().find(|e| e["id"] == format!("{article}|{profile}"))
}

#[test]
fn the_queue_takes_bands_in_turns_and_every_order_has_every_block_once() {
    let workspace = built();
    let bands = |rows: &[Value]| rows.iter().map(|r| r["band"].as_str().unwrap_or_default().to_owned()).collect::<BTreeSet<_>>();
    for order in ["disagreement", "uncertainty", "random"] {
        let rows = queue(&workspace, &["--order", order]);
        assert_eq!(rows.len(), 112);
        assert_eq!(rows.iter().map(ids).collect::<BTreeSet<_>>().len(), 112, "{order}");
        assert_eq!(bands(&rows[..50]), bands(&rows), "{order}: the first fifty cover every band");
        assert_eq!(bands(&rows[..3]).len(), 3, "{order}");
    }
    let critical = queue(&workspace, &["--filter", "band:critical verdict:none"]);
    assert!(!critical.is_empty() && critical.iter().all(|r| r["band"] == "Critical"));
    let said = refused(&workspace, &["audit", "list", "--filter", "bnad:critical"]);
    assert!(said.contains("'bnad:' is no field"), "{said}");
    let index = json_of(&workspace, &["audit", "list", "--json", "--order", "uncertainty"]);
    assert!(index["basis"].as_str().is_some_and(|b| b.contains("band's edge")), "without a student: {}", index["basis"]);
}

#[test]
fn a_verdict_makes_the_dataset_stale_if_and_only_if_its_rows_change() {
    let workspace = built();
    let pair = ids(&examples(&workspace)
        .into_iter()
        .map(|e| {
            let (article, profile) = e["id"].as_str().expect("id").split_once('|').expect("two ids");
            serde_json::json!({"article": article, "profile": profile})
        })
        .next()
        .expect("a row"));
    let (article, profile) = (pair.0.as_str(), pair.1.as_str());
    let judge = |verdict: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            ["audit", "judge", article, profile, verdict].into_iter().chain(more.iter().copied()).collect();
        told(&workspace, &arguments)
    };
    judge("faithful", &["--note", "sound"]);
    assert_eq!(phase(&workspace, "dataset"), "done", "a kept trace changes no row");
    let said = judge("wrong-article", &["--mark", "0..7=wrong_profile"]);
    assert!(said.contains("wrong article reading") && said.contains("leaves the dataset"), "{said}");
    assert_eq!(phase(&workspace, "dataset"), "stale");
    told(&workspace, &["audit", "undo"]);
    assert_eq!(phase(&workspace, "dataset"), "done", "what was taken back never was");
    told(&workspace, &["audit", "reject", article, profile]);
    told(&workspace, &["run", "--yes", "--to", "dataset"]);
    assert_eq!((phase(&workspace, "dataset").as_str(), taught(&workspace, &pair)), ("done", None));
    judge("wrong_overlap", &["--note", "another name for it"]);
    assert_eq!(phase(&workspace, "dataset"), "done", "another name for what is wrong changes no row");
    let shown = json_of(&workspace, &["audit", "show", article, profile, "--json"]);
    assert_eq!(shown["teacher"]["standing"]["verdict"], "wrong_overlap", "{shown}");
    assert_eq!(shown["teacher"]["standing"]["note"], "another name for it");
    // Back to the beginning, step by step: faithful, then nothing.
    told(&workspace, &["audit", "undo", article, profile]);
    told(&workspace, &["audit", "undo", article, profile]);
    assert_eq!(phase(&workspace, "dataset"), "stale", "the trace is back");
    told(&workspace, &["audit", "undo"]);
    assert!(refused(&workspace, &["audit", "undo"]).contains("no verdict to take back"));
    told(&workspace, &["run", "--yes", "--to", "dataset"]);
    assert!(taught(&workspace, &pair).is_some());
}

#[test]
fn a_fixed_score_is_a_label_of_the_operators_and_keeps_no_block_that_contradicts_it() {
    let workspace = built();
    let rows = queue(&workspace, &[]);
    let noise = rows.iter().find(|r| r["band"] == "Noise" && r["teacher"].as_f64().is_some_and(|s| s < 1.5)).expect("noise");
    let (near, far) = (ids(noise), ids(rows.iter().filter(|r| r["band"] == "Noise").nth(3).expect("more noise")));
    let fix = |(article, profile): &(String, String), score: &str| {
        told(&workspace, &["audit", "judge", article, profile, "wrong_calibration"]);
        told(&workspace, &["audit", "remedy", "fix", article, profile, score, "--reason", "It is about something else entirely."])
    };
    let said = fix(&near, "1.7");
    assert!(said.contains("stays with it"), "{said}");
    let said = fix(&far, "8.5");
    assert!(said.contains("argues for another score"), "{said}");
    told(&workspace, &["run", "--yes", "--to", "dataset"]);
    let row = taught(&workspace, &near).expect("taught");
    assert_eq!(
        (row["score"].as_f64(), row["annotator"].as_str(), row["trust"].as_str()),
        (Some(1.7), Some("operator"), Some("high"))
    );
    let answer = row["messages"][2]["content"].as_str().unwrap_or_default();
    assert!(
        answer.starts_with("<think>\nPROFILE:") && answer.contains("SCORE: 1.7 | REASON: It is about something else"),
        "{answer}"
    );
    assert_eq!(taught(&workspace, &far), None, "no block that argues for noise is paired with a high score");
    let left: Vec<Value> = common::json_lines(&workspace.stratos(&["dataset", "quarantine", "--json"]));
    let label = left.iter().find(|q| q["annotator"] == "operator").expect("kept as a label");
    assert_eq!((label["reason"].as_str(), label["score"].as_f64()), (Some("no think block"), Some(8.5)));
    let said = refused(&workspace, &["audit", "remedy", "fix", &near.0, &near.1, "5.0", "--reason", "The middle."]);
    assert!(said.contains("never 5.0"), "{said}");
}

#[test]
fn a_trace_that_is_sent_back_is_asked_again_under_a_plan_of_its_own_and_nothing_is_bought_before() {
    let workspace = built();
    let pair = ids(&queue(&workspace, &[])[0]);
    let (article, profile) = (pair.0.as_str(), pair.1.as_str());
    assert!(refused(&workspace, &["audit", "remedy", "retry", article, profile]).contains("judge it first"));
    told(&workspace, &["audit", "judge", article, profile, "wrong_article", "--note", "it is last year's"]);
    let said = told(&workspace, &["audit", "remedy", "retry", article, profile]);
    assert!(said.contains("Nothing is bought before"), "{said}");
    let plan = json_of(&workspace, &["distill", "plan", "--only", "sent-back", "--json"]);
    assert_eq!(plan["estimate"]["requests"], 1, "{plan}");
    assert_eq!((&plan["approved"], &plan["spent"]), (&Value::Null, &serde_json::json!("0")), "nothing was asked yet");
    let sample = plan["estimate"]["samples"][0]["text"].as_str().unwrap_or_default();
    assert!(sample.contains("a reviewer found it wrong article reading: it is last year's"), "{sample}");
    assert_ne!(phase(&workspace, "distill"), "done");
    told(&workspace, &["run", "--yes", "--to", "dataset"]);
    assert_eq!((phase(&workspace, "distill"), phase(&workspace, "dataset")), ("done".into(), "done".into()));
    let plans: Vec<Value> = common::json_lines(&workspace.stratos(&["distill", "plan", "--only", "sent-back", "--json"]));
    assert_eq!(plans, [Value::Null], "it was asked once");
    // The rehearsal teacher writes the same text again: the verdict on that text still stands.
    assert_eq!(taught(&workspace, &pair), None);
    told(&workspace, &["audit", "remedy", "drop", article, profile]);
    assert_eq!(taught(&workspace, &pair), None);
}

#[test]
fn one_of_ten_comes_back_blind_and_measures_the_reviewer_alone() {
    let workspace = built();
    for row in queue(&workspace, &["--order", "random"]).iter().take(10) {
        let (article, profile) = ids(row);
        told(&workspace, &["audit", "judge", &article, &profile, "faithful", "--drawn", "random", "--seconds", "31"]);
    }
    let next = json_of(&workspace, &["audit", "next", "--json"]);
    assert_eq!((next["teacher"]["repeat"].as_bool(), &next["teacher"]["standing"]), (Some(true), &Value::Null), "{next}");
    let pair = ids(&next["pair"]);
    let (article, profile) = (pair.0.as_str(), pair.1.as_str());
    let said = told(&workspace, &["audit", "judge", article, profile, "unfaithful", "--blind"]);
    assert!(said.contains("changes nothing"), "{said}");
    assert_eq!(phase(&workspace, "dataset"), "done");
    assert!(taught(&workspace, &pair).is_some());
    let results = json_of(&workspace, &["audit", "results", "--json"]);
    let (teacher, reviewer) = (&results["authors"][0], &results["reviewer"]);
    assert_eq!((reviewer["repeats"].as_u64(), reviewer["equal"].as_u64(), &reviewer["kappa"]), (Some(1), Some(0), &Value::Null));
    assert_eq!((teacher["all"]["kinds"][0]["hits"].as_u64(), teacher["random"]["hits"].as_u64()), (Some(10), Some(10)));
    assert_eq!(teacher["seconds"], serde_json::json!([31.0, 10]));
    let text = told(&workspace, &["audit", "results"]);
    assert!(text.contains("100 % (72 to 100) few") && text.contains("below 30"), "{text}");
    let unread = ids(&queue(&workspace, &["--filter", "verdict:none"])[0]);
    let said = refused(&workspace, &["audit", "judge", &unread.0, &unread.1, "faithful", "--blind"]);
    assert!(said.contains("never judged"), "{said}");

    let csv = workspace.path().join("verdicts.csv");
    told(&workspace, &["audit", "export", &csv.to_string_lossy()]);
    let rows = fs::read_to_string(&csv).expect("written");
    assert_eq!(rows.lines().count(), 12, "{rows}");
    assert!(rows.contains(",blind,unfaithful,") && rows.contains(",first,faithful,"), "{rows}");
    let lines = workspace.path().join("verdicts.jsonl");
    told(&workspace, &["audit", "export", &lines.to_string_lossy()]);
    assert_eq!(fs::read_to_string(&lines).expect("written").lines().count(), 11);
    assert!(refused(&workspace, &["audit", "export", "verdicts.xlsx"]).contains(".csv or .jsonl"));
}

#[test]
fn what_cannot_be_judged_is_refused_with_what_to_do() {
    let workspace = built();
    let pair = ids(&queue(&workspace, &[])[0]);
    let (article, profile) = (pair.0.as_str(), pair.1.as_str());
    for (arguments, words) in [
        (vec!["audit", "judge", "nowhere", profile, "faithful"], "has no think block"),
        (vec!["audit", "judge", article, profile, "faithful", "--of", "student"], "has no think block of the student"),
        (vec!["audit", "judge", article, profile, "good"], "is no verdict"),
        (vec!["audit", "judge", article, profile, "faithful", "--mark", "0..999999=unfaithful"], "the marks are not kept"),
        (vec!["audit", "judge", article, profile, "faithful", "--mark", "3..1=unfaithful"], "holds nothing"),
        (vec!["audit", "show", "nowhere", profile], "no trace"),
        (vec!["audit", "export", "a.csv"], "nothing was judged yet"),
    ] {
        let said = refused(&workspace, &arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert!(queue(&workspace, &["--filter", "verdict:any"]).is_empty(), "nothing of it was taken");
}
