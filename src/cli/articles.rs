//! `stratos articles import`: brings articles in, with progress. `stratos articles polarise`: plans new articles, or sends what is approved and takes in what came. The engine's errand
//! does the work.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use color_eyre::eyre::{Result, bail};

use super::distill::plan_lines;
use crate::domain::{Phase, ProfileId};
use crate::engine::{ApprovalRequest, Command, Consent, Errand, Snapshot, recorded_plan};
use crate::headless::{self, Output, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct PolariseArgs {
    /// Readers to write for, comma separated
    #[arg(long, value_delimiter = ',', required = true)]
    profiles: Vec<ProfileId>,
    /// Articles for each of them
    #[arg(long, default_value_t = 12)]
    count: usize,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Send what is approved and take in the articles; without it, only a plan is made
    #[arg(long)]
    send: bool,
}

/// Bytes of standard input, at most.
const MAX_STDIN: u64 = 2 << 30;

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A file, a folder of files, the address of a feed, or - for standard input
    from: String,
    /// At most so many, from the top
    #[arg(long)]
    limit: Option<usize>,
    /// JSON lines instead of bars
    #[arg(long)]
    json: bool,
}

pub fn import(workspace: &Arc<Workspace>, args: &ImportArgs) -> Result<ExitCode> {
    let ImportArgs { from, limit, json } = args;
    let errand = |from: String| Errand::ImportArticles { from, limit: *limit };
    if from != "-" {
        return conduct(workspace, errand(from.clone()), *json);
    }
    // The engine may be another process, which reads files and not this one's input.
    let path = workspace.state_dir("tmp")?.join(format!("stdin-{}", std::process::id()));
    let copied = spool(&path);
    let done = copied.and_then(|()| conduct(workspace, errand(path.to_string_lossy().into_owned()), *json));
    let _ = std::fs::remove_file(&path);
    done
}

/// Writes standard input to a file.
fn spool(path: &Path) -> Result<()> {
    let mut file = std::fs::File::create(path)?;
    let read = std::io::copy(&mut std::io::stdin().lock().take(MAX_STDIN + 1), &mut file)?;
    if read > MAX_STDIN {
        bail!("standard input is larger than {} GiB; import it as files", MAX_STDIN >> 30);
    }
    Ok(())
}

#[derive(Debug, Args)]
pub struct FetchArgs {
    /// JSON lines instead of bars
    #[arg(long)]
    json: bool,
}

pub fn fetch(workspace: &Arc<Workspace>, args: &FetchArgs) -> Result<ExitCode> {
    conduct(workspace, Errand::FetchFeeds, args.json)
}

/// Runs an errand with bars and says what it said.
fn conduct(workspace: &Arc<Workspace>, errand: Errand, json: bool) -> Result<ExitCode> {
    let (complete, end) = headless::conduct_and_look(workspace, Command::Errand { errand }, Output::of(json))?;
    if !json {
        headless::news(&end);
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

pub fn polarise(workspace: &Arc<Workspace>, args: &PolariseArgs) -> Result<ExitCode> {
    // What there is must be known before something new is asked for; reading it costs nothing.
    headless::conduct_quietly(workspace, Command::Run { to: Phase::Articles, consent: Consent::default() })?;
    let PolariseArgs { profiles, count, send, .. } = args;
    let command = Command::Errand { errand: Errand::Polarise { profiles: profiles.clone(), count: *count, send: *send } };
    if !send {
        let (_, snapshot) = headless::conduct_and_look(workspace, command, Output::Quiet)?;
        return preview(workspace, args, &snapshot);
    }
    let (complete, snapshot) = headless::conduct_and_look(workspace, command, Output::of(args.json))?;
    if !args.json {
        headless::news(&snapshot);
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// The plan that waits, with its cost and how to go on.
fn preview(workspace: &Workspace, args: &PolariseArgs, snapshot: &Snapshot) -> Result<ExitCode> {
    let plan = match &snapshot.approval {
        Some(ApprovalRequest::Spend { plan, .. }) => recorded_plan(workspace, plan)?,
        _ => None,
    };
    let Some(plan) = plan else {
        if args.json {
            say("null");
        } else {
            headless::news(snapshot);
        }
        return Ok(ExitCode::SUCCESS);
    };
    if args.json {
        say(&serde_json::to_string(&plan)?);
        return Ok(ExitCode::SUCCESS);
    }
    for line in plan_lines(&plan) {
        say(&headless::clean(&line));
    }
    let names: Vec<&str> = args.profiles.iter().map(ProfileId::as_str).collect();
    say(&format!("  then: stratos articles polarise --profiles {} --count {} --send", names.join(","), args.count));
    Ok(ExitCode::SUCCESS)
}
