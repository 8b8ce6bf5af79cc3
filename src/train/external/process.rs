//! The trainer as a process: started in a group of its own, read line by line, signalled, and never left behind unseen.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::ExternalError;
use super::job::RunFolder;
use crate::domain::{one_line, safe_text};
use crate::workspace::atomic_write;

/// A longer line is cut; its rest is thrown away.
const LONGEST_LINE: u64 = 64 << 10;
/// Lines that wait to be read; a trainer that says more waits too.
const WAITING: usize = 1024;
/// After the trainer's end, how long its helpers may still hold its output open.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Keys of paid teachers are no business of a trainer's.
const KEYS: [&str; 4] = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"];

/// The note that outlives a killed console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidNote {
    pub pid: u32,
    /// Seconds since the epoch, so that another process with the same number is not taken for it.
    pub started: u64,
    pub program: String,
}

pub(super) struct Process {
    child: Child,
    lines: Receiver<String>,
    group: Group,
}

impl Process {
    pub fn start(folder: &RunFolder, command: &[String], environment: &BTreeMap<String, String>) -> Result<Self, ExternalError> {
        let (program, arguments) = command.split_first().ok_or_else(|| ExternalError::Start {
            program: String::new(),
            source: std::io::Error::other("train.external.command is empty"),
        })?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path()).env("PYTHONUNBUFFERED", "1").env("TOKENIZERS_PARALLELISM", "false");
        for key in KEYS {
            command.env_remove(key);
        }
        command.envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|source| ExternalError::Start { program: one_line(program, 80), source })?;
        let group = Group(child.id());
        let (sender, lines) = sync_channel(WAITING);
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|o| Box::new(o) as _), child.stderr.take().map(|o| Box::new(o) as _)];
        let process = Self { child, lines, group };
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            let read = std::thread::Builder::new().name("trainer output".into()).spawn(move || read_lines(output, &sender));
            read.map_err(ExternalError::io(folder.path()))?;
        }
        write_note(folder, process.group.0, program)?;
        Ok(process)
    }

    /// The next line; none after `wait`, or at the end of all output.
    pub fn line(&self, wait: Duration) -> Heard {
        match self.lines.recv_timeout(wait) {
            Ok(line) => Heard::Line(line),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// For a trainer that has closed its output but not ended.
    pub fn wait_a_moment(&mut self, moment: Duration) -> Option<ExitStatus> {
        self.ended().or_else(|| {
            std::thread::sleep(moment.min(Duration::from_millis(20)));
            self.ended()
        })
    }

    pub fn ask_to_stop(&self) {
        self.group.signal("TERM");
    }

    /// Kills the whole group at once and waits for the trainer itself.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        self.group.signal("KILL");
        let _ = self.child.kill();
        self.child.wait().ok()
    }

    /// What is left to read once the trainer has ended; helpers that hold its output open are ended with it.
    pub fn last_lines(&self) -> Vec<String> {
        self.group.signal("KILL");
        let (until, mut lines) = (Instant::now() + LAST_WORDS, Vec::new());
        while let Heard::Line(line) = self.line(until.saturating_duration_since(Instant::now())) {
            lines.push(line);
        }
        lines
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whatever way the run came to its end: nothing of it goes on without us.
        if self.ended().is_none() {
            self.kill();
        }
    }
}

pub(super) enum Heard {
    Line(String),
    Nothing,
    End,
}

/// Lines end at a line feed, or at the carriage return of a progress bar.
fn read_lines(output: impl Read, sender: &SyncSender<String>) {
    let mut reader = BufReader::new(output);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let Ok(n) = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes) else { return };
        if n == 0 {
            return;
        }
        if n as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') && !skip_line(&mut reader) {
            return;
        }
        for line in String::from_utf8_lossy(&bytes).split(['\n', '\r']).map(safe_text) {
            if !line.trim().is_empty() && sender.send(line).is_err() {
                return;
            }
        }
    }
}

/// Whether there is more after the line that was too long.
fn skip_line(reader: &mut impl BufRead) -> bool {
    loop {
        let Ok(buffer) = reader.fill_buf() else { return false };
        if buffer.is_empty() {
            return false;
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        reader.consume(used);
        if end.is_some() {
            return true;
        }
    }
}

/// A process group, by the number of its first process.
#[derive(Debug, Clone, Copy)]
struct Group(u32);

impl Group {
    /// Whether the signal reached anybody.
    fn signal(self, name: &str) -> bool {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), "--", &format!("-{}", self.0)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        sent.is_ok_and(|status| status.success())
    }
}

fn process_start(pid: u32) -> Option<u64> {
    let (mut system, pid) = (System::new(), Pid::from_u32(pid));
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    let process = system.process(pid)?;
    // A child that nobody has waited for yet is gone all the same.
    (process.status() != sysinfo::ProcessStatus::Zombie).then(|| process.start_time())
}

pub(super) fn write_note(folder: &RunFolder, pid: u32, program: &str) -> Result<(), ExternalError> {
    let note = PidNote { pid, started: process_start(pid).unwrap_or(0), program: one_line(program, 80) };
    let path = folder.pid_file();
    let text = serde_json::to_vec(&note).unwrap_or_default();
    atomic_write(&path, &text).map_err(|e| ExternalError::io(&path)(std::io::Error::other(e)))
}

pub(super) fn forget(folder: &RunFolder) {
    // A note that stays is checked against the living before it is believed.
    let _ = fs::remove_file(folder.pid_file());
}

/// A trainer that a killed console left behind in this folder, if it still runs. A note about the dead is removed.
pub fn orphan(folder: &RunFolder) -> Option<PidNote> {
    let note: PidNote = serde_json::from_slice(&fs::read(folder.pid_file()).ok()?).ok()?;
    let lives = match process_start(note.pid) {
        Some(started) => started.abs_diff(note.started) <= 1,
        // The launcher may be gone while its workers run on; a group keeps its number as long as it has members.
        None => note.started > 0 && is_group_alive(note.pid),
    };
    if !lives {
        forget(folder);
    }
    lives.then_some(note)
}

fn is_group_alive(group: u32) -> bool {
    let mut system = System::new();
    let number = group.to_string();
    // Only Linux tells the group without a call of its own: field 5 of the status line.
    if !Path::new("/proc/self/stat").exists() {
        return Group(group).signal("0");
    }
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::nothing());
    let in_group = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.get(2) == Some(&number.as_str()) && !matches!(fields.first(), Some(&"Z" | &"X"))
    };
    system.processes().keys().any(in_group)
}

/// Ends a trainer that was left behind: asked first, killed after `grace`. True when nothing of it runs any more.
pub fn stop_orphan(folder: &RunFolder, grace: Duration) -> bool {
    let Some(note) = orphan(folder) else { return true };
    Group(note.pid).signal("TERM");
    let until = Instant::now() + grace;
    while Instant::now() < until && orphan(folder).is_some() {
        std::thread::sleep(Duration::from_millis(50).min(grace));
    }
    if orphan(folder).is_some() {
        Group(note.pid).signal("KILL");
    }
    orphan(folder).is_none()
}

/// Appends to the run's log as far as it may grow.
pub(super) struct Log {
    file: File,
    left: usize,
}

impl Log {
    pub fn open(path: &Path, most: usize) -> Result<Self, ExternalError> {
        let file = File::options().create(true).append(true).open(path).map_err(ExternalError::io(path))?;
        let size = file.metadata().map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX));
        Ok(Self { file, left: most.saturating_sub(size) })
    }

    pub fn line(&mut self, text: &str) {
        use std::io::Write as _;
        if text.len() < self.left {
            self.left -= text.len() + 1;
            // A log that cannot be written must not end a run that can.
            let _ = writeln!(self.file, "{text}");
        }
    }
}
