//! Subcommands of the eight phases: each sends the command its tab would send.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use color_eyre::eyre::{Result, bail};

use super::PhaseArgs;
use super::articles::PolariseArgs;
use crate::domain::{Digest, Phase, ProfileId};
use crate::engine::{Command, Consent};
use crate::headless::{self, Output, say};
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub enum Profiles {
    List {
        #[arg(long)]
        json: bool,
    },
    /// One reader and the system prompt rendered for it
    Show { id: ProfileId },
    /// Import a file of profiles (JSON lines or an array)
    Import {
        file: PathBuf,
        /// Just these ids, comma separated
        #[arg(long, value_delimiter = ',')]
        only: Vec<ProfileId>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Articles {
    List {
        #[arg(long)]
        json: bool,
    },
    /// Import a file of articles (JSON lines or an array)
    Import {
        file: PathBuf,
        /// At most so many, from the top
        #[arg(long)]
        limit: Option<usize>,
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

pub fn profiles(workspace: &Arc<Workspace>, act: Profiles) -> Result<ExitCode> {
    match act {
        Profiles::Import { file, only } => headless::tell(workspace, Command::ImportProfiles { path: file, only }),
        Profiles::List { json } => {
            let snapshot = headless::look(workspace)?;
            if json {
                say(&serde_json::to_string(&*snapshot.profiles)?);
            } else {
                for view in snapshot.profiles.iter() {
                    let mark = if view.selected { "●" } else { " " };
                    say(&headless::clean(&format!(
                        "{mark} {:<28} {} in {}",
                        view.profile.id, view.profile.role, view.profile.location
                    )));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Profiles::Show { id } => {
            let snapshot = headless::look(workspace)?;
            let Some(view) = snapshot.profiles.iter().find(|v| v.profile.id == id) else {
                bail!("there is no profile '{id}'; see 'stratos profiles list'")
            };
            say(&headless::clean(&view.system_prompt));
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub fn articles(workspace: &Arc<Workspace>, act: Articles) -> Result<ExitCode> {
    match act {
        Articles::Polarise(args) => super::articles::polarise(workspace, &args),
        Articles::Import { file, limit } => headless::tell(workspace, Command::ImportArticles { path: file, limit }),
        Articles::List { json } => {
            let snapshot = headless::look(workspace)?;
            if json {
                say(&serde_json::to_string(&snapshot.articles.rows)?);
            } else {
                for (index, article) in snapshot.articles.rows.iter().enumerate() {
                    let mark = if index < snapshot.articles.selected { "●" } else { " " };
                    say(&headless::clean(&format!("{mark} {:<14} {:<8} {}", article.id, article.source_type, article.title)));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Whether `prefix` names `digest`: at least eight digits, so that a typo does not approve something else.
pub fn names(prefix: &str, digest: &Digest) -> bool {
    prefix.len() >= 8 && digest.as_str().starts_with(prefix)
}
