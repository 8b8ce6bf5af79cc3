//! `stratos dataset export`: the dataset for other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::Result;

use crate::dataset::publish::Format;
use crate::engine;
use crate::headless::{self, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// messages and prompt-completion (TRL), sharegpt: JSON lines; parquet
    #[arg(long)]
    format: Format,
    /// A folder; files in it that this did not write are never replaced
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    json: bool,
}

pub fn export(workspace: &Workspace, args: &ExportArgs) -> Result<ExitCode> {
    let exported = engine::export_dataset(workspace, args.format, &args.out)?;
    if args.json {
        say(&serde_json::to_string(&exported)?);
        return Ok(ExitCode::SUCCESS);
    }
    for file in &exported.files {
        let rows = if file.rows > 0 { format!("{} rows, ", file.rows) } else { String::new() };
        let (name, digest) = (format!("{}/{}", exported.folder, file.name), file.digest.short());
        say(&headless::clean(&format!("{name}: {rows}{} bytes, sha256 {digest}…", file.bytes)));
    }
    Ok(ExitCode::SUCCESS)
}
