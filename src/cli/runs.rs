//! `stratos compare` and `stratos validate probes`: the flags and the printing; the work is the engine's.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use color_eyre::eyre::Result;

use crate::engine::{self, Command, Errand};
use crate::headless::{self, Output, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct CompareRunsArgs {
    /// Evaluation runs, the first against each of the others: 'last', 'last~1', or at least 8 digits of their digest
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<String>,
    /// Compare although the runs were answered by different runtimes; the comparison says so
    #[arg(long)]
    across_runtimes: bool,
    #[arg(long)]
    json: bool,
}

pub fn compare(workspace: &Workspace, args: &CompareRunsArgs) -> Result<ExitCode> {
    let comparison = engine::compare_stored(workspace, &args.runs, args.across_runtimes)?;
    if args.json {
        say(&serde_json::to_string(&comparison)?);
    } else {
        comparison.lines().iter().for_each(|line| say(&headless::clean(line)));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub struct ProbesArgs {
    /// Rows of the newest evaluation, drawn by band
    #[arg(long, default_value_t = 50)]
    n: usize,
    /// JSON lines instead of progress bars
    #[arg(long)]
    json: bool,
}

pub fn probes(workspace: &Arc<Workspace>, args: &ProbesArgs) -> Result<ExitCode> {
    let errand = Command::Errand { errand: Errand::Probe { n: args.n } };
    let (complete, end) = headless::conduct_and_look(workspace, errand, Output::of(args.json))?;
    let Some(probes) = engine::last_probes(workspace)?.filter(|_| complete) else { return Ok(ExitCode::from(2)) };
    if args.json {
        say(&serde_json::to_string(&serde_json::json!({"event": "probes", "probes": probes}))?);
    } else {
        probes.lines().iter().for_each(|line| say(&headless::clean(line)));
        headless::news(&end);
    }
    Ok(ExitCode::SUCCESS)
}
