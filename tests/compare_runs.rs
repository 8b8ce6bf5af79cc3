//! Runs side by side: only what both judged, only in one runtime, with words that the figures carry.

mod common;

use std::collections::BTreeMap;

use common::{Workspace, json_lines, text};
use stratos::domain::recipe::Scale;
use stratos::domain::{Bands, Digest};
use stratos::evaluate::{Ground, Outcome, Run, RunComparison, RunRow, RunsError, Runtime, compare_runs, verdict_of};

fn runtime(precision: &str) -> Runtime {
    Runtime { engine: "stratos".into(), precision: precision.into(), device: "cpu".into() }
}

/// 60 articles for 3 readers; a miss of `noise` up or down.
fn run(name: &str, noise: f64) -> Run {
    let row = |i: u32| {
        let truth = f64::from(i * 37 % 101) / 10.0;
        let unit = f64::from(i * 17 % 41) / 20.0 - 1.0;
        let predicted = (truth + noise * unit).clamp(0.0, 10.0);
        RunRow {
            article: format!("a{:02}", i / 3),
            profile: format!("p{}", i % 3),
            cluster: format!("a{:02}", i / 3),
            truth,
            predicted: Some(predicted),
            output: format!("SCORE: {predicted} | REASON: row {i}."),
            defect: None,
        }
    };
    let settings = [("train.run.epochs", "2"), ("sampling.temperature", "0.6")];
    Run {
        digest: Digest::of(name),
        predictor: "student".into(),
        runtime: runtime("f32"),
        row_set: "held-out".into(),
        rows: (0..180).map(row).collect(),
        settings: settings.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect(),
    }
}

fn compared(runs: &[Run], across_runtimes: bool) -> Result<RunComparison, RunsError> {
    let bands = Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending");
    let scale = Scale { min: 0.0, max: 10.0, relevant_from: 5.0, forbidden: Vec::new() };
    let title = |article: &str| Some(format!("Title of {article} \u{1b}[31m\u{202e}"));
    compare_runs(runs, &Ground { bands: &bands, scale: &scale, seed: 19, across_runtimes, title: &title })
}

#[test]
fn better_worse_and_cannot_tell_come_with_their_intervals() {
    for (noise, outcome, word) in
        [(0.5, Outcome::Better, "better: "), (6.0, Outcome::Worse, "worse: "), (3.0, Outcome::CannotTell, "cannot tell")]
    {
        let found = compared(&[run("a", 3.0), run("b", noise)], false).expect("compares");
        assert_eq!(found.others[0].outcome, outcome);
        assert!(verdict_of(&found.others[0]).starts_with(word), "{}", verdict_of(&found.others[0]));
        assert!(found.others[0].paired.differences.iter().all(|d| d.interval.is_some() && d.p_corrected >= d.p));
        let lines = found.lines();
        assert!(lines.iter().all(|l| l.chars().count() <= 100), "{lines:#?}");
        assert!(lines.iter().any(|l| l.contains("MAE") && l.contains('[')) && lines.join(" ").contains("Holm over the 5"));
    }
}

#[test]
fn only_common_rows_count_and_the_others_are_said() {
    let (a, mut b) = (run("a", 1.0), run("b", 1.0));
    b.rows.drain(..9);
    b.rows[0].truth += 1.0;
    b.rows.push(RunRow { article: "other".into(), ..b.rows[1].clone() });
    let found = compared(&[a, b], false).expect("compares").others.remove(0);
    assert_eq!((found.common, found.only_first, found.only_other, found.other_truth), (170, 9, 1, 1));
    assert!(found.findings[0].saw.contains("11 left out"), "{:?}", found.findings[0]);
}

#[test]
fn another_runtime_is_refused_unless_asked_for_and_then_labelled() {
    let (a, b) = (run("a", 3.0), Run { runtime: runtime("q8_0"), ..run("b", 0.5) });
    let error = compared(&[a.clone(), b.clone()], false).expect_err("refused").to_string();
    for word in ["E6", "q8_0", "--across-runtimes"] {
        assert!(error.contains(word), "{error}");
    }
    let found = compared(&[a, b], true).expect("asked for");
    assert!(found.others[0].across_runtimes && found.others[0].findings.iter().any(|f| f.guard == "E6" && f.failed()));
    assert!(found.lines().iter().any(|l| l.contains("ACROSS RUNTIMES")));
}

#[test]
fn every_setting_that_differs_is_named_and_several_at_once_are_warned_of() {
    let mut b = run("b", 1.0);
    let one = compared(&[run("a", 1.0), b.clone()], false).expect("compares").others.remove(0);
    assert!(one.changed.is_empty() && one.findings.iter().all(|f| !f.failed()));
    b.settings =
        BTreeMap::from([("train.run.epochs", "3"), ("base", "x"), ("model", "y")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let many = compared(&[run("a", 1.0), b], false).expect("compares").others.remove(0);
    let names: Vec<&str> = many.changed.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["base", "model", "sampling.temperature", "train.run.epochs"]);
    let t4 = many.findings.iter().find(|f| f.guard == "T4").expect("looked");
    assert!(t4.failed() && t4.saw.contains("3 settings") && !t4.saw.contains("model"), "{}", t4.saw);
}

#[test]
fn failures_count_and_disagreements_are_read_without_what_moves_a_cursor() {
    let (a, mut b) = (run("a", 0.0), run("b", 0.0));
    for row in b.rows.iter_mut().step_by(2) {
        (row.predicted, row.output) = (None, "\u{1b}]0;evil\u{7} no score\nat all \u{202e}".into());
        row.defect = Some("there is no score line".into());
    }
    let found = compared(&[a, b], false).expect("compares");
    let other = &found.others[0];
    assert_eq!((other.outcome, other.paired.failures_b, other.disagreements.len()), (Outcome::Worse, 90, 10));
    let all = found.lines().join("\n");
    assert!(all.contains("Title of a") && all.contains("no score at all") && all.contains("unreadable"), "{all}");
    assert!(!all.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{all:?}");
}

#[test]
fn several_runs_are_each_held_against_the_first_and_corrected_together() {
    let runs = [run("a", 3.0), run("b", 0.5), run("c", 3.0), run("d", 6.0)];
    let found = compared(&runs, false).expect("compares");
    let outcomes: Vec<Outcome> = found.others.iter().map(|o| o.outcome).collect();
    assert_eq!((found.tests, outcomes), (15, vec![Outcome::Better, Outcome::CannotTell, Outcome::Worse]));
    assert!(found.lines().join(" ").contains("all 15 tests of 3 runs"));
}

#[test]
fn what_cannot_be_compared_says_why() {
    let a = run("a", 1.0);
    let error = |runs: &[Run]| compared(runs, false).expect_err("refused").to_string();
    assert!(error(std::slice::from_ref(&a)).contains("two or more"));
    assert!(error(&[a.clone(), a.clone()]).contains("twice"));
    assert!(error(&[a.clone(), Run { rows: Vec::new(), ..run("b", 1.0) }]).contains("keeps no rows"));
    let mut elsewhere = run("b", 1.0);
    elsewhere.rows.iter_mut().for_each(|r| r.article.push('x'));
    assert!(error(&[a, elsewhere]).contains("no row in common"));
}

/// The whole way on a toy student: two stored runs compared, probed, and reported.
#[test]
fn stored_runs_are_compared_probed_and_reported_by_the_binary() {
    let workspace = Workspace::small();
    let run = workspace.stratos(&["run", "--yes", "--to", "validate", "--json"]);
    assert!(run.status.success(), "{}", text(&run));
    agree(&workspace);
    let constant = workspace.stratos(&["validate", "--predictor", "constant", "--json"]);
    assert!(constant.status.success(), "{}", text(&constant));

    let refused = workspace.stratos(&["compare", "last~1", "last"]);
    assert!(!refused.status.success() && text(&refused).contains("E6"), "{}", text(&refused));
    let compared = workspace.stratos(&["compare", "last~1", "last", "--across-runtimes", "--json"]);
    assert!(compared.status.success(), "{}", text(&compared));
    let found = &json_lines(&compared)[0];
    assert!(found["others"][0]["common"].as_u64() > Some(0), "{found}");
    assert!(!found["others"][0]["changed"].as_array().expect("a list").is_empty());
    let wrong = workspace.stratos(&["compare", "last", "0123"]);
    assert!(text(&wrong).contains("at least 8 digits"), "{}", text(&wrong));

    let asked = workspace.stratos(&["validate", "probes", "--n", "3", "--json"]);
    assert!(asked.status.success(), "{}", text(&asked));
    let probes = json_lines(&asked).pop().expect("printed");
    assert_eq!((probes["event"].as_str(), probes["probes"]["rows"].as_u64()), (Some("probes"), Some(3)), "{probes}");
    assert!(probes["probes"]["awareness"]["without"].as_str().is_some_and(|w| w.contains("seedling")), "{probes}");

    let out = workspace.path().join("out");
    let written = workspace.stratos(&["report", "last~1", "--out", &out.to_string_lossy()]);
    assert!(written.status.success(), "{}", text(&written));
    let files: Vec<String> = String::from_utf8_lossy(&written.stdout).lines().map(str::to_owned).collect();
    let (markdown, html) =
        (std::fs::read_to_string(&files[0]).expect("Markdown"), std::fs::read_to_string(&files[1]).expect("HTML"));
    for part in ["Verdict", "Figures", "Calibration", "Readers", "Training", "Reasoning", "Guards", "Data card", "Settings"] {
        assert!(markdown.contains(&format!("\n## {part}\n")) && html.contains(&format!("<h2>{part}</h2>")), "{part}");
    }
    assert!(html.contains("probes of") && html.contains("<svg") && !html.contains("<script"));
    // For `.ci/peers/report_check.py`.
    std::fs::write(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html"), html).expect("writes");
}

/// The rehearsal teacher thinks what it scores: the rules of agreement hold for a rubric that is followed.
fn agree(workspace: &Workspace) {
    let bands = Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending");
    let file = workspace.path().join("data/training_v19_cot.jsonl");
    let rows = std::fs::read_to_string(file).expect("exported");
    let rows: Vec<serde_json::Value> = rows.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let answer = |row: &serde_json::Value| -> Option<(String, f64)> {
        let text = row["messages"].as_array()?.last()?["content"].as_str()?.to_owned();
        let (think, rest) = stratos::domain::split_think(&text);
        Some((think?.to_owned(), stratos::domain::read_tolerant(rest, (0.0, 10.0)).ok()?.0))
    };
    let answers: Vec<(String, f64)> = rows.iter().filter_map(answer).collect();
    let found = stratos::evaluate::agreement(answers.iter().map(|(think, score)| (think.as_str(), *score)), &bands);
    println!("{:#?}", found.lines());
    assert!(found.n > 50 && found.share > Some(0.9), "{:#?}", found.lines());
}
