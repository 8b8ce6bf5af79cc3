//! `stratos dataset sampler`: what the next run's sampler reads, before it starts.

use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::Result;

use crate::engine;
use crate::headless::{self, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct SamplerArgs {
    #[arg(long)]
    json: bool,
}

pub fn sampler(workspace: &Workspace, args: &SamplerArgs) -> Result<ExitCode> {
    let report = engine::sampler_report(workspace)?;
    if args.json {
        say(&serde_json::to_string(&report)?);
    } else {
        report.lines().iter().for_each(|line| say(&headless::clean(line)));
    }
    Ok(if report.pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
