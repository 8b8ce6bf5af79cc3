//! `stratos report`: where the files go; what they say is made of the records by the engine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::Result;

use crate::engine;
use crate::headless::{self, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// 'last', 'last~1', or at least 8 digits of a run's digest
    #[arg(default_value = "last")]
    run: String,
    /// Folder for the two files; 'reports' in the workspace where none is given
    #[arg(long)]
    out: Option<PathBuf>,
}

pub fn report(workspace: &Workspace, args: &ReportArgs) -> Result<ExitCode> {
    for path in engine::write_report(workspace, &args.run, args.out.as_deref())? {
        say(&headless::clean(&path.display().to_string()));
    }
    Ok(ExitCode::SUCCESS)
}
