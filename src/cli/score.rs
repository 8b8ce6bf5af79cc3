//! `score`: articles of a file, of standard input, of a feed or of the command line, for one reader or all.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgGroup, Args};
use color_eyre::eyre::{Result, eyre};

use crate::domain::{ProfileId, SourceType};
use crate::engine::{ArticleSource, ArticlesRead, DeskOptions, read_articles};
use crate::headless::{self, Output, ScoreOrder, clean};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(
    group = ArgGroup::new("articles").required(true).args(["file", "input", "feed", "title"]),
    after_help = "Exit status: 0 all scored; 1 an answer had no score, or an error; 3 rows of the input were broken and skipped."
)]
pub struct ScoreArgs {
    /// Readers, comma separated
    #[arg(long, value_delimiter = ',', required_unless_present = "all_profiles")]
    profile: Vec<ProfileId>,
    /// Every reader that takes part
    #[arg(long, conflicts_with = "profile")]
    all_profiles: bool,
    /// Articles: JSON, JSON lines, CSV, TSV, Parquet, RSS or Atom, told by the content; - is standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// - for standard input
    #[arg(value_name = "-", value_parser = ["-"])]
    input: Option<String>,
    /// A feed of stratos.toml by its source's name or host, or any address
    #[arg(long, value_name = "NAME|URL")]
    feed: Option<String>,
    #[arg(long)]
    title: Option<String>,
    #[arg(long, default_value = "", requires = "title")]
    summary: String,
    #[arg(long, default_value = "", requires = "title")]
    source: String,
    /// official, news, blog or unknown
    #[arg(long, default_value = "unknown", value_parser = source_type, requires = "title")]
    source_type: SourceType,
    /// Ask anew; nothing is taken from the cache
    #[arg(long)]
    fresh: bool,
    /// Let the untuned base of student.base answer, whatever is released
    #[arg(long)]
    base: bool,
    /// Every answer by the think pass, whatever [scoring.cascade] says
    #[arg(long)]
    single_pass: bool,
    #[arg(long)]
    json: bool,
}

fn source_type(text: &str) -> Result<SourceType, String> {
    serde_json::from_value(text.to_lowercase().into()).map_err(|_| format!("'{text}' is not official, news, blog or unknown"))
}

pub fn score(workspace: &Arc<Workspace>, args: ScoreArgs) -> Result<ExitCode> {
    let output = Output::of(args.json);
    let ArticlesRead { articles, broken } = articles(workspace, &args)?;
    let options = DeskOptions { base: args.base, fresh: args.fresh, single_pass: args.single_pass };
    let order = ScoreOrder { readers: args.profile, articles, broken, options };
    headless::score(workspace, &order, output)
}

fn articles(workspace: &Workspace, args: &ScoreArgs) -> Result<ArticlesRead> {
    if let Some(title) = &args.title {
        let row = serde_json::json!({
            "title": title, "summary": args.summary, "source": args.source, "source_type": args.source_type,
        });
        return Ok(ArticlesRead { articles: vec![serde_json::from_value(row)?], broken: Vec::new() });
    }
    let source = match (&args.feed, &args.file) {
        (Some(feed), _) => ArticleSource::Feed(feed.clone()),
        (None, Some(file)) if file.as_os_str() != "-" => ArticleSource::File(file.clone()),
        _ => ArticleSource::Stdin,
    };
    read_articles(workspace, &source).map_err(|f| eyre!("{}. {}", clean(&f.reason), clean(&f.next)))
}
