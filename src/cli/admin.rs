//! Subcommands about the workspace itself: init, status, metrics, guards.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use color_eyre::eyre::{Result, bail};

use crate::domain::{Bands, Phase, Recipe};
use crate::engine::{Command, Snapshot};
use crate::evaluate;
use crate::guards::{Severity, registry};
use crate::headless::{self, say};
use crate::workspace::{Config, Workspace, shipped_recipes};

#[derive(Debug, Subcommand)]
pub enum Guards {
    /// Every guard, its moment, and what it last saw here
    List {
        #[arg(long)]
        json: bool,
    },
    /// Override a failed stop guard for what it looked at
    Override {
        guard: String,
        /// The phase it stopped
        #[arg(long)]
        phase: Phase,
        /// Kept in the ledger
        #[arg(long)]
        reason: String,
    },
}

pub fn init(dir: &Path, imported_only: bool, recipe: Option<String>) -> Result<ExitCode> {
    let mut config = Config::default();
    if let Some(name) = recipe {
        if crate::workspace::recipe_text(dir, &name)?.is_none() {
            bail!(
                "recipe '{}' is neither in {}/data/recipes/ nor shipped; shipped are {}",
                headless::clean(&name),
                dir.display(),
                shipped_recipes().join(", ")
            );
        }
        config.recipe = name;
    }
    if imported_only {
        config.select.origins = vec!["imported".into()];
    }
    Workspace::init(dir, &config)?;
    say(&format!("{} is a workspace now; open it with: stratos --workspace {}", dir.display(), dir.display()));
    Ok(ExitCode::SUCCESS)
}

pub fn status(workspace: &Arc<Workspace>, json: bool) -> Result<ExitCode> {
    let snapshot = headless::look(workspace)?;
    if json {
        say(&serde_json::to_string(&serde_json::json!({"workspace": snapshot.workspace, "phases": snapshot.phases}))?);
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "{} · recipe {} · teacher {} · student {}",
        snapshot.workspace.root, snapshot.workspace.recipe, snapshot.workspace.teacher, snapshot.workspace.student
    ));
    for view in &snapshot.phases {
        say(&format!("{} {:<9} {:<14} {}", view.state.glyph(), view.phase.title(), view.state.label(), view.headline));
    }
    snapshot.dataset.labels_and_seal().iter().for_each(|line| say(&headless::clean(line)));
    Ok(ExitCode::SUCCESS)
}

pub fn metrics(root: &Path, file: &Path, recipe: &str, edges: Option<&[f64]>, json: bool) -> Result<ExitCode> {
    let recipe = find_recipe(root, recipe)?;
    let bands = match edges {
        Some(edges) => Bands::from_edges(edges)?,
        None => recipe.bands.clone(),
    };
    let report = evaluate::metrics_of_file(file, &bands, &recipe.scale)?;
    if json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        report.lines().iter().for_each(|line| say(line));
    }
    Ok(ExitCode::SUCCESS)
}

/// A recipe by file, or by name from the workspace or the binary; `stratos metrics` needs no workspace.
fn find_recipe(root: &Path, name: &str) -> Result<Recipe> {
    let path = PathBuf::from(name);
    let text = if path.extension().is_some_and(|e| e == "toml") {
        std::fs::read_to_string(&path).map_err(|e| color_eyre::eyre::eyre!("cannot read recipe {name}: {e}"))?
    } else {
        match crate::workspace::recipe_text(root, name)? {
            Some(text) => text,
            None => bail!("recipe '{name}' is neither in data/recipes/ nor shipped; give a name or a .toml file"),
        }
    };
    Recipe::from_toml(&text).map_err(|e| color_eyre::eyre::eyre!("recipe {name}: {e}"))
}

pub fn guards(workspace: &Arc<Workspace>, act: Guards) -> Result<ExitCode> {
    match act {
        Guards::List { json } => {
            let snapshot = headless::look(workspace)?;
            if json {
                say(&serde_json::to_string(&*snapshot.findings)?);
            } else {
                list(&snapshot);
            }
            Ok(ExitCode::SUCCESS)
        }
        Guards::Override { guard, phase, reason } => {
            let snapshot = headless::look(workspace)?;
            let found = snapshot.findings.iter().find(|f| f.finding.guard == guard && f.phase == phase && f.finding.failed());
            let Some(found) = found else { bail!("guard {guard} did not fail in {phase}; see 'stratos guards list'") };
            headless::tell(workspace, Command::Override { guard, subject: found.subject.clone(), reason })
        }
    }
}

fn list(snapshot: &Snapshot) {
    for guard in registry() {
        let stop = if guard.severity == Severity::Stop { "stop" } else { "warn" };
        say(&format!("{:<4} {stop}  {:?}: prevents {}", guard.id, guard.moment, guard.prevents));
        for found in snapshot.findings.iter().filter(|f| f.finding.guard == guard.id) {
            let mark = if found.finding.failed() { "FAILED" } else { "passed" };
            say(&format!("     {mark} in {}: {}", found.phase, found.finding.saw));
            if found.finding.failed() {
                say(&format!(
                    "     → {}",
                    found.overridden.as_ref().map_or(found.finding.remedy.clone(), |r| format!("overridden: {r}"))
                ));
            }
        }
    }
}
