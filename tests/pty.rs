//! The real binary in a real terminal: it opens, its tabs are visited, a small pipeline runs, it survives resizes, and
//! the terminal is given back as it was.

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use common::Workspace;
use terminal::Console;

#[test]
fn the_console_opens_shows_every_tab_runs_the_pipeline_and_gives_the_terminal_back() {
    let workspace = Workspace::small();
    let mut console = Console::open(&workspace, 24, 80, false);
    console.wait_for("stratos-v19");
    for tab in ["2", "3", "4", "5", "6", "7", "8", "1"] {
        console.press(tab);
    }
    console.press("?");
    console.wait_for("search:");
    // Alone: an escape with a key right behind it is that key with Alt.
    console.press("\u{1b}");
    console.wait("the help closed", |s| !s.contains("search:"));

    // One key runs everything; the operator is asked twice on the way.
    console.press("R");
    console.wait_for("press a");
    console.press("3");
    console.wait_for("▸cost");
    console.press("a");
    console.wait_for("Approve the judgements");
    console.press("\r");
    console.wait("the dataset", |s| s.contains("4✓Dataset") && s.contains("press a"));
    console.press("4");
    console.wait_for("TOTALS");
    console.press("a");
    console.wait_for("Acknowledge this dataset");
    console.press("\r");

    for (rows, cols) in [(40, 120), (1, 1), (10, 30), (24, 80)] {
        console.resize(rows, cols);
    }
    console.press("6");
    console.wait_for("MAE");
    // A toy student cannot write the format: the release's smoke test must refuse to serve it, and say so.
    console.press("8");
    console.wait_for("guard S1");
    console.press("\u{1b}");
    // The message is gone, so the escape was read alone; and while a job is live, q would ask first.
    console.wait("the end of the job", |s| !s.contains("guard S1") && s.contains("stops: S1") && !s.contains("running"));
    console.press("q");
    assert!(console.end());
}

#[test]
fn without_colour_the_bytes_carry_none_and_the_selection_is_still_seen() {
    let workspace = Workspace::small();
    assert!(workspace.stratos(&["run", "--yes", "--to", "articles"]).status.success());
    let mut console = Console::open(&workspace, 24, 80, true);
    console.wait_for("kuwait_cpeg");
    let screen = console.screen.screen();
    let reversed = (0..24).any(|row| (0..80).any(|col| screen.cell(row, col).is_some_and(vt100::Cell::inverse)));
    assert!(reversed, "no cell is reversed:\n{}", console.text());
    let raw = String::from_utf8_lossy(&console.raw).into_owned();
    for escape in ["\u{1b}[38;", "\u{1b}[48;", "\u{1b}[31m", "\u{1b}[32m"] {
        assert!(!raw.contains(escape), "a colour was sent: {escape:?}");
    }
    console.press("q");
    assert!(console.end());
}

#[test]
fn a_terminated_console_gives_the_terminal_back() {
    let workspace = Workspace::small();
    let mut console = Console::open(&workspace, 24, 80, false);
    console.wait_for("stratos-v19");
    console.signal("TERM");
    console.end();
}

#[test]
fn a_paid_plan_is_made_without_its_provider_and_the_key_is_never_drawn() {
    const SECRET: &str = "sk-ant-planted-5d1c77aa90e34b12";
    let workspace = Workspace::small();
    // Nobody listens there.
    let config = "[teacher]\nprovider = \"anthropic\"\nmodel = \"claude-haiku-4-5\"\nbase_url = \"http://127.0.0.1:9\"\n";
    workspace.file("stratos.toml", config);
    let mut console = Console::open_with(&workspace, 40, 120, true, &[("ANTHROPIC_API_KEY", SECRET)]);
    console.wait_for("stratos-v19");
    console.press("3");
    console.press("R");
    console.wait_for("press a");
    console.wait_for("from ANTHROPIC_API_KEY");
    console.press("a");
    console.wait_for("Approve the pilot");
    console.wait_for("First use of anthropic");
    console.press("\u{1b}");
    console.wait("the dialog closed", |s| !s.contains("Approve the pilot"));
    console.press("?");
    console.wait_for("search:");
    assert!(!console.raw.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()), "the key was drawn");
    console.press("\u{1b}");
    console.wait("the help closed", |s| !s.contains("search:"));
    console.press("q");
    assert!(console.end());
}

#[test]
fn a_reader_goes_through_the_operators_own_editor_and_the_changes_are_seen_before_they_are_saved() {
    let workspace = Workspace::small();
    assert!(workspace.stratos(&["run", "--yes", "--to", "articles"]).status.success());
    let editor = workspace.file("editor.sh", "#!/bin/sh\nsed -i 's/^role = .*/role = \"harbour pilot\"/' \"$1\"\n");
    let program = format!("sh {}", editor.display());
    let mut console = Console::open_with(&workspace, 30, 110, false, &[("EDITOR", &program), ("VISUAL", "")]);
    console.wait_for("kuwait_cpeg");
    console.press("e");
    console.wait_for("+ role = \"harbour pilot\"");
    console.press("\u{13}");
    console.wait_for("harbour pilot");
    console.wait("the editor closed", |s| !s.contains("Changes since"));
    console.press("q");
    assert!(console.end());
    let shown = common::text(&workspace.stratos(&["profiles", "list"]));
    assert!(shown.contains("harbour pilot"), "{shown}");
}

#[test]
fn an_editor_that_is_not_there_is_said_and_changes_nothing() {
    let workspace = Workspace::small();
    assert!(workspace.stratos(&["run", "--yes", "--to", "articles"]).status.success());
    let mut console = Console::open_with(&workspace, 24, 80, false, &[("EDITOR", "no-such-editor"), ("VISUAL", "")]);
    console.wait_for("kuwait_cpeg");
    console.press("e");
    console.wait_for("cannot start the editor");
    console.press("\u{1b}");
    // The list is back: a screen that is half drawn shows no editor either.
    console.wait("the editor closed", |s| s.contains("Readers 1/4") && !s.contains("ctrl-s"));
    console.press("q");
    assert!(console.end());
}

#[test]
fn ctrl_z_gives_the_terminal_to_the_shell_and_fg_brings_the_console_back() {
    let workspace = Workspace::small();
    let mut shell = Console::shell((24, 80));
    shell.wait_for("shell$");
    shell.press(&format!("{} -w {}\n", common::BINARY, workspace.path().display()));
    shell.wait_for("Welcome to StratOS");
    shell.press("\u{1b}");
    shell.wait("the welcome closed", |s| !s.contains("Welcome to"));
    shell.press("\u{1a}");
    shell.wait("the shell", |s| s.contains("Stopped") && s.contains("shell$"));
    assert!(!shell.screen.screen().alternate_screen() && !shell.screen.screen().hide_cursor());
    shell.press("fg\n");
    shell.wait("the console again", |s| s.contains('1') && s.contains("Profiles") && s.contains("commands"));
    assert!(shell.screen.screen().alternate_screen());
    shell.press("q");
    shell.wait("the shell again", |s| s.contains("Stopped") && !s.contains("Profiles"));
    shell.press("exit\n");
    assert!(shell.end());
}

#[test]
fn a_storm_of_sizes_ends_in_a_whole_screen_of_the_last_one() {
    let workspace = Workspace::small();
    let mut console = Console::open(&workspace, 24, 80, false);
    console.wait_for("Welcome to StratOS");
    console.press("\u{1b}");
    for round in 0..60_u16 {
        console.resize(1 + round * 7 % 50, 1 + round * 13 % 160);
        if round % 7 == 0 {
            console.press("j");
        }
    }
    console.resize(24, 100);
    console.wait("the last size", |s| {
        let lines: Vec<&str> = s.lines().collect();
        lines.first().is_some_and(|line| line.starts_with("StratOS"))
            && lines.last().is_some_and(|line| line.contains("commands"))
    });
    console.press("q");
    assert!(console.end());
}
