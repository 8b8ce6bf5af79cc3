//! `deploy modelfile`: what Ollama is told of a release, and what is wrong with what it is told.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::{Result, eyre};
use serde_json::json;

use super::releases::find;
use crate::deploy::modelfile::Remark;
use crate::domain::one_line;
use crate::engine::{lint_modelfile, modelfile_of};
use crate::headless::{clean, say};
use crate::workspace::{Ledger, ReleaseRow, Workspace, atomic_write};

#[derive(Debug, Args)]
pub struct ModelfileArgs {
    /// A release, or a part of its name that only it has; the live one, else the newest
    release: Option<String>,
    /// Write it there instead of to the screen
    #[arg(long, conflicts_with = "lint")]
    out: Option<PathBuf>,
    /// Say what is wrong with this Modelfile, held against the release
    #[arg(long, value_name = "FILE")]
    lint: Option<PathBuf>,
    #[arg(long, requires = "lint")]
    json: bool,
}

pub fn modelfile(workspace: &Workspace, args: &ModelfileArgs) -> Result<ExitCode> {
    let release = meant(&workspace.ledger()?, args.release.as_deref())?;
    if let Some(file) = &args.lint {
        let remarks = lint_modelfile(workspace, release.as_ref(), file).map_err(|f| eyre!("{}. {}", f.reason, f.next))?;
        return Ok(report(&remarks, release.as_ref(), args));
    }
    let release = release.ok_or_else(|| eyre!("there is no release yet; run 'stratos deploy'"))?;
    let text = modelfile_of(workspace, &release).map_err(|f| eyre!("{}. {}", f.reason, f.next))?;
    match &args.out {
        Some(path) => {
            atomic_write(path, text.as_bytes())?;
            say(&format!("{}: {}", path.display(), clean(&release.name)));
        }
        None => text.trim_end().lines().for_each(|line| say(&clean(line))),
    }
    Ok(ExitCode::SUCCESS)
}

/// The release that is named; none named: the live one, else the newest.
fn meant(ledger: &Ledger, name: Option<&str>) -> Result<Option<ReleaseRow>> {
    if let Some(name) = name {
        return find(ledger, name).map(Some);
    }
    let all = ledger.releases()?;
    Ok(all.iter().find(|row| row.live).or(all.first()).cloned())
}

fn report(remarks: &[Remark], release: Option<&ReleaseRow>, args: &ModelfileArgs) -> ExitCode {
    let file = args.lint.as_deref().map(|f| one_line(&f.to_string_lossy(), 120)).unwrap_or_default();
    let stops = remarks.iter().filter(|r| r.stops()).count();
    if args.json {
        for remark in remarks {
            say(&json!({"remark": remark, "stops": remark.stops()}).to_string());
        }
        say(&json!({"file": file, "release": release.map(|r| &r.name), "remarks": remarks.len(), "stops": stops}).to_string());
    } else {
        for remark in remarks {
            let place = if remark.line == 0 { file.clone() } else { format!("{file}:{}", remark.line) };
            let kind = if remark.stops() { "error" } else { "warning" };
            let guard = if remark.guard.is_empty() { String::new() } else { format!("[{}]", remark.guard) };
            say(&clean(&format!("{place}: {kind}{guard}: {}", remark.what)));
            say(&clean(&format!("    {}. {}", remark.why, remark.remedy)));
        }
        let against = release.map_or_else(
            || "held against the recipe alone: there is no release yet".into(),
            |release| format!("held against {}", release.name),
        );
        say(&clean(&format!("{} remarks, {stops} of them stop a release; {against}", remarks.len())));
    }
    if stops == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
