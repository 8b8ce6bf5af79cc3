//! `stratos articles polarise`: plans new articles, or sends what is approved and takes in what came. The engine's errand
//! does the work.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use color_eyre::eyre::Result;

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
