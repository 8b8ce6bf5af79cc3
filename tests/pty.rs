//! The real binary in a real terminal: it opens, its tabs are visited, a small pipeline runs, it survives resizes, and
//! the terminal is given back as it was.

mod common;

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use common::Workspace;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longest wait for a text: far beyond what any machine needs, so that a failure is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// The emulator's sizes are never zero, nor are a terminal's.
fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap_or(NonZero::<u16>::MIN)
}

struct Console {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    raw: Vec<u8>,
}

impl Console {
    fn open(workspace: &Workspace, rows: u16, cols: u16, no_color: bool) -> Self {
        Self::open_with(workspace, rows, cols, no_color, &[])
    }

    fn open_with(workspace: &Workspace, rows: u16, cols: u16, no_color: bool, environment: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(common::BINARY);
        command.args(["--workspace", &workspace.path().to_string_lossy()]);
        command.env("TERM", "xterm-256color");
        for (name, value) in environment {
            command.env(name, value);
        }
        if no_color {
            command.env("NO_COLOR", "1");
        } else {
            command.env_remove("NO_COLOR");
        }
        let child = pair.slave.spawn_command(command).expect("starts");
        let mut reader = pair.master.try_clone_reader().expect("reads");
        let keys = pair.master.take_writer().expect("writes");
        let (tell, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(read) = reader.read(&mut buffer) {
                if read == 0 || tell.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { master: pair.master, child, keys, bytes, screen: vt100::Parser::new(cells(rows), cells(cols), 0), raw: Vec::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("typed");
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads until the screen shows what is waited for.
    fn wait(&mut self, what: &str, shows: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !shows(&self.text()) {
            let left = until.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend(bytes);
                }
                Err(error) => panic!("never saw {what} ({error}); the screen shows:\n{}", self.text()),
            }
        }
    }

    fn wait_for(&mut self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    fn resize(&mut self, rows: u16, cols: u16) {
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).expect("resizes");
        self.screen.screen_mut().set_size(cells(rows), cells(cols));
    }

    /// Waits for the end and returns whether it ended well.
    fn end(mut self) -> bool {
        // The pty closes when the process ends.
        loop {
            match self.bytes.recv_timeout(PATIENCE) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend(bytes);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill().expect("kills");
                    panic!("it did not end; the screen shows:\n{}", self.text());
                }
            }
        }
        let status = self.child.wait().expect("ends");
        let restored = !self.screen.screen().alternate_screen()
            && !self.screen.screen().hide_cursor()
            && !self.screen.screen().bracketed_paste();
        assert!(restored, "the terminal was left changed:\n{}", self.text());
        status.success()
    }
}

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
    console.wait_for("smoke answers");
    console.press("\u{1b}");
    // The message is gone, so the escape was read alone; and while a job is live, q would ask first.
    console.wait("the end of the job", |s| !s.contains("smoke answers") && !s.contains("running"));
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
    let pid = console.child.process_id().expect("a process").to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("signals");
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
