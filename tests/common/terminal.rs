//! The console in a terminal of its own: a pty, and an emulator that shows what an operator would see.

#![allow(dead_code, reason = "each test binary uses its own part of this support")]

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::common::{self, Workspace};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longest wait for a text: far beyond what any machine needs, so that a failure is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// The emulator's sizes are never zero, nor are a terminal's.
fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap_or(NonZero::<u16>::MIN)
}

pub struct Console {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    pub screen: vt100::Parser,
    pub raw: Vec<u8>,
}

impl Console {
    pub fn open(workspace: &Workspace, rows: u16, cols: u16, no_color: bool) -> Self {
        Self::open_with(workspace, rows, cols, no_color, &[])
    }

    pub fn open_with(workspace: &Workspace, rows: u16, cols: u16, no_color: bool, environment: &[(&str, &str)]) -> Self {
        Self::start(workspace, (rows, cols), no_color, environment, &[])
    }

    /// `arguments`: a subcommand instead of the plain console.
    pub fn start(
        workspace: &Workspace,
        (rows, cols): (u16, u16),
        no_color: bool,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let mut command = CommandBuilder::new(common::BINARY);
        command.args(["--workspace", &workspace.path().to_string_lossy()]);
        command.args(arguments);
        Self::run(command, (rows, cols), no_color, environment)
    }

    /// A shell with job control instead of the console, which is then typed as a command.
    pub fn shell((rows, cols): (u16, u16)) -> Self {
        let mut command = CommandBuilder::new("bash");
        command.args(["--norc", "--noprofile", "-i"]);
        Self::run(command, (rows, cols), false, &[("PS1", "shell$ ")])
    }

    fn run(mut command: CommandBuilder, (rows, cols): (u16, u16), no_color: bool, environment: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty");
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

    /// Sends the console's process a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.process_id().expect("a process");
        signal(pid, name);
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("typed");
    }

    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads until the screen shows what is waited for.
    pub fn wait(&mut self, what: &str, shows: impl Fn(&str) -> bool) {
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

    pub fn wait_for(&mut self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    pub fn resize(&mut self, rows: u16, cols: u16) {
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).expect("resizes");
        self.screen.screen_mut().set_size(cells(rows), cells(cols));
    }

    /// Waits for the end of a console that was killed: nobody gave its terminal back.
    pub fn gone(mut self) {
        while self.bytes.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().expect("ends");
    }

    /// Waits for the end and returns whether it ended well.
    pub fn end(self) -> bool {
        self.end_saying().0
    }

    /// The same, with what the terminal shows then.
    pub fn end_saying(mut self) -> (bool, String) {
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
            && !self.screen.screen().bracketed_paste()
            && self.screen.screen().mouse_protocol_mode() == vt100::MouseProtocolMode::None;
        assert!(restored, "the terminal was left changed:\n{}", self.text());
        (status.success(), self.text())
    }
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("signals");
    assert!(sent.success(), "no process {pid}");
}
