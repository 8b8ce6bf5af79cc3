//! Polarising articles through the real binary: planned, approved, sent, taken in, and nothing twice.

mod common;

use std::fs;

use common::{Workspace, json_lines, text};
use serde_json::Value;

const ASK: [&str; 6] = ["articles", "polarise", "--profiles", "texas_nurse,portland_retired_space", "--count", "5"];

fn polarise(workspace: &Workspace, more: &[&str]) -> std::process::Output {
    workspace.stratos(&[&ASK[..], more].concat())
}

/// What `--json` without `--send` plans.
fn plan(workspace: &Workspace) -> Value {
    let planned = polarise(workspace, &["--json"]);
    assert!(planned.status.success(), "{}", text(&planned));
    json_lines(&planned).pop().expect("a plan")
}

fn approve(workspace: &Workspace, plan: &Value) {
    let digest = plan["digest"].as_str().expect("a digest");
    let approved = workspace.stratos(&["distill", "approve", &digest[..12], "--ceiling", "0"]);
    assert!(approved.status.success(), "{}", text(&approved));
}

fn articles(workspace: &Workspace) -> Vec<Value> {
    let listed = workspace.stratos(&["articles", "list", "--json"]);
    serde_json::from_slice(&listed.stdout).expect("a list")
}

fn generated(workspace: &Workspace) -> Vec<Value> {
    articles(workspace).into_iter().filter(|a| a["id"].as_str().is_some_and(|id| id.starts_with("gen-"))).collect()
}

#[test]
fn articles_are_planned_approved_sent_and_taken_in_once() {
    let workspace = Workspace::small();
    let planned = polarise(&workspace, &[]);
    assert!(planned.status.success(), "{}", text(&planned));
    let shown = text(&planned);
    for piece in ["articles · rehearsal", "requests   4", "worst case", "stratos distill approve", "--send"] {
        assert!(shown.contains(piece), "{piece}: {shown}");
    }
    assert!(generated(&workspace).is_empty(), "a plan sends nothing");
    let first = plan(&workspace);
    assert_eq!(plan(&workspace)["digest"], first["digest"], "the same question makes the same plan");

    let early = polarise(&workspace, &["--send"]);
    assert_eq!(early.status.code(), Some(2), "{}", text(&early));
    assert!(text(&early).contains("approve"), "{}", text(&early));
    assert!(generated(&workspace).is_empty());

    approve(&workspace, &first);
    let sent = polarise(&workspace, &["--send"]);
    assert!(sent.status.success(), "{}", text(&sent));
    let new = generated(&workspace);
    assert!(new.len() >= 8, "{} of 10: {}", new.len(), text(&sent));
    assert!(text(&sent).contains(&format!("10 articles written, {} accepted", new.len())), "{}", text(&sent));
    for reader in ["texas_nurse", "portland_retired_space"] {
        assert!(new.iter().filter(|a| a["targets"][0] == reader).count() >= 4, "{reader}");
    }
    let file = workspace.path().join("data/articles_generated.jsonl");
    let lines = fs::read_to_string(&file).expect("written");
    assert_eq!(lines.lines().count(), new.len());

    let all = articles(&workspace);
    let again = polarise(&workspace, &["--send"]);
    assert!(again.status.success(), "{}", text(&again));
    assert!(text(&again).contains("of them here already"), "{}", text(&again));
    assert_eq!(articles(&workspace), all, "the second time adds nothing");
    assert_eq!(fs::read_to_string(&file).expect("there"), lines);

    // New articles make a new question: they are to be avoided too.
    let second = plan(&workspace);
    assert_ne!(second["digest"], first["digest"]);
    assert_eq!(polarise(&workspace, &["--send"]).status.code(), Some(2), "the old approval does not pay for it");
    approve(&workspace, &second);
    assert!(polarise(&workspace, &["--send"]).status.success());
    let titles: Vec<String> = generated(&workspace).iter().map(|a| a["title"].to_string().to_lowercase()).collect();
    let distinct: std::collections::BTreeSet<&String> = titles.iter().collect();
    assert!(titles.len() > new.len() && distinct.len() == titles.len(), "{titles:?}");
}

#[test]
fn an_unknown_reader_and_a_count_out_of_range_are_refused_with_what_to_do() {
    let workspace = Workspace::small();
    let unknown = workspace.stratos(&["articles", "polarise", "--profiles", "nobody"]);
    assert!(!unknown.status.success() && text(&unknown).contains("stratos profiles list"), "{}", text(&unknown));
    let none = workspace.stratos(&["articles", "polarise", "--profiles", "texas_nurse", "--count", "0"]);
    assert!(!none.status.success() && text(&none).contains("from 1 to"), "{}", text(&none));
}
