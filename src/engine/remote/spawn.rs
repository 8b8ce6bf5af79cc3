//! The engine's process: starting one, finding the one there is, replacing an idle one of another build, ending it.
//!
//! Owns the life of the process; what it says on the socket is `server`'s and `client`'s.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{Engine, EngineHandle};
use super::client::{attach, dial};
use super::protocol::{Greeting, Kind, Wish, build, settings};
use super::server::Server;
use super::{RemoteError, place};
use crate::domain::{Clock, one_line};
use crate::workspace::{Workspace, WorkspaceError};

/// Another front end may be starting an engine at this moment, or a short command may hold the workspace.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(25);

/// Keys must answer while training takes every core. All of an engine's threads take part in the work or serve it, so the
/// whole process stands back, and by no more than lets a console through: against anything else on the machine a job still
/// gets its share.
const NICENESS: i32 = 5;

/// What the engine's process says on its standard output, once, to who started it.
const READY: &str = "ready";
const LOCKED: &str = "locked ";
const FAILED: &str = "failed ";

/// This program's file, also if another build has taken its place on disk: a front end never starts an engine of another
/// build than its own.
pub fn program() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let named = std::env::current_exe().ok()?;
    // Linux: the running file itself, whatever its name says by now.
    let running = PathBuf::from("/proc/self/exe");
    let Ok(here) = running.metadata() else { return Some(named) };
    let same = named.metadata().is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino()));
    Some(if same { named } else { running })
}

/// What there is of an engine.
#[derive(Debug)]
pub enum Found {
    Attached(EngineHandle),
    Nothing,
    /// There was one of another build or with older settings; it was idle and has ended.
    GaveWay,
}

/// Attaches to the workspace's engine. An idle one that this program cannot talk to, or that began with other settings, is
/// asked to give way; a busy one of another build is an error that says who runs what.
pub fn find(workspace: &Workspace) -> Result<Found, RemoteError> {
    let path = place::socket(workspace)?;
    let wanted = settings(workspace);
    let Some(dialled) = dial(&path)? else { return Ok(Found::Nothing) };
    let other = &dialled.greeting;
    if other.same_build() && (other.settings == wanted || other.busy.is_some() || other.kind == Kind::Command) {
        return Ok(dialled.attach(&wanted)?.map_or(Found::Nothing, Found::Attached));
    }
    if !other.same_build()
        && let Some(busy) = occupied(other)
    {
        let ours = format!("{}, build {}", env!("CARGO_PKG_VERSION"), build());
        return Err(RemoteError::OtherBuild { pid: other.pid, theirs: one_line(&other.program(), 80), ours, busy });
    }
    tracing::info!("the idle engine (process {}, {}) gives way", other.pid, other.program());
    let same = other.same_build();
    match dialled.wish(Wish::GiveWay) {
        Ok(()) => Ok(Found::GaveWay),
        // A job has begun in between.
        Err(RemoteError::Refused { .. }) if same => match dial(&path)? {
            Some(dialled) => Ok(dialled.attach(&wanted)?.map_or(Found::Nothing, Found::Attached)),
            None => Ok(Found::Nothing),
        },
        Err(error) => Err(error),
    }
}

/// What an engine of another build is kept for.
fn occupied(other: &Greeting) -> Option<String> {
    let clients = || match other.clients {
        0 => None,
        1 => Some("another front end is attached to it".to_owned()),
        n => Some(format!("{n} front ends are attached to it")),
    };
    other.busy.as_deref().map(|busy| one_line(busy, 120)).or_else(clients)
}

/// Attaches to the engine there is, or starts one.
pub fn attach_or_start(workspace: &Workspace) -> Result<EngineHandle, RemoteError> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Found::Attached(handle) = find(workspace)? {
            return Ok(handle);
        }
        match start(workspace)? {
            // Not by `find`: should stratos.toml change at this moment, this engine is the one that has read it.
            None => {
                if let Some(handle) = attach(workspace)? {
                    return Ok(handle);
                }
            }
            // Somebody holds the workspace who does not listen, or not yet.
            Some(holder) if Instant::now() > until => return Err(WorkspaceError::Locked { holder }.into()),
            Some(_) => std::thread::sleep(AGAIN),
        }
    }
}

/// Starts an engine in the background and waits until it listens. Says who holds the workspace's lock, if somebody does.
fn start(workspace: &Workspace) -> Result<Option<String>, RemoteError> {
    let root = place::root(workspace);
    let log = workspace.state_dir("logs")?.join("engine.log");
    let failed = |why: String| RemoteError::NotStarted { why, log: log.clone() };
    let program = program().ok_or_else(|| failed("this program's own file is not to be found".into()))?;
    let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log);
    let stderr = open().map_err(|e| failed(format!("its log cannot be written: {e}")))?;
    let mut command = Command::new(program);
    command.arg("--workspace").arg(&root).args(["engine", "run"]).current_dir(&root);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
    let mut child = child.map_err(|e| failed(e.to_string()))?;
    let said = child.stdout.take().map(first_line).unwrap_or_default();
    // Nobody waits for the engine, but a dead one must not stay in the process table.
    let reaped = std::thread::Builder::new().name("engine-reaper".into()).spawn(move || child.wait());
    if said == READY {
        return Ok(None);
    }
    if let Some(holder) = said.strip_prefix(LOCKED) {
        return Ok(Some(one_line(holder, 40)));
    }
    let ended = reaped.ok().and_then(|thread| thread.join().ok()).and_then(Result::ok);
    let ended = ended.map_or_else(|| "no exit status".to_owned(), |status| status.to_string());
    Err(failed(said.strip_prefix(FAILED).map_or(ended, |why| one_line(why, 400))))
}

fn first_line(stdout: ChildStdout) -> String {
    let mut line = String::new();
    // What cannot be read is as good as nothing said.
    let _ = BufReader::new(stdout).read_line(&mut line);
    line.trim_end().to_owned()
}

/// The engine's process: takes the workspace, listens, says so, and works until nobody needs it or it is told to end.
pub fn run(workspace: &Arc<Workspace>, clock: Arc<dyn Clock>) -> Result<(), RemoteError> {
    // A session of its own: the terminal that closes takes its own processes with it, and this one stays. It fails for the
    // leader of a group, which is a process that a shell started by hand; that one keeps its terminal.
    let _ = rustix::process::setsid();
    // Refused only where there is nothing to be nice to.
    let _ = rustix::process::nice(NICENESS);
    let started = Engine::start(workspace.clone(), clock).map_err(RemoteError::from).and_then(|(engine, handle)| {
        let server = Server::start(workspace, handle, Kind::Background)?;
        Ok((engine, server))
    });
    match started {
        Ok((engine, server)) => {
            say(READY);
            // Nothing may hold the pipe or the terminal of who started it.
            if let Ok(nowhere) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
                let _ = rustix::stdio::dup2_stdout(&nowhere);
            }
            server.wait();
            // The door held the last handle: the engine saves and ends.
            engine.join();
            Ok(())
        }
        Err(error) => {
            match &error {
                RemoteError::Workspace(WorkspaceError::Locked { holder }) => say(&format!("{LOCKED}{holder}")),
                other => say(&format!("{FAILED}{}", one_line(&other.to_string(), 600))),
            }
            Err(error)
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Who started it may be gone already; then the engine ends by itself, idle.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Ends the workspace's engine, at its job's next checkpoint or at once, and waits until it is gone. `None`: there is none.
pub fn end(workspace: &Workspace, now: bool) -> Result<Option<Greeting>, RemoteError> {
    let Some(dialled) = dial(&place::socket(workspace)?)? else { return Ok(None) };
    let greeting = dialled.greeting.clone();
    dialled.wish(if now { Wish::EndNow } else { Wish::End })?;
    Ok(Some(greeting))
}
