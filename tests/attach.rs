//! The engine outlives the screen: consoles come, go and are killed, the engine is killed, and a run ends with the numbers of
//! one that nobody disturbed.

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use common::{Workspace, json_lines, text};
use serde_json::Value;
use terminal::{Console, signal};

/// The titles stand close on this screen: "4✓Dataset".
const SIZE: (u16, u16) = (24, 90);
const RIGHT: &str = "\u{1b}[C";

/// A workspace whose engine, if one is left, ends with it.
struct Place(Workspace);

impl Place {
    /// Everything up to the dataset is done.
    fn taught() -> Self {
        let place = Self(Workspace::small());
        let run = place.0.stratos(&["run", "--yes", "--to", "dataset"]);
        assert!(run.status.success(), "{}", text(&run));
        place
    }

    fn console(&self) -> Console {
        self.console_with(&[])
    }

    /// The first console of a workspace in which nothing has run, with its welcome read.
    fn fresh_console(&self, environment: &[(&str, &str)]) -> Console {
        let mut console = self.console_with(environment);
        console.wait_for("esc closes this");
        console.press("\u{1b}");
        console.wait("the welcome closed", |screen| !screen.contains("esc closes this") && screen.contains("no job"));
        console
    }

    fn console_with(&self, environment: &[(&str, &str)]) -> Console {
        Console::start(&self.0, SIZE, false, environment, &[])
    }

    fn engine(&self) -> Option<Value> {
        let status = self.0.stratos(&["engine", "status", "--json"]);
        assert!(status.status.success(), "{}", text(&status));
        json_lines(&status).into_iter().next().filter(|value| !value.is_null())
    }

    fn pid(&self) -> u32 {
        let pid = self.engine().expect("an engine")["pid"].as_u64().expect("a number");
        u32::try_from(pid).expect("a process")
    }

    /// A console whose training is paused in the middle.
    fn training(&self) -> Console {
        let mut console = self.console();
        console.wait_for("4✓Dataset");
        console.press("5r");
        console.wait_for("press a");
        console.press("4");
        console.wait_for("TOTALS");
        console.press("a");
        console.wait_for("Acknowledge this dataset");
        console.press("\r5");
        console.wait_for("Train running");
        // A checkpoint is behind it, and not the last one.
        console.wait("a few steps", |screen| (5..20).any(|n| screen.contains(&format!(" {n}/"))));
        console.press("p");
        console.wait_for("Train paused");
        console
    }

    fn finish_training(console: &mut Console) {
        console.wait_for("5✓Train");
        console.wait("the end of the job", |screen| !screen.contains("Train running"));
    }

    /// What a finished run says of its model.
    fn numbers(&self) -> Value {
        let output = self.0.stratos(&["run", "--yes", "--to", "audit", "--json"]);
        assert!(output.status.success(), "{}", text(&output));
        let last = json_lines(&output).into_iter().last().expect("a last line");
        assert_eq!(last["complete"], true);
        last["validate"].clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.stratos(&["engine", "stop", "--now"]);
    }
}

#[test]
fn a_job_that_was_left_running_is_found_again_and_a_killed_console_leaves_it_too() {
    let place = Place::taught();
    let mut first = place.training();
    let engine = place.pid();
    first.press("q");
    first.wait_for("leave running");
    first.press(RIGHT);
    first.wait_for("▸ leave running");
    first.press("\r");
    assert!(first.end());

    let mut second = place.console();
    second.wait_for("Train paused");
    assert_eq!(place.pid(), engine);
    second.signal("KILL");
    second.gone();

    let mut third = Console::start(&place.0, SIZE, false, &[], &["attach"]);
    third.wait_for("Train paused");
    assert_eq!(place.pid(), engine);
    third.signal("TERM");
    third.end();

    let mut fourth = place.console();
    fourth.wait_for("Train paused");
    fourth.press("p");
    Place::finish_training(&mut fourth);
    fourth.press("q");
    assert!(fourth.end(), "without a job it just quits");
}

#[test]
fn an_engine_killed_in_mid_training_is_said_started_by_a_key_and_the_run_ends_as_if_nothing_had_been() {
    let (calm, rough) = (Place::taught(), Place::taught());
    let mut console = rough.training();
    let engine = rough.pid();
    signal(engine, "KILL");
    console.wait_for("no engine: press ctrl-e");
    console.wait_for(&format!("process {engine}) is gone without a word"));
    // It can still be looked at.
    console.press("4");
    console.wait_for("TOTALS");
    console.press("5\u{5}");
    console.wait_for("attached to the engine");
    assert_ne!(rough.pid(), engine);
    console.press("r");
    Place::finish_training(&mut console);
    console.press("q");
    assert!(console.end());

    let (undisturbed, resumed) = (calm.numbers(), rough.numbers());
    assert_eq!(undisturbed["subject"], resumed["subject"], "another model came out");
    assert_eq!(undisturbed, resumed);
}

#[test]
fn a_terminated_engine_saves_first_and_the_console_says_who_ended_it() {
    let place = Place::taught();
    let mut console = place.training();
    signal(place.pid(), "TERM");
    console.wait_for("was ended by SIGTERM");
    assert!(place.engine().is_none());
    console.press("\u{5}");
    console.wait_for("attached to the engine");
    console.press("5r");
    Place::finish_training(&mut console);
    console.press("q");
    assert!(console.end());
    // The saved steps were not made again: the log of steps has each once, in order.
    let runs = place.0.path().join(".stratos/runs");
    let run = std::fs::read_dir(runs).expect("runs").flatten().next().expect("one run").path();
    let log = std::fs::read_to_string(run.join("steps.jsonl")).expect("steps");
    let steps: Vec<u64> =
        log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter_map(|row| row["step"].as_u64()).collect();
    assert!(steps.is_sorted() && steps.len() > 5, "{steps:?}");
}

#[test]
fn stopping_from_the_dialog_saves_and_ends_and_an_idle_engine_ends_by_itself() {
    let place = Place::taught();
    let mut console = place.training();
    let engine = place.pid();
    console.press("q");
    console.wait_for("stop after checkpoint");
    console.press(RIGHT);
    console.press(RIGHT);
    console.wait_for("▸ stop after checkpoint");
    console.press("\r");
    assert!(console.end());
    // Its own file of the lock tells when it is gone: the system gives it back with the process.
    let lock = std::fs::File::open(place.0.path().join(".stratos/engine.lock")).expect("the lock");
    lock.lock().expect("it ends without being asked");
    drop(lock);
    assert!(place.engine().is_none());
    let again = place.0.stratos(&["engine", "status"]);
    assert!(text(&again).contains("no engine works"), "{}; it was {engine}", text(&again));
}

#[test]
fn two_consoles_see_the_same_engine_and_a_headless_command_uses_it_too() {
    let place = Place(Workspace::small());
    let (mut left, mut right) = (place.fresh_console(&[]), place.console());
    // The welcome was read in the first.
    right.wait_for("no job");
    left.press("2r");
    right.wait_for("2✓Articles");
    let run = place.0.stratos(&["run", "--yes", "--to", "distill", "--json"]);
    assert!(run.status.success(), "{}", text(&run));
    assert!(json_lines(&run).iter().any(|e| e["event"] == "phase_done" && e["phase"] == "distill"), "{}", text(&run));
    for console in [&mut left, &mut right] {
        console.wait_for("3✓Distill");
    }
    assert_eq!(place.engine().expect("an engine")["clients"], 2);
    left.press("q");
    assert!(left.end());
    right.press("4");
    right.press("r");
    right.wait_for("4✓Dataset");
    right.press("q");
    assert!(right.end());
}

#[test]
fn a_headless_run_is_watched_by_a_console_which_goes_on_when_it_ends() {
    let place = Place::taught();
    let mut run = place.0.command(&["run", "--yes", "--to", "train", "--json"]).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(run.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("\"event\":\"step\"")), "never trained");
    let mut console = Console::start(&place.0, SIZE, false, &[], &["attach"]);
    console.wait_for("Train running");
    assert_eq!(place.pid(), run.id());
    console.press("p");
    console.wait_for("Train paused");
    let refused = place.0.stratos(&["run", "--yes"]);
    assert!(!refused.status.success() && text(&refused).contains("still running"), "{}", text(&refused));
    console.press("p");
    assert!(lines.any(|line| line.contains("\"event\":\"run_ended\",\"complete\":true")), "never ended");
    assert!(run.wait().expect("ends").success());
    console.wait_for("attached to the engine");
    assert_ne!(place.pid(), run.id());
    console.press("q");
    assert!(console.end());
}

#[test]
fn a_stale_socket_is_replaced_and_the_log_says_so() {
    let place = Place(Workspace::small());
    let state = place.0.path().join(".stratos");
    std::fs::create_dir_all(&state).expect("made");
    drop(UnixListener::bind(state.join("engine.sock")).expect("bound"));
    let attach = place.0.stratos(&["attach"]);
    assert!(text(&attach).contains("no engine runs in this workspace"), "{}", text(&attach));
    let mut console = place.fresh_console(&[]);
    console.press("q");
    assert!(console.end());
    let log = std::fs::read_to_string(state.join("logs/stratos.log")).expect("a log");
    assert!(log.contains("was left by an engine that was killed"), "{log}");
}

#[test]
fn an_idle_engine_of_another_build_gives_way_and_one_in_use_is_said() {
    let place = Place(Workspace::small());
    let other = [("STRATOS_BUILD", "another")];
    let mut old = place.fresh_console(&other);
    let theirs = place.pid();
    let (ended_well, words) = {
        let mut new = place.console();
        new.wait_for("error:");
        new.end_saying()
    };
    assert!(!ended_well);
    for part in ["another build of StratOS", &theirs.to_string(), "another front end is attached", "stratos engine stop"] {
        assert!(words.replace('\n', "").contains(part), "{words}");
    }
    old.press("q");
    assert!(old.end());
    let mut new = place.console();
    new.wait_for("no job");
    assert_ne!(place.pid(), theirs);
    new.press("q");
    assert!(new.end());
}

#[test]
fn changed_settings_reach_an_engine_that_is_open_and_idle() {
    let place = Place(Workspace::small());
    let mut console = place.fresh_console(&[]);
    let before = place.pid();
    let file = place.0.path().join("stratos.toml");
    let settings = std::fs::read_to_string(&file).expect("settings");
    std::fs::write(&file, format!("seed = 77\n{}", settings.replace("seed =", "# seed ="))).expect("written");
    let run = place.0.command(&["run", "--yes", "--to", "articles"]).stdout(Stdio::piped()).spawn().expect("starts");
    let command = run.id();
    let run = run.wait_with_output().expect("ends");
    assert!(run.status.success(), "{}", text(&run));
    // The console was first and the command used its new engine, whose news it shows; or it followed to the command's engine, or
    // missed it, and then to one of its own.
    console.wait("an engine of its own", |screen| {
        let both = screen.contains("everything asked for is done");
        let named = screen.split("attached to the engine of process ").nth(1).unwrap_or_default();
        let process: String = named.chars().take_while(char::is_ascii_digit).collect();
        both || process.parse::<u32>().is_ok_and(|process| process != before && process != command)
    });
    console.wait_for("2✓Articles");
    console.press("q");
    assert!(console.end());
}

#[test]
fn a_panic_inside_a_job_is_a_failure_and_engine_and_console_live_on() {
    let place = Place(Workspace::small());
    let mut console = place.fresh_console(&[("STRATOS_PANIC_IN", "articles")]);
    let engine = place.pid();
    console.press("2r");
    console.wait_for("the job panicked");
    console.press("\u{1b}");
    console.wait("the message gone", |screen| !screen.contains("the job panicked"));
    assert_eq!(place.pid(), engine);
    console.press("1");
    console.wait_for("kuwait_cpeg");
    console.press("q");
    assert!(console.end());
}

#[test]
fn stopping_by_command_says_which_engine_has_ended() {
    let place = Place(Workspace::small());
    let mut console = place.fresh_console(&[]);
    let engine = place.pid();
    let stop = place.0.stratos(&["engine", "stop"]);
    assert!(text(&stop).contains(&format!("process {engine}) has ended")), "{}", text(&stop));
    console.wait_for("was ended by 'stratos engine stop'");
    assert!(text(&place.0.stratos(&["engine", "stop"])).contains("no engine works"));
    console.press("q");
    assert!(console.end());
}
