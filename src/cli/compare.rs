//! `stratos distill compare`: the flags and the printing; the comparison is the engine's.

use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::Result;

use crate::engine::{self, MOST_PAIRS};
use crate::headless::{self, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A teacher of stratos.toml ("main" is [teacher], others by their name), or a JSONL file of
    /// `{"article_id","profile_id","score","reason","annotator"}`
    a: String,
    /// The same
    b: String,
    /// At most so many common pairs, drawn by A's bands; 300 are the most
    #[arg(long, default_value_t = MOST_PAIRS)]
    sample: usize,
    #[arg(long)]
    json: bool,
}

pub fn compare(workspace: &Workspace, args: &CompareArgs) -> Result<ExitCode> {
    let comparison = engine::compare(workspace, &args.a, &args.b, args.sample)?;
    if args.json {
        say(&serde_json::to_string(&comparison)?);
    } else {
        comparison.lines().iter().for_each(|line| say(&headless::clean(line)));
    }
    Ok(ExitCode::SUCCESS)
}
