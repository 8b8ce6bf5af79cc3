//! The real binary against the emulator: the whole way from the command line, and a planted key that is found nowhere.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::common::{Workspace, text};
use super::emulator::{AnswerMix, Emulator, Fault, Options};

const SECRET: &str = "sk-ant-planted-7f3b9c51d2e84a60";

/// A small workspace whose teacher is the emulator.
pub fn workspace(emulator: &Emulator, max_batch: usize) -> Workspace {
    let workspace = Workspace::small();
    workspace.file(
        "stratos.toml",
        format!(
            "[teacher]\nprovider = \"anthropic\"\nmodel = \"claude-haiku-4-5\"\nbase_url = \"{}\"\npoll_seconds = 0.01\nsettle_seconds = 0.3\nmax_batch = {max_batch}\n",
            emulator.base_url()
        ),
    );
    workspace
}

pub fn stratos(workspace: &Workspace, arguments: &[&str]) -> Output {
    command(workspace, arguments).output().expect("the binary runs")
}

pub fn command(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.command(arguments);
    command.env("ANTHROPIC_API_KEY", SECRET).env_remove("OPENAI_API_KEY");
    command
}

/// Plans, and returns the plan's short digest.
pub fn plan(workspace: &Workspace) -> String {
    let output = stratos(workspace, &["distill", "plan", "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
    plan["digest"].as_str().unwrap_or_else(|| panic!("no plan: {}", text(&output)))[..12].to_owned()
}

pub fn emulator(dir: &Path, change: impl FnOnce(&mut Options)) -> Emulator {
    let mut options = Options::new(7, dir);
    options.key = Some(SECRET.into());
    change(&mut options);
    Emulator::start(options)
}

/// Every file below a folder that holds the text.
fn holding(dir: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("lists").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, needle));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|w| w == needle.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn the_whole_way_from_the_command_line_and_the_key_is_found_nowhere() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mix = AnswerMix { truncated: 0.03, malformed: 0.05, errored: 0.03, ..AnswerMix::default() };
    let emulator = emulator(dir.path(), |o| o.answers = mix);
    let workspace = workspace(&emulator, 40);
    let mut said = String::new();
    let mut run = |arguments: &[&str]| {
        let output = stratos(&workspace, arguments);
        said += &text(&output);
        output
    };
    let preview = run(&["distill", "plan"]);
    assert!(text(&preview).contains("pilot") && text(&preview).contains("worst case"), "{}", text(&preview));
    let waits = run(&["distill", "run"]);
    assert_eq!(waits.status.code(), Some(2), "{}", text(&waits));
    assert!(emulator.billed().is_empty());

    let pilot = plan(&workspace);
    assert!(run(&["distill", "approve", &pilot, "--ceiling", "1"]).status.success());
    let waits = run(&["distill", "run"]);
    assert_eq!(waits.status.code(), Some(2), "the rest wants its own approval: {}", text(&waits));
    emulator.fault(Fault::unauthorized());
    let rest = plan(&workspace);
    assert_ne!(rest, pilot);
    assert!(run(&["distill", "approve", &rest, "--ceiling", "2"]).status.success());
    let refused = run(&["distill", "run"]);
    assert!(!refused.status.success());
    let done = run(&["distill", "run"]);
    assert!(done.status.success(), "{}", text(&done));
    let receipt = run(&["distill", "receipt"]);
    assert!(text(&receipt).contains("billed") && text(&receipt).contains("kept answers"), "{}", text(&receipt));
    run(&["distill", "batches"]);
    assert!(run(&["distill", "cancel"]).status.success(), "nothing to cancel is no failure");
    run(&["distill", "rejects"]);
    run(&["distill", "plan"]);
    run(&["keys", "status"]);
    run(&["status"]);

    assert!(!said.contains(SECRET), "the key was shown");
    assert_eq!(holding(workspace.path(), SECRET), Vec::<String>::new(), "the key was stored");
    let seen = emulator.requests_seen();
    assert!(seen.iter().any(|s| s.keys.iter().any(|(_, value)| value.contains(SECRET))), "the provider was given its key");
}

#[test]
fn a_missing_key_and_a_server_that_is_away_say_what_to_do() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut emulator = emulator(dir.path(), |_| {});
    let workspace = workspace(&emulator, 40);
    let pilot = plan(&workspace);
    assert!(stratos(&workspace, &["distill", "approve", &pilot, "--ceiling", "1"]).status.success());
    let output = workspace.command(&["distill", "run"]).env_remove("ANTHROPIC_API_KEY").output().expect("runs");
    assert!(text(&output).contains("ANTHROPIC_API_KEY"), "{}", text(&output));
    emulator.stop();
    let output = stratos(&workspace, &["distill", "run"]);
    assert!(!output.status.success() && text(&output).contains("run again"), "{}", text(&output));
    emulator.restart();
    let waits = stratos(&workspace, &["distill", "run"]);
    assert_eq!(waits.status.code(), Some(2), "the pilot is home, the rest waits: {}", text(&waits));
    assert!(!emulator.billed().is_empty());
}

#[test]
fn results_fetched_by_hand_are_imported_once() {
    let dir = tempfile::tempdir().expect("temp dir");
    let emulator = emulator(dir.path(), |_| {});
    let workspace = workspace(&emulator, 40);
    let pilot = plan(&workspace);
    assert!(stratos(&workspace, &["distill", "approve", &pilot, "--ceiling", "1"]).status.success());
    stratos(&workspace, &["distill", "run"]);
    let raw = fs::read_dir(workspace.path().join(".stratos/raw")).expect("lists").flatten().next().expect("a download").path();
    let copy = workspace.file("by-hand.jsonl", fs::read(raw).expect("reads"));
    let output = stratos(&workspace, &["distill", "import", &copy.to_string_lossy()]);
    assert!(output.status.success() && text(&output).contains(": 0 added"), "{}", text(&output));
    let nonsense = workspace.file("nonsense.jsonl", b"{\"custom_id\":\"x\"}\n");
    let output = stratos(&workspace, &["distill", "import", &nonsense.to_string_lossy()]);
    assert!(!output.status.success() && text(&output).contains("nothing was stored"), "{}", text(&output));
}

#[cfg(unix)]
#[test]
fn a_file_system_that_takes_no_more_says_so_and_going_on_works() {
    let dir = tempfile::tempdir().expect("temp dir");
    let emulator = emulator(dir.path(), |_| {});
    let workspace = workspace(&emulator, 40);
    let config = fs::read_to_string(workspace.path().join("stratos.toml")).expect("reads");
    workspace.file("stratos.toml", format!("{config}pilot = \"never\"\n"));
    let digest = plan(&workspace);
    assert!(stratos(&workspace, &["distill", "approve", &digest, "--ceiling", "2"]).status.success());
    let run = command(&workspace, &["distill", "run"]);
    let mut failures = 0;
    // No file may grow beyond so many blocks of 512 bytes: the ledger's first, then the results', then all fit.
    for blocks in ["64", "160", "400", "800", "1600"] {
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")])
            .arg(run.get_program())
            .args(run.get_args());
        limited.env("ANTHROPIC_API_KEY", SECRET);
        let output = limited.output().expect("runs");
        if !output.status.success() {
            failures += 1;
            let said = text(&output);
            assert!(!said.contains("panicked") && said.contains("un again"), "{said}");
        }
    }
    assert!(failures > 0, "no limit was low enough");
    let done = stratos(&workspace, &["distill", "run"]);
    assert!(done.status.success(), "{}", text(&done));
    let bills = emulator.billed();
    let mut ids: Vec<&str> = bills.iter().map(|b| b.custom_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), bills.len(), "an attempt was billed twice");
    assert_eq!(bills.len(), 112, "every pair was bought once");
}
