//! Subcommands of the eight phases: each sends the command its tab would send.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use color_eyre::eyre::{Result, bail, eyre};

use super::PhaseArgs;
use super::articles::{FetchArgs, ImportArgs, PolariseArgs};
use crate::domain::{ArticleId, Digest, Phase, SourceType};
use crate::engine::{Answer, ArticleSort, Command, Consent, Library, Query};
use crate::headless::{self, Output, say};
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub enum Articles {
    /// List them; ● takes part
    List {
        #[arg(long)]
        json: bool,
        /// As on tab 2: `source:official band:critical profile:texas_nurse lang:en is:selected`, and words
        #[arg(long)]
        filter: Option<String>,
    },
    /// Import articles from a file, a folder or a feed: JSON, CSV, Parquet, RSS, Atom, told by their content
    Import(ImportArgs),
    /// Fetch every feed of stratos.toml
    Fetch(FetchArgs),
    /// Give articles another source type: official, news, blog or unknown
    Retype {
        #[arg(value_parser = source_type)]
        source_type: SourceType,
        #[arg(required = true)]
        articles: Vec<ArticleId>,
    },
    /// Have the teacher write new articles that concern some readers and nobody else
    Polarise(PolariseArgs),
}

/// Runs one phase and what it needs.
pub fn single(workspace: &Arc<Workspace>, phase: Phase, args: &PhaseArgs) -> Result<ExitCode> {
    let consent = Consent::default();
    let command = if args.again { Command::Rerun { phase } } else { Command::Run { to: phase, consent } };
    headless::conduct(workspace, command, Output::of(args.json))
}

pub fn articles(workspace: &Arc<Workspace>, act: Articles) -> Result<ExitCode> {
    match act {
        Articles::Polarise(args) => super::articles::polarise(workspace, &args),
        Articles::Fetch(args) => super::articles::fetch(workspace, &args),
        Articles::Import(args) => super::articles::import(workspace, &args),
        Articles::Retype { source_type, articles } => headless::tell(workspace, Command::SetSourceType { articles, source_type }),
        Articles::List { json, filter } => {
            list_articles(workspace, json, filter)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn source_type(text: &str) -> Result<SourceType, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("'{text}' is none of official, news, blog, unknown"))
}

/// As tab 2 shows them, or whole as JSON.
fn list_articles(workspace: &Arc<Workspace>, json: bool, filter: Option<String>) -> Result<()> {
    let mut library = Library::open(workspace.clone())?;
    let query = Query::FindArticles { filter: filter.unwrap_or_default(), sort: ArticleSort::Order, deep: true };
    let (Answer::ArticleIndex(index), Answer::Found(found)) =
        (ask(&mut library, &Query::ArticleIndex)?, ask(&mut library, &query)?)
    else {
        bail!("the library answered something else")
    };
    if let Some(remark) = &found.remark {
        bail!("{remark}");
    }
    let rows: Vec<usize> = found.rows.iter().map(|row| *row as usize).collect();
    if json {
        let wanted: HashSet<&str> = rows.iter().map(|row| index.id(*row)).collect();
        let mut articles = Vec::new();
        workspace.ledger()?.each_article(|article, _| {
            if wanted.contains(article.id.as_str()) {
                articles.push(article);
            }
        })?;
        say(&serde_json::to_string(&articles)?);
        return Ok(());
    }
    for row in rows {
        let mark = if index.takes_part(row) { "●" } else { " " };
        say(&headless::clean(&format!("{mark} {:<14} {:<8} {}", index.id(row), index.kind(row), index.title(row))));
    }
    Ok(())
}

fn ask(library: &mut Library, query: &Query) -> Result<Answer> {
    library.answer(query).map_err(|why| eyre!(why))
}

/// Whether `prefix` names `digest`: at least eight digits, so that a typo does not approve something else.
pub fn names(prefix: &str, digest: &Digest) -> bool {
    prefix.len() >= 8 && digest.as_str().starts_with(prefix)
}
