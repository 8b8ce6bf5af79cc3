//! The engine without a screen: progress bars for people, JSON lines for programs, the same commands as the console.

mod bars;
mod scores;

pub use scores::{ScoreOrder, score};

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, bail};
use tokio::sync::broadcast::error::RecvError;

use crate::domain::{Clock as _, Digest, SystemClock, safe_text};
use crate::engine::remote::{self, Farewell, Found, Kind, Link};
use crate::engine::{Command, Engine, EngineHandle, Errand, Event, Level, PlanView, Snapshot, Taken};
use crate::workspace::{Workspace, WorkspaceError};

/// How a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Bars,
    JsonLines,
    Quiet,
}

impl Output {
    pub fn of(json: bool) -> Self {
        if json { Self::JsonLines } else { Self::Bars }
    }
}

/// One line on standard output. A closed pipe (`stratos … | head`) ends the program quietly, as it ends `cat`.
pub fn say(line: &str) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Text from articles and models, safe for a terminal.
pub fn clean(text: &str) -> String {
    safe_text(text)
}

/// Warnings and errors go to `.stratos/logs/stratos.log`; the screen belongs to the front end.
pub fn log_to_file(workspace: &Workspace) -> Result<()> {
    let path = workspace.state_dir("logs")?.join("stratos.log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(|e| color_eyre::eyre::eyre!("cannot write the log {}: {e}", path.display()))?;
    // A second front end in one process (tests) keeps the first one's log.
    let _ = tracing_subscriber::fmt().with_writer(std::sync::Mutex::new(file)).with_ansi(false).try_init();
    Ok(())
}

/// Whether front ends may watch the engine of a headless command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// It answers one question and ends before anybody could look.
    Shut,
}

/// Another engine may be ending, or not listen yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// The engine that works here, or one of this process for the length of one call; with a small runtime to listen to it.
fn with_engine<T>(workspace: &Arc<Workspace>, door: Door, work: impl AsyncFnOnce(EngineHandle) -> Result<T>) -> Result<T> {
    log_to_file(workspace)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (handle, own) = reach(workspace)?;
    // A workspace where no socket can be made still runs; nobody can watch.
    let listening = own.is_some() && door == Door::Open;
    let server = listening
        .then(|| remote::Server::start(workspace, handle.clone(), Kind::Command))
        .and_then(|started| started.inspect_err(|error| tracing::warn!("consoles cannot attach: {error}")).ok());
    let done = runtime.block_on(async {
        handle.snapshot().wait_for(|snapshot| snapshot.complete).await.map_err(|_| gone(&handle))?;
        work(handle).await
    });
    drop(runtime);
    if let Some(server) = server {
        server.close(Farewell {
            why: format!("the command of process {} has ended, and its engine with it", std::process::id()),
            again: true,
        });
    }
    if let Some(engine) = own {
        engine.join();
    }
    done
}

/// A handle, and the engine if it is this process's own.
fn reach(workspace: &Arc<Workspace>) -> Result<(EngineHandle, Option<Engine>)> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Found::Attached(handle) = remote::find(workspace)? {
            tracing::info!("the engine that works here already is used");
            return Ok((handle, None));
        }
        match Engine::start(workspace.clone(), Arc::new(SystemClock)) {
            Ok((engine, handle)) => return Ok((handle, Some(engine))),
            Err(WorkspaceError::Locked { .. }) if Instant::now() < until => std::thread::sleep(Duration::from_millis(25)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Why the engine is gone, as far as anybody knows.
fn gone(handle: &EngineHandle) -> color_eyre::eyre::Report {
    let why = handle.link().map(|link| link.farewell().why);
    let why = why.unwrap_or_else(|| "the engine ended; its log is in .stratos/logs/stratos.log".into());
    color_eyre::eyre::eyre!("{}. Run again to go on; nothing recorded is lost", clean(&why))
}

/// Sends a command and waits until it is taken; what another front end's job forbids is an error.
async fn asked(handle: &EngineHandle, command: Command) -> Result<Taken> {
    let taken = handle.ask(command).await.ok_or_else(|| gone(handle))?;
    if let Some(why) = &taken.refused {
        bail!("{}. Watch it with 'stratos attach'", clean(why));
    }
    Ok(taken)
}

/// The state as it stands.
pub fn look(workspace: &Arc<Workspace>) -> Result<Arc<Snapshot>> {
    with_engine(workspace, Door::Shut, async |handle| Ok(handle.snapshot().borrow().clone()))
}

/// Sends one command that needs no job, and says what came of it.
pub fn tell(workspace: &Arc<Workspace>, command: Command) -> Result<ExitCode> {
    with_engine(workspace, Door::Shut, async |handle| {
        let mut failed = false;
        for event in asked(&handle, command).await?.said {
            match event {
                Event::Imported { what, added, updated, unchanged } => {
                    say(&format!("{what}: {added} added, {updated} updated, {unchanged} unchanged"));
                }
                Event::Log { level: Level::Error, text } => {
                    failed = true;
                    eprintln!("error: {}", clean(&text));
                }
                Event::Log { text, .. } => say(&clean(&text)),
                _ => {}
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

/// Runs a command to its end without a word; for subcommands that print something of their own.
pub fn conduct_quietly(workspace: &Arc<Workspace>, command: Command) -> Result<ExitCode> {
    conduct(workspace, command, Output::Quiet)
}

/// Runs phases to their end, telling progress. Ctrl-C stops at the next safe point; a second one ends at once.
pub fn conduct(workspace: &Arc<Workspace>, command: Command, output: Output) -> Result<ExitCode> {
    let (complete, _) = conduct_and_look(workspace, command, output)?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// The same, and the state at the end: what it waits for, what was logged. True: it came to its end.
pub fn conduct_and_look(workspace: &Arc<Workspace>, command: Command, output: Output) -> Result<(bool, Arc<Snapshot>)> {
    conduct_and_hear(workspace, command, output, &|_| ())
}

fn conduct_and_hear(
    workspace: &Arc<Workspace>,
    command: Command,
    output: Output,
    listen: &dyn Fn(&Event),
) -> Result<(bool, Arc<Snapshot>)> {
    let evaluates = matches!(&command, Command::Errand { errand: Errand::Evaluate { .. } | Errand::Probe { .. } });
    // What is off the path has nothing to do with the last validation.
    let aside = output == Output::Bars && matches!(&command, Command::Errand { .. });
    with_engine(workspace, Door::Open, async |handle| {
        let mut events = handle.events();
        let mut bars = bars::Bars::new();
        if let Some(note) = handle.link().filter(|_| output == Output::Bars).map(whose) {
            eprintln!("{note}");
        }
        let began = SystemClock.now();
        asked(&handle, command).await?;
        let complete = loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(Event::RunEnded { complete }) => break complete,
                    Ok(event) => {
                        listen(&event);
                        show(&mut bars, &event, output)?;
                    }
                    Err(RecvError::Lagged(dropped)) => show(&mut bars, &dropped_note(dropped), output)?,
                    Err(RecvError::Closed) => return Err(gone(&handle)),
                },
                () = handle.ended() => return Err(gone(&handle)),
                signal = tokio::signal::ctrl_c() => {
                    signal?;
                    if !bars.asked_to_stop() {
                        bail!("ended at once; run again to go on");
                    }
                    handle.send(Command::Stop);
                }
            }
        };
        bars.clear();
        let mut snapshot = settled(&handle).await?;
        // An engine that works here already has said more than this command's news.
        Arc::make_mut(&mut Arc::make_mut(&mut snapshot).log).retain(|line| line.at >= began);
        // An evaluation or a probe off the path prints its own record.
        if !evaluates && !aside {
            finish(&snapshot, complete, output)?;
        }
        Ok((complete, snapshot))
    })
}

/// What to know of an engine that is not this process's own.
fn whose(link: &Link) -> String {
    let pid = link.greeting.pid;
    let outdated = if link.outdated { "; it began before stratos.toml was changed" } else { "" };
    format!("the engine that works here (process {pid}) does it{outdated}")
}

fn dropped_note(dropped: u64) -> Event {
    Event::Log { level: Level::Warn, text: format!("{dropped} progress messages were dropped; the ledger has the facts") }
}

fn show(bars: &mut bars::Bars, event: &Event, output: Output) -> Result<()> {
    match output {
        Output::Bars => bars.show(event),
        Output::JsonLines => say(&serde_json::to_string(event)?),
        Output::Quiet => {
            if let Event::PhaseFailed { phase, reason, next } = event {
                bail!("{phase}: {reason}. {next}");
            }
        }
    }
    Ok(())
}

/// The end of a run: the validation table where there is one, or what stopped it.
fn finish(snapshot: &Snapshot, complete: bool, output: Output) -> Result<()> {
    match output {
        Output::Quiet => {}
        Output::JsonLines => {
            let end = serde_json::json!({"event": "run_ended", "complete": complete, "phases": snapshot.phases, "validate": *snapshot.validate});
            say(&serde_json::to_string(&end)?);
        }
        Output::Bars => {
            if complete && snapshot.validate.subject.is_some() {
                for line in bars::validation_lines(&snapshot.validate) {
                    say(&line);
                }
            }
        }
    }
    Ok(())
}

/// Runs an evaluation to its end, telling progress, and gives the name it is stored under; `None`: it did not come to its end.
pub fn evaluate(workspace: &Arc<Workspace>, command: Command, output: Output) -> Result<Option<Digest>> {
    let heard = std::cell::RefCell::new(None);
    let listen = |event: &Event| {
        if let Event::Evaluated { id, .. } = event {
            *heard.borrow_mut() = Some(id.clone());
        }
    };
    let (complete, _) = conduct_and_hear(workspace, command, output, &listen)?;
    Ok(heard.into_inner().filter(|_| complete))
}

/// What the engine said beside its progress.
pub fn news(snapshot: &Snapshot) {
    for line in snapshot.log.iter().filter(|line| line.level == Level::Info) {
        say(&clean(&line.text));
    }
}

/// The snapshot after a run whose command was taken: the end is told before it is published.
async fn settled(handle: &EngineHandle) -> Result<Arc<Snapshot>> {
    let idle = |s: &Arc<Snapshot>| s.job.as_ref().is_none_or(|job| !job.state.is_live());
    let mut snapshot = handle.snapshot();
    let settled = snapshot.wait_for(idle).await.map_err(|_| gone(handle))?;
    Ok(settled.clone())
}

/// Runs a planning errand to its end without a word; `None`: there was nothing to plan.
pub fn plan(workspace: &Arc<Workspace>, errand: Errand) -> Result<Option<Arc<PlanView>>> {
    with_engine(workspace, Door::Open, async |handle| {
        let mut events = handle.events();
        asked(&handle, Command::Errand { errand }).await?;
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(Event::RunEnded { .. }) => return Ok(settled(&handle).await?.planned.clone()),
                    Ok(Event::PhaseFailed { phase, reason, next }) => bail!("{phase}: {}. {}", clean(&reason), clean(&next)),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(gone(&handle)),
                },
                () = handle.ended() => return Err(gone(&handle)),
            }
        }
    })
}
