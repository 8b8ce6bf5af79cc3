//! The process is killed in the middle of distillation, training and validation; run again, it ends with the same
//! numbers as a run that nobody disturbed.

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Workspace, json_lines, text};
use serde_json::Value;

/// Starts `run --yes` and kills it at the first event that `is_now` likes. False: it ended before.
fn run_and_kill(workspace: &Workspace, is_now: impl Fn(&Value) -> bool) -> bool {
    let mut child =
        workspace.command(&["run", "--yes", "--to", "audit", "--json"]).stdout(Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut hit = false;
    for line in lines.map_while(Result::ok) {
        if serde_json::from_str(&line).is_ok_and(|event| is_now(&event)) {
            // SIGKILL: no handler runs, nothing is flushed.
            child.kill().expect("kills");
            hit = true;
            break;
        }
    }
    child.wait().expect("ends");
    hit
}

/// What a finished run says of its model: everything but the time it took.
fn numbers(workspace: &Workspace) -> Value {
    let output = workspace.stratos(&["run", "--yes", "--to", "audit", "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let last = json_lines(&output).into_iter().last().expect("a last line");
    assert_eq!(last["complete"], true);
    last["validate"].clone()
}

#[test]
fn a_run_killed_three_times_ends_with_the_numbers_of_an_undisturbed_one() {
    let (calm, rough) = (Workspace::small(), Workspace::small());
    let in_phase = |event: &Value, phase: &str| event["event"] == "progress" && event["phase"] == phase;

    assert!(run_and_kill(&rough, |e| in_phase(e, "distill") && e["done"].as_u64() > Some(0)), "never distilled");
    assert!(run_and_kill(&rough, |e| e["event"] == "step" && e["step"] == 9), "never trained");
    assert!(run_and_kill(&rough, |e| in_phase(e, "validate")), "never validated");

    let (undisturbed, resumed) = (numbers(&calm), numbers(&rough));
    assert_eq!(undisturbed["table"], resumed["table"]);
    assert_eq!(undisturbed["subject"], resumed["subject"], "another model came out");
    assert_eq!(undisturbed, resumed);
}

#[test]
fn a_second_run_redoes_nothing() {
    let workspace = Workspace::small();
    numbers(&workspace);
    let again = json_lines(&workspace.stratos(&["run", "--yes", "--to", "audit", "--json"]));
    let count = |name: &str| again.iter().filter(|e| e["event"] == name).count();
    assert_eq!((count("phase_started"), count("phase_kept")), (0, 7), "{again:?}");
}
