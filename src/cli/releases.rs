//! `deploy list|gate|switch|rollback|clear`: releases, and which of them is served. Each sends what tab 8 would send.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use color_eyre::eyre::{Result, bail, eyre};
use serde_json::json;

use crate::deploy::{Manifest, Parity};
use crate::engine::{Command, Errand, GateStanding, StageLine, clearable, find_release};
use crate::headless::{self, Output, clean, say};
use crate::workspace::{Ledger, ReleaseRow, Workspace};

#[derive(Debug, Subcommand)]
pub enum Releases {
    /// List releases; with a name, what its gate saw
    List {
        /// A release, or a part of its name that only it has
        name: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Hold a release against the trained student once more
    Gate {
        /// The newest one where none is named
        name: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Serve a release that passed its gate
    Switch {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Serve the release again that was served before
    Rollback {
        #[arg(long)]
        json: bool,
    },
    /// Say which old releases would be deleted; with --yes, delete them
    Clear {
        /// So many stay beside the live one; deploy.keep of stratos.toml where not given
        #[arg(long)]
        keep: Option<usize>,
        #[arg(long)]
        yes: bool,
        #[arg(long)]
        json: bool,
    },
}

pub fn releases(workspace: &Arc<Workspace>, act: &Releases) -> Result<ExitCode> {
    let ledger = workspace.ledger()?;
    match act {
        Releases::List { name: None, json } => list(workspace, &ledger, *json),
        Releases::List { name: Some(name), json } => show(&ledger, &find(&ledger, name)?, *json),
        Releases::Gate { name, json } => {
            let named = name.as_deref().map(|name| find(&ledger, name)).transpose()?;
            let Some(row) = named.or_else(|| ledger.releases().ok()?.into_iter().next()) else {
                bail!("nothing is released yet; 'stratos deploy' makes a release")
            };
            let ended = errand(workspace, Errand::GateRelease { release: row.name.clone() }, *json)?;
            show(&ledger, &row, *json)?;
            Ok(ended)
        }
        Releases::Switch { name, json } => {
            let release = Some(find(&ledger, name)?.name);
            errand(workspace, Errand::GoLive { release }, *json)
        }
        Releases::Rollback { json } => errand(workspace, Errand::GoLive { release: None }, *json),
        Releases::Clear { keep, yes, json } => clear(workspace, &ledger, *keep, *yes, *json),
    }
}

fn errand(workspace: &Arc<Workspace>, errand: Errand, json: bool) -> Result<ExitCode> {
    headless::conduct(workspace, Command::Errand { errand }, Output::of(json))
}

pub(super) fn find(ledger: &Ledger, name: &str) -> Result<ReleaseRow> {
    find_release(ledger, name).map_err(|failure| eyre!("{}. {}", failure.reason, failure.next))
}

fn gate_of(ledger: &Ledger, row: &ReleaseRow) -> Result<Option<Parity>> {
    Ok(ledger.gate(&row.name)?.and_then(|gate| serde_json::from_str(&gate.body).ok()))
}

fn list(workspace: &Workspace, ledger: &Ledger, json: bool) -> Result<ExitCode> {
    let (all, back) = (ledger.releases()?, ledger.roll_back_to()?);
    if json {
        for row in &all {
            let gate = gate_of(ledger, row)?;
            let manifest = Manifest::read(&workspace.root().join(&row.path)).ok();
            say(&json!({
                "name": row.name, "path": row.path, "model": row.model, "live": row.live, "back": back.as_ref() == Some(&row.name),
                "created": row.at, "verdict": row.verdict, "gate": gate.as_ref().map(Parity::passed), "manifest": manifest,
            })
            .to_string());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        say("nothing is released yet; 'stratos deploy' makes a release");
    }
    for row in &all {
        let mark = match (row.live, back.as_ref() == Some(&row.name)) {
            (true, _) => "● live",
            (_, true) => "‹ back",
            _ => "○",
        };
        let gate = gate_of(ledger, row)?.map_or_else(|| "no gate".to_owned(), |gate| gate.headline());
        say(&clean(&format!("{mark:<7} {:<44} {gate} · {}", row.name, row.verdict)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What one release's gate saw.
fn show(ledger: &Ledger, row: &ReleaseRow, json: bool) -> Result<ExitCode> {
    let Some(gate) = gate_of(ledger, row)? else {
        bail!("{} has not been through a gate; 'stratos deploy gate {}'", row.name, row.name)
    };
    if json {
        say(&serde_json::to_string(&gate)?);
        return Ok(ExitCode::SUCCESS);
    }
    say(&clean(&format!("{}: {}", row.name, gate.headline())));
    say(&format!(
        "{:<10} {:<10} {:>8} {:>14} {:>20} {:>20} {:>6} {:>7}",
        "stage", "", "Δ score", "next token", "MAE (95 %)", "ρ (95 %)", "unread", "s/row"
    ));
    for line in &gate.lines {
        say(&clean(&row_of(line)));
    }
    for (guard, saw) in &gate.stops {
        say(&clean(&format!("{} {guard}: {saw}", if gate.overridden { "overridden" } else { "stops" })));
    }
    for line in &gate.lines {
        for (guard, why) in &line.reasons {
            say(&clean(&format!("{} {}: {why}", if guard.is_empty() { "·" } else { guard }, line.stage)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row_of(line: &StageLine) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "—".into(), |v| format!("{v:.2}"));
    let with = |value, within: Option<(f64, f64)>| match within {
        Some((low, high)) => format!("{} ({low:.2}…{high:.2})", number(value)),
        None => number(value),
    };
    let (same, of) = line.next;
    let next = if of == 0 { "—".into() } else { format!("{:.3} (n {of})", same as f64 / of as f64) };
    let asked = line.standing != GateStanding::NotAsked && line.n > 0;
    let pace = if asked { format!("{:.2}", line.seconds / line.n as f64) } else { "—".into() };
    let runtime = line.runtime.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "{:<10} {:<10} {:>8} {next:>14} {:>20} {:>20} {:>6} {pace:>7}  {runtime}",
        line.stage,
        line.standing.label(),
        number(line.delta.map(|(mean, ..)| mean)),
        with(line.mae, line.mae_interval),
        with(line.rho, line.rho_interval),
        if asked { line.unread.to_string() } else { "—".into() },
    )
}

fn clear(workspace: &Arc<Workspace>, ledger: &Ledger, keep: Option<usize>, yes: bool, json: bool) -> Result<ExitCode> {
    let keep = keep.unwrap_or(workspace.config.deploy.keep);
    let names = clearable(ledger, keep)?;
    if names.is_empty() {
        say(&format!("nothing to delete: {keep} stay beside the live release"));
        return Ok(ExitCode::SUCCESS);
    }
    if yes {
        return errand(workspace, Errand::ClearReleases { releases: names }, json);
    }
    for row in ledger.releases()?.iter().filter(|row| names.contains(&row.name)) {
        let bytes = crate::deploy::folder_bytes(&workspace.root().join(&row.path));
        say(&clean(&format!("{:<44} {:>8.1} MB", row.name, bytes as f64 / 1e6)));
    }
    say("these would be deleted; 'stratos deploy clear --yes' does it");
    Ok(ExitCode::SUCCESS)
}
