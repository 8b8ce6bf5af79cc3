//! Readers without a screen: list, show, import, and changing one by its draft.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use color_eyre::eyre::{Context as _, Result, bail, eyre};

use crate::domain::{ProfileId, lint, read_draft, write_draft};
use crate::engine::{Command, ProfileView};
use crate::headless::{self, say};
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub enum Profiles {
    /// List them; ● takes part
    List {
        #[arg(long)]
        json: bool,
    },
    /// One reader and the system prompt rendered for it
    Show { id: ProfileId },
    /// One reader as a text to edit; save it with 'profiles save'
    Draft { id: ProfileId },
    /// Store a reader from a draft (a file, or - for standard input): a new one, or another text of one that is there
    Save { file: PathBuf },
    /// Take a reader out; what was bought for it stays
    Remove { id: ProfileId },
    /// What is doubtful about the readers; exit 1 where there is anything
    Lint,
    /// Import a file of profiles (JSON lines or an array)
    Import {
        file: PathBuf,
        /// Just these ids, comma separated
        #[arg(long, value_delimiter = ',')]
        only: Vec<ProfileId>,
    },
}

pub fn profiles(workspace: &Arc<Workspace>, act: Profiles) -> Result<ExitCode> {
    match act {
        Profiles::Import { file, only } => headless::tell(workspace, Command::ImportProfiles { path: file, only }),
        Profiles::List { json } => list(workspace, json),
        Profiles::Show { id } => {
            say(&headless::clean(&one(workspace, &id)?.system_prompt));
            Ok(ExitCode::SUCCESS)
        }
        Profiles::Draft { id } => {
            say(&headless::clean(write_draft(&one(workspace, &id)?.profile).trim_end()));
            Ok(ExitCode::SUCCESS)
        }
        Profiles::Save { file } => {
            let profile = read_draft(&text(&file)?).map_err(|e| eyre!("{}: {e}", file.display()))?;
            headless::tell(workspace, Command::SaveProfile { profile: Box::new(profile) })
        }
        Profiles::Remove { id } => headless::tell(workspace, Command::RemoveProfile { id }),
        Profiles::Lint => remarks(workspace),
    }
}

fn one(workspace: &Arc<Workspace>, id: &ProfileId) -> Result<ProfileView> {
    let snapshot = headless::look(workspace)?;
    match snapshot.profiles.iter().find(|view| view.profile.id == *id) {
        Some(view) => Ok(view.clone()),
        None => bail!("there is no profile '{id}'; see 'stratos profiles list'"),
    }
}

fn text(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).wrap_err("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).wrap_err_with(|| format!("cannot read {}", file.display()))
}

fn list(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let snapshot = headless::look(workspace)?;
    if json {
        say(&serde_json::to_string(&*snapshot.profiles)?);
        return Ok(ExitCode::SUCCESS);
    }
    for view in snapshot.profiles.iter() {
        let mark = if view.selected { "●" } else { " " };
        let profile = &view.profile;
        say(&headless::clean(&format!("{mark} {:<28} {} in {}", profile.id, profile.role, profile.location)));
    }
    Ok(ExitCode::SUCCESS)
}

fn remarks(workspace: &Arc<Workspace>) -> Result<ExitCode> {
    let snapshot = headless::look(workspace)?;
    let mut any = false;
    for view in snapshot.profiles.iter().filter(|view| view.selected) {
        for remark in lint(&view.profile) {
            say(&headless::clean(&format!("{}: {remark}", view.profile.id)));
            any = true;
        }
    }
    Ok(if any { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
