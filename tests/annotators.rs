//! The import guards and the comparison on real annotators' files: one of three must be caught, two must not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::{Value, json};
use stratos::distill::quality::{Scored, d6, d7, d8, d11};
use stratos::domain::{ArticleId, PairKey, ProfileId, recipe::Scale};

#[derive(Deserialize)]
struct Line {
    article_id: ArticleId,
    profile_id: ProfileId,
    score: f64,
    reason: String,
    annotator: String,
}

fn data(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("STRATOS_TEST_DATA").map(|folder| PathBuf::from(folder).join(name)).filter(|path| path.is_file());
    if path.is_none() {
        eprintln!("skipped: STRATOS_TEST_DATA does not name a folder with {name}");
    }
    path
}

fn rows(name: &str) -> Option<Vec<Scored>> {
    let text = std::fs::read_to_string(data(name)?).expect("readable");
    let row = |line: &str| {
        let Line { article_id: article, profile_id: profile, score, reason, annotator } =
            serde_json::from_str(line).expect("a row");
        Scored { pair: PairKey { article, profile }, score, reason, annotator, batch: 0 }
    };
    Some(text.lines().map(row).collect())
}

fn all() -> Option<[Vec<Scored>; 3]> {
    Some([rows("claude_scores.jsonl")?, rows("gemini_scores.jsonl")?, rows("annotator_b_scores.jsonl")?])
}

fn scale() -> Scale {
    Scale { min: 0.0, max: 10.0, relevant_from: 5.0, forbidden: vec![5.0] }
}

fn made(article: usize, profile: usize, score: f64, reason: &str, batch: usize) -> Scored {
    let pair =
        PairKey { article: format!("a{article}").parse().expect("id"), profile: format!("pilot_{profile}").parse().expect("id") };
    Scored { pair, score, reason: reason.into(), annotator: "made".into(), batch }
}

#[test]
fn reasons_from_a_script_are_caught_and_written_ones_are_not() {
    let Some([claude, gemini, b]) = all() else { return };
    for (judged, rows) in [(true, &claude), (true, &gemini), (false, &b)] {
        let finding = d6(rows);
        assert_eq!(finding.failed(), !judged, "{}", finding.saw);
    }
    assert!(d6(&b).saw.contains("159 distinct reasons in 3417 rows (4.7 %)"), "{}", d6(&b).saw);
}

#[test]
fn the_annotator_that_knows_three_values_drifts_alone_and_against_others() {
    let Some([claude, gemini, b]) = all() else { return };
    assert!(d7(&b, &[]).saw.contains("three values make up 91.1 %"), "{}", d7(&b, &[]).saw);
    assert!(!d7(&claude, &[]).failed() && !d7(&gemini, &[]).failed());
    // They have no reader in common: told, and not held against the other one.
    let other = d7(&claude, &[&b]);
    assert!(!other.failed() && other.saw.contains("hardly share a reader"), "{}", other.saw);
    // One gives 0.0 nearly half of the time, the other hardly ever; the pairs they share are copies and hide it.
    let uneven = d7(&claude, &[&gemini]);
    assert!(uneven.failed() && uneven.saw.contains("gemini-3-flash's on their common readers"), "{}", uneven.saw);
    let beside = d7(&b, &[&claude, &gemini]);
    assert!(beside.failed() && beside.saw.contains("differ from claude-batch's"), "{}", beside.saw);
}

#[test]
fn rows_copied_from_another_annotator_are_caught_though_they_agree() {
    let Some([claude, gemini, b]) = all() else { return };
    let finding = d8(&claude, &[&gemini], &scale());
    assert!(finding.saw.contains("176 of 176 common pairs copied"), "{}", finding.saw);
    assert!(!d8(&claude, &[], &scale()).failed() && !d8(&b, &[&claude], &scale()).failed());
}

#[test]
fn reasons_without_an_end_are_caught() {
    let Some([claude, gemini, b]) = all() else { return };
    assert!(!d11(&claude).failed() && !d11(&gemini).failed(), "{} {}", d11(&claude).saw, d11(&gemini).saw);
    assert!(d11(&b).failed(), "{}", d11(&b).saw);
}

#[test]
fn a_template_with_the_readers_name_filled_in_is_one_reason() {
    let reasons: Vec<Scored> = (0..200).map(|i| made(i, i, 1.0, &format!("Row {i}: no relevance to PILOT {i}."), 0)).collect();
    assert!(d6(&reasons).saw.starts_with("1 distinct reasons in 200 rows"), "{}", d6(&reasons).saw);
}

#[test]
fn a_later_batch_that_scores_otherwise_is_caught_and_other_readers_in_it_are_not() {
    // Reader 0 gets low scores, reader 1 high ones.
    let score = |i: usize, profile: usize| (i * 7 % 40) as f64 / 10.0 + 5.0 * profile as f64;
    let batch = |batch: usize, profile: usize, n: usize, shift: f64| -> Vec<Scored> {
        (0..n).map(|i| made(1000 * batch + i, profile, score(i, profile) + shift, "Fine.", batch)).collect()
    };
    let first: Vec<Scored> = [batch(0, 0, 300, 0.0), batch(0, 1, 60, 0.0)].concat();
    let mixed = [first.clone(), batch(1, 1, 300, 0.0)].concat();
    assert!(!d7(&mixed, &[]).failed(), "{}", d7(&mixed, &[]).saw);
    let drifted = [first, batch(1, 0, 300, 2.0)].concat();
    let finding = d7(&drifted, &[]);
    assert!(
        finding.failed() && finding.saw.contains("scores of batch 2 differ from those of the batches before it"),
        "{}",
        finding.saw
    );
}

#[test]
fn values_off_the_scale_unsigned_or_given_twice_are_counted() {
    let mut rows: Vec<Scored> = (0..9).map(|i| made(i, 0, i as f64, "Fine.", 0)).collect();
    rows.extend([
        made(0, 0, 0.5, "Fine.", 0),
        made(20, 0, 10.5, "Fine.", 0),
        made(21, 0, 3.17, "Fine.", 0),
        made(22, 0, f64::NAN, "", 0),
    ]);
    rows[3].annotator = " ".into();
    let finding = d8(&rows, &[], &scale());
    for said in ["2 outside the scale", "1 with more than one decimal", "1 without an annotator", "1 pairs with two scores"] {
        assert!(finding.saw.contains(said), "{said}: {}", finding.saw);
    }
}

fn stratos(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stratos")).arg("--workspace").arg(folder).args(arguments).output().expect("runs")
}

fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp dir");
    let made = stratos(dir.path(), &["init", &dir.path().to_string_lossy()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    dir
}

fn compared(folder: &Path, a: &str, b: &str, more: &[&str]) -> String {
    let output = stratos(folder, &[&["distill", "compare", a, b], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn compare_flags_the_unknown_annotator_and_says_when_pairs_are_too_few() {
    let (Some(a), Some(b)) = (data("claude_scores.jsonl"), data("annotator_b_scores.jsonl")) else { return };
    let dir = workspace();
    let (a, b) = (a.to_string_lossy(), b.to_string_lossy());
    let text = compared(dir.path(), &a, &b, &[]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.contains("only 0 common pairs"), "{text}");
    let json: Value = serde_json::from_str(&compared(dir.path(), &a, &b, &["--json"])).expect("JSON");
    let failed = |side: &str| {
        let findings = json[side]["findings"].as_array().expect("findings").clone();
        let failed = findings.into_iter().filter(|f| f["outcome"] == "fail");
        failed.map(|f| f["guard"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(failed("b"), ["D6", "D7", "D11"], "{text}");
    assert!(failed("a").is_empty(), "{text}");
}

fn score_file(folder: &Path, name: &str, annotator: &str, shift: f64) -> String {
    let line = |i: usize| {
        let score = ((i * 37 % 80) as f64 / 10.0 + shift).min(10.0);
        let reason = format!("{annotator} read article {}.", ["one", "two", "three"][i % 3].repeat(i));
        json!({"article_id": format!("a{}", i / 4), "profile_id": format!("p{}", i % 4), "score": score, "reason": reason, "annotator": annotator})
    };
    let text = (0..400).map(|i| line(i).to_string()).collect::<Vec<_>>().join("\n");
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writes");
    path.to_string_lossy().into_owned()
}

#[test]
fn compare_gives_the_difference_that_was_made_with_its_interval() {
    let dir = workspace();
    let (a, b) = (score_file(dir.path(), "a.jsonl", "first", 0.0), score_file(dir.path(), "b.jsonl", "second", 1.0));
    let json: Value = serde_json::from_str(&compared(dir.path(), &a, &b, &["--sample", "200", "--json"])).expect("JSON");
    assert_eq!((json["common"].as_u64(), json["n"].as_u64()), (Some(400), Some(200)));
    for figure in ["mae", "bias", "spearman"] {
        assert!((json[figure].as_f64().expect("defined") - 1.0).abs() < 1e-9, "{figure}: {json}");
    }
    assert!(json["mae_interval"].is_array() && json["advice"].is_null() && json["a"]["cost_per_kept"].is_null());
    assert_eq!(json["widest"].as_array().map(Vec::len), Some(10));
    assert_eq!(json["bands"].as_array().expect("bands").iter().filter_map(|b| b["n"].as_u64()).sum::<u64>(), 200);
    let text = compared(dir.path(), &a, &b, &["--sample", "200"]);
    assert!(text.contains("mean absolute difference") && text.contains("unknown"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_name_that_is_no_teacher_and_no_file_lists_the_teachers() {
    let dir = workspace();
    let a = score_file(dir.path(), "a.jsonl", "first", 0.0);
    for (b, said) in [("nobody", "neither a teacher of stratos.toml (main) nor a file"), ("main", "stratos distill plan")] {
        let output = stratos(dir.path(), &["distill", "compare", &a, b]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(said), "{error}");
    }
}
