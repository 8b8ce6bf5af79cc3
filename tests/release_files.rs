//! `stratos deploy export` by the real binary, outside any workspace: what it says, what it leaves when it is killed.

#[path = "common/base.rs"]
mod base;
mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{BINARY, json_lines, text};
use stratos::student::Student;

const TEXTS: [&str; 2] = ["the reader wants the news of the day", "SCORE: 1.5 | REASON: the match is weak."];

fn command(from: &Path, to: &Path, forms: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["deploy", "export", "--json", "--form", forms, "--from"]).arg(from).arg("--to").arg(to);
    command
}

fn run(from: &Path, to: &Path, forms: &str) -> Output {
    command(from, to, forms).output().expect("runs")
}

fn student(folder: &Path) -> std::path::PathBuf {
    let student = folder.join("student");
    base::write(&student, TEXTS.repeat(8));
    student
}

/// Everything below a folder that has a name of its own, in order.
fn found(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && name == "gguf" {
            names.extend(found(&entry.path()).into_iter().filter(|n| n.contains("gguf")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

#[test]
fn an_export_says_what_it_will_take_and_what_it_wrote() {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (student(folder.path()), folder.path().join("release"));
    let output = run(&from, &to, "merged,q8_0");
    assert!(output.status.success(), "{}", text(&output));
    let lines = json_lines(&output);
    let (first, last) = (lines.first().expect("a forecast"), lines.last().expect("a piece"));
    assert_eq!(last["form"], "q8_0");
    let file = to.join(last["path"].as_str().expect("a path"));
    assert_eq!(last["bytes"], fs::metadata(&file).expect("written").len());
    assert!(first["forecast"]["bytes"].as_u64() >= last["bytes"].as_u64());
    assert!(lines.iter().any(|line| line["tensor"] == "model.embed_tokens.weight"), "progress by tensor");
    assert_eq!(found(&to), ["merged", "model-q8_0.gguf"]);
    Student::load(&file).expect("our own reader takes it");
}

#[test]
fn what_cannot_be_exported_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (student(folder.path()), folder.path().join("release"));
    let told = |forms: &str, from: &Path, words: &[&str]| {
        let output = run(from, &to, forms);
        assert!(!output.status.success());
        let said = text(&output);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    told("q3_k", &from, &["q3_k", "q4_k_m"]);
    told("adapter", &from, &["no adapter", "merged"]);
    told("merged", &folder.path().join("nowhere"), &["nowhere"]);
    told("merged", folder.path(), &["config.json"]);
    assert!(!to.exists(), "nothing was begun");
}

#[test]
fn an_export_killed_at_any_moment_leaves_whole_forms_or_nothing_and_goes_on_from_there() {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (student(folder.path()), folder.path().join("release"));
    let whole = json_lines(&run(&from, &folder.path().join("other"), "merged,f16,q4_k_m"));
    let logits = |path: &Path| Student::load(path).expect("whole").logits(&[3, 7, 11]);
    let mut killed = 0;
    for line in [1, 2, 9, 20, 31, 40, 55, 70] {
        let mut child = command(&from, &to, "merged,f16,q4_k_m").stdout(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        if lines.map_while(Result::ok).nth(line).is_some() {
            child.kill().expect("kills");
            killed += 1;
        }
        child.wait().expect("ends");
        for name in found(&to).iter().filter(|name| !name.ends_with("building")) {
            let path = if name == "merged" { to.join(name) } else { to.join("gguf").join(name) };
            assert_eq!(logits(&path), logits(&folder.path().join("other").join(path.strip_prefix(&to).expect("below"))));
        }
    }
    assert!(killed > 4);
    let again = json_lines(&run(&from, &to, "merged,f16,q4_k_m"));
    assert_eq!(again[again.len() - 3..], whole[whole.len() - 3..], "the same bytes as undisturbed");
    assert_eq!(found(&to), ["merged", "model-f16.gguf", "model-q4_k_m.gguf"]);
}
