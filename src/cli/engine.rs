//! The engine's process: `stratos engine run` is it, `status` looks at it, `stop` ends it.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use color_eyre::eyre::{Result, bail};

use crate::domain::{Clock as _, SystemClock};
use crate::engine::Command;
use crate::engine::remote::{self, Greeting, Kind};
use crate::headless::{self, say};
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub enum EngineAct {
    /// The engine itself, in the background of consoles; `stratos` starts it
    #[command(hide = true)]
    Run,
    /// Show whether an engine works in this workspace, and on what
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Pause its job
    Pause,
    /// Let a paused job go on
    Resume,
    /// Save the training that runs at its next step, and go on
    Checkpoint,
    /// End the engine: its job saves at the next checkpoint first
    Stop {
        /// At once, as a kill would; the next run goes on from the last checkpoint
        #[arg(long)]
        now: bool,
    },
}

pub fn engine(workspace: &Arc<Workspace>, act: &EngineAct) -> Result<ExitCode> {
    match act {
        EngineAct::Run => {
            headless::log_to_file(workspace)?;
            remote::run(workspace, Arc::new(SystemClock))?;
            Ok(ExitCode::SUCCESS)
        }
        EngineAct::Status { json } => {
            let found = remote::look(workspace)?;
            if *json {
                say(&serde_json::to_string(&found)?);
                return Ok(ExitCode::SUCCESS);
            }
            match found {
                Some(greeting) => status(&greeting).iter().for_each(|line| say(&headless::clean(line))),
                None => say("no engine works in this workspace"),
            }
            Ok(ExitCode::SUCCESS)
        }
        EngineAct::Pause => order(workspace, Command::Pause),
        EngineAct::Resume => order(workspace, Command::Resume),
        EngineAct::Checkpoint => order(workspace, Command::Checkpoint),
        EngineAct::Stop { now } => {
            match remote::end(workspace, *now)? {
                Some(greeting) => say(&format!("the engine (process {}) has ended", greeting.pid)),
                None => say("no engine works in this workspace"),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// For the engine that works here; an engine of this command's own would have nothing to obey it with.
fn order(workspace: &Arc<Workspace>, command: Command) -> Result<ExitCode> {
    if remote::look(workspace)?.is_none() {
        bail!("no engine works in this workspace; see 'stratos engine status'");
    }
    headless::tell(workspace, command)
}

fn status(greeting: &Greeting) -> Vec<String> {
    let kind = match greeting.kind {
        Kind::Background => "in the background",
        Kind::Command => "of a headless command",
    };
    let age = SystemClock.now().seconds_since(greeting.started).max(0.0) as u64;
    let build = if greeting.same_build() { "this build" } else { "another build than this" };
    vec![
        format!("engine {kind}, process {}, since {}:{:02}:{:02}", greeting.pid, age / 3600, age / 60 % 60, age % 60),
        format!("workspace {}", greeting.root),
        format!("StratOS {} ({build})", greeting.program()),
        format!("{}; front ends attached: {}", greeting.busy.as_deref().unwrap_or("idle"), greeting.clients),
    ]
}
