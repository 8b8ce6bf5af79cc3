//! `score`: one article or a file of them, for one reader or all.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use color_eyre::eyre::{Result, bail};

use crate::domain::{Article, ProfileId, SourceType};
use crate::engine::DeskOptions;
use crate::headless::{self, Output, ScoreOrder};
use crate::workspace::{JsonRecords, Workspace};

#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Readers, comma separated
    #[arg(long, value_delimiter = ',', required_unless_present = "all_profiles")]
    profile: Vec<ProfileId>,
    /// Every reader that takes part
    #[arg(long, conflicts_with = "profile")]
    all_profiles: bool,
    /// Articles, one JSON object a line: title, summary (or content), source, `source_type`, url
    #[arg(long, conflicts_with_all = ["title", "summary", "source", "source_type"])]
    file: Option<PathBuf>,
    #[arg(long, required_unless_present = "file")]
    title: Option<String>,
    #[arg(long, default_value = "")]
    summary: String,
    #[arg(long, default_value = "")]
    source: String,
    /// official, news, blog or unknown
    #[arg(long, default_value = "unknown", value_parser = source_type)]
    source_type: SourceType,
    #[arg(long)]
    json: bool,
}

fn source_type(text: &str) -> Result<SourceType, String> {
    serde_json::from_value(text.to_lowercase().into()).map_err(|_| format!("'{text}' is not official, news, blog or unknown"))
}

pub fn score(workspace: &Arc<Workspace>, args: ScoreArgs) -> Result<ExitCode> {
    let output = Output::of(args.json);
    let articles = match &args.file {
        Some(file) => read(file)?,
        None => vec![article(&args)?],
    };
    if articles.is_empty() {
        bail!("{}: there is no article in it", args.file.unwrap_or_default().display());
    }
    let order = ScoreOrder { readers: args.profile, articles, options: DeskOptions::default() };
    headless::score(workspace, &order, output)
}

fn article(args: &ScoreArgs) -> Result<Article> {
    let row = serde_json::json!({
        "title": args.title, "summary": args.summary, "source": args.source, "source_type": args.source_type,
    });
    Ok(serde_json::from_value(row)?)
}

fn read(file: &Path) -> Result<Vec<Article>> {
    let rows = JsonRecords::<Article>::open(file)?;
    Ok(rows.map(|row| row.map(|(_, article)| article)).collect::<Result<_, _>>()?)
}
