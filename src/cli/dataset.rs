//! Subcommands of the dataset: build, statistics, labels, seal. Each sends the command its tab would send.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use color_eyre::eyre::{Result, bail};

use super::PhaseArgs;
use super::phases::{names, single};
use crate::domain::{ArticleId, Phase, ProfileId, Trust, one_line};
use crate::engine::{self, Answer, Command, Errand, Library, Query, SealWish};
use crate::headless::{self, Output, say};
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// Build it
    Build(PhaseArgs),
    /// The statistics report
    Stats {
        #[arg(long)]
        json: bool,
    },
    /// What the next run's sampler reads: expected, raw and sampled mix of the bands, and the verdict
    Sampler(super::sampler::SamplerArgs),
    /// Write the dataset for other programs, with a dataset card
    Export(super::export::ExportArgs),
    /// Say that the statistics were read, by the first digits of the dataset's digest
    Acknowledge { dataset: String },
    /// What the loss sees of one example: trained tokens stand between brackets
    Mask { example: String },
    /// Import files of labels: score rows, chat rows, earlier training files; each told by its content
    Import(ImportArgs),
    /// Imported files, how many of their rows are kept, and what the guards say of them
    Sources {
        #[arg(long)]
        json: bool,
    },
    /// What is left out of the dataset, and why
    Quarantine {
        #[arg(long)]
        json: bool,
    },
    /// The sealed hold-out: make it, grow it, show it, open it
    Seal(SealArgs),
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Who judged the rows that do not say; else the file's name
    #[arg(long)]
    annotator: Option<String>,
    /// low, medium or high
    #[arg(long, default_value_t = Trust::Medium)]
    trust: Trust,
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct SealArgs {
    /// Share of the article clusters, and of the rows of every annotator, reader and band
    #[arg(long, default_value_t = 0.2)]
    share: f64,
    /// Hold out so many readers whole, drawn by the seed
    #[arg(long, default_value_t = 0)]
    profiles: usize,
    /// Hold out this reader whole; may be given several times
    #[arg(long = "profile")]
    profile: Vec<ProfileId>,
    /// Another seed than the workspace's
    #[arg(long)]
    seed: Option<u64>,
    /// Why it is made though something was trained already; kept with the seal
    #[arg(long, default_value = "")]
    reason: String,
    /// Seal the clusters of these articles too
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["add_copies", "restore", "show", "open"])]
    add: Vec<ArticleId>,
    /// Seal every article that is a copy of a sealed one
    #[arg(long, conflicts_with_all = ["restore", "show", "open"])]
    add_copies: bool,
    /// Write a changed or lost seal again, as the ledger has it
    #[arg(long, conflicts_with_all = ["show", "open"])]
    restore: bool,
    /// Show the seal and who looked at it
    #[arg(long, conflicts_with = "open")]
    show: bool,
    /// Look at the sealed rows for this reason and write them to --to; every look is counted
    #[arg(long, value_name = "WHY", requires = "to")]
    open: Option<String>,
    /// Where the opened rows go, as JSON lines
    #[arg(long, requires = "open")]
    to: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

pub fn dataset(workspace: &Arc<Workspace>, act: Dataset) -> Result<ExitCode> {
    match act {
        Dataset::Build(args) => single(workspace, Phase::Dataset, &args),
        Dataset::Stats { json } => {
            let snapshot = headless::look(workspace)?;
            let Some(digest) = &snapshot.dataset.digest else { bail!("there is no dataset yet; run 'stratos dataset build'") };
            if json {
                say(&serde_json::to_string(&*snapshot.dataset)?);
                return Ok(ExitCode::SUCCESS);
            }
            snapshot.dataset.report.iter().for_each(|line| say(&headless::clean(line)));
            snapshot.dataset.labels_and_seal().iter().for_each(|line| say(&headless::clean(line)));
            if !snapshot.dataset.acknowledged {
                say(&format!("acknowledge with: stratos dataset acknowledge {}", digest.short()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Dataset::Sampler(args) => super::sampler::sampler(workspace, &args),
        Dataset::Export(args) => super::export::export(workspace, &args),
        Dataset::Acknowledge { dataset } => {
            let snapshot = headless::look(workspace)?;
            let Some(digest) = snapshot.dataset.digest.clone().filter(|d| names(&dataset, d)) else {
                bail!("'{dataset}' is not the current dataset; see 'stratos dataset stats'")
            };
            headless::tell(workspace, Command::Acknowledge { dataset: digest })
        }
        Dataset::Mask { example } => {
            let asked = Library::open(workspace.clone())?.answer(&Query::Mask(example));
            let mask = match asked {
                Ok(Answer::Mask(mask)) => mask,
                Ok(_) => bail!("the library answered another question; please report it"),
                Err(why) => bail!(why),
            };
            let marked = |(text, trained): &(String, bool)| if *trained { format!("[{text}]") } else { text.clone() };
            say(&headless::clean(&mask.tokens.iter().map(marked).collect::<String>()));
            Ok(ExitCode::SUCCESS)
        }
        Dataset::Import(args) => import(workspace, args),
        Dataset::Sources { json } => sources(workspace, json),
        Dataset::Quarantine { json } => quarantine(workspace, json),
        Dataset::Seal(args) => seal(workspace, args),
    }
}

/// Runs an errand and says what it said.
fn errand(workspace: &Arc<Workspace>, errand: Errand, json: bool) -> Result<ExitCode> {
    let (complete, end) = headless::conduct_and_look(workspace, Command::Errand { errand }, Output::of(json))?;
    if !json {
        headless::news(&end);
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn import(workspace: &Arc<Workspace>, args: ImportArgs) -> Result<ExitCode> {
    let ImportArgs { files, annotator, trust, json } = args;
    errand(workspace, Errand::ImportLabels { files, annotator, trust }, json)
}

fn sources(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let sources = engine::label_sources(workspace)?;
    if json {
        say(&serde_json::to_string(&sources)?);
        return Ok(ExitCode::SUCCESS);
    }
    if sources.is_empty() {
        say("no labels were imported; import some with 'stratos dataset import FILE'");
    }
    for line in sources.iter().flat_map(engine::LabelSourceView::lines) {
        say(&headless::clean(&line));
    }
    Ok(ExitCode::SUCCESS)
}

fn quarantine(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let rows = engine::quarantined(workspace)?;
    if json {
        rows.iter().try_for_each(|row| serde_json::to_string(row).map(|line| say(&line)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *by_reason.entry(&row.reason).or_default() += 1;
        let place = row.file.as_ref().map_or_else(String::new, |f| format!("{}:{}", f.file, f.line));
        let score = row.score.map_or_else(|| "—".to_owned(), |s| format!("{s:.1}"));
        let (article, profile) = (one_line(&row.article, 40), one_line(&row.profile, 40));
        say(&headless::clean(&format!("{:<34} {score:>5}  {article} × {profile}  {}  {place}", row.reason, row.annotator)));
    }
    let mut counts: Vec<(&str, usize)> = by_reason.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let counts: Vec<String> = counts.into_iter().map(|(why, n)| format!("{why} {n}")).collect();
    say(&headless::clean(&format!(
        "{} left out: {}",
        rows.len(),
        if counts.is_empty() { "none".into() } else { counts.join(", ") }
    )));
    Ok(ExitCode::SUCCESS)
}

fn seal(workspace: &Arc<Workspace>, args: SealArgs) -> Result<ExitCode> {
    if args.show {
        return show_seal(workspace, args.json);
    }
    if let (Some(why), Some(to)) = (args.open, args.to) {
        return errand(workspace, Errand::OpenSeal { why, to }, args.json);
    }
    let wish = if args.restore {
        SealWish::Restore
    } else if args.add_copies {
        SealWish::AddCopies
    } else if args.add.is_empty() {
        let SealArgs { share, profiles: readers, profile: named, seed, reason, .. } = args;
        SealWish::New { share, readers, named, seed, reason }
    } else {
        SealWish::Add { articles: args.add, reason: args.reason }
    };
    errand(workspace, Errand::Seal { wish }, args.json)
}

fn show_seal(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let view = engine::seal_view(workspace)?;
    if json {
        say(&serde_json::to_string(&view)?);
        return Ok(ExitCode::SUCCESS);
    }
    match view {
        None => say("nothing is sealed; 'stratos dataset seal' keeps rows that no run may train on"),
        Some(view) => view.lines().iter().for_each(|line| say(&headless::clean(line))),
    }
    Ok(ExitCode::SUCCESS)
}
