//! `deploy drift`: are live scores still like those that the release was judged on?

use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::{Result, eyre};

use crate::domain::one_line;
use crate::engine::{self, DriftLevel};
use crate::headless::{clean, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct DriftArgs {
    #[arg(long)]
    json: bool,
}

/// Exit 1 where something drifted.
pub fn drift(workspace: &Workspace, args: &DriftArgs) -> Result<ExitCode> {
    let report = engine::drift(workspace).map_err(|f| eyre!("{}. {}", clean(&f.reason), clean(&f.next)))?;
    let drift = &report.drift;
    let code = if drift.level == DriftLevel::Drifted { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if args.json {
        say(&serde_json::to_string(&report)?);
        return Ok(code);
    }
    say(&format!("model {}, the last {} live answers: {}", report.model, drift.n, drift.level.words()));
    for line in &drift.lines {
        say(&format!("  {:<16} {:<8} {}", line.level.words(), line.what, clean(&line.text)));
    }
    for (cause, n) in &drift.causes {
        say(&format!("  {n} × {}", clean(cause)));
    }
    for (cause, output) in &report.examples {
        say(&format!("  {}: {}", clean(cause), one_line(output, 200)));
    }
    Ok(code)
}
