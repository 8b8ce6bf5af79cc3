//! `deploy`: the phase itself, and what can be done with a student outside any workspace.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use color_eyre::eyre::{Result, eyre};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::PhaseArgs;
use super::phases;
use crate::deploy::{self, Form, Provenance, Told};
use crate::domain::Phase;
use crate::headless::{clean, say};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeployArgs {
    #[command(flatten)]
    phase: PhaseArgs,
    #[command(subcommand)]
    act: Option<DeployAct>,
}

#[derive(Debug, Subcommand)]
enum DeployAct {
    /// Write a trained student in the forms that others load; needs no workspace
    Export(ExportArgs),
    /// Write a release's Modelfile for Ollama, or say what is wrong with any; exit 1 where it must not go live
    Modelfile(super::modelfile::ModelfileArgs),
    /// Whether live scores are still like those that the release was judged on; exit 1 where they drifted
    Drift(super::drift::DriftArgs),
    /// What the two-pass cascade costs and gives on judged rows, for a grid of thresholds
    Frontier(super::frontier::FrontierArgs),
    #[command(flatten)]
    Releases(super::releases::Releases),
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// A trained student's folder, an adapter's folder, or a .gguf file
    #[arg(long)]
    from: PathBuf,
    /// The folder to write into
    #[arg(long)]
    to: PathBuf,
    /// adapter, merged, f16, bf16, `q8_0` or `q4_k_m`; several are fine
    #[arg(long = "form", required = true, value_delimiter = ',')]
    forms: Vec<Form>,
    /// What the export calls itself; the folder's name otherwise
    #[arg(long)]
    name: Option<String>,
    /// Only say what it would take
    #[arg(long)]
    forecast: bool,
    #[arg(long)]
    json: bool,
}

pub fn deploy(root: &Path, args: &DeployArgs) -> Result<ExitCode> {
    match &args.act {
        None => phases::single(&super::open(root)?, Phase::Deploy, &args.phase),
        Some(DeployAct::Export(args)) => export(args),
        Some(DeployAct::Modelfile(args)) => super::modelfile::modelfile(&*super::open(root)?, args),
        Some(DeployAct::Drift(args)) => super::drift::drift(&*super::open(root)?, args),
        Some(DeployAct::Frontier(args)) => super::frontier::frontier(&super::open(root)?, args),
        Some(DeployAct::Releases(act)) => super::releases::releases(&super::open(root)?, act),
    }
}

fn export(args: &ExportArgs) -> Result<ExitCode> {
    let forecast = deploy::forecast(&args.from, &args.forms, &args.to)?;
    if args.json {
        say(&json!({"forecast": forecast}).to_string());
    } else {
        say(&clean(&in_words(&forecast)));
    }
    if args.forecast {
        forecast.check()?;
        return Ok(ExitCode::SUCCESS);
    }
    let named = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(|| named(&args.from.canonicalize().unwrap_or(args.from.clone()))).unwrap_or_default();
    let about = Provenance { name, ..Provenance::default() };
    // Hidden where nobody looks.
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(forecast.bytes) };
    bar.set_style(ProgressStyle::with_template("{bar:24} {percent:>3} %  {wide_msg}")?);
    let mut told = |told: &Told| {
        if args.json {
            say(&json!({"form": told.form, "tensor": told.tensor, "done": told.done, "of": told.of}).to_string());
        }
        bar.set_length(told.of);
        bar.set_position(told.done);
        bar.set_message(clean(&format!("{}  {}", told.form, told.tensor)));
        ControlFlow::Continue(())
    };
    let pieces = deploy::export(&args.from, &args.forms, &about, &args.to, &mut told)?;
    bar.finish_and_clear();
    let pieces = pieces.ok_or_else(|| eyre!("it was stopped"))?;
    for piece in pieces {
        if args.json {
            say(&serde_json::to_string(&piece)?);
        } else {
            let (form, path) = (piece.form, args.to.join(&piece.path));
            say(&clean(&format!("{form:<8} {:>8} MB  {}  {}", piece.bytes / 1_000_000, piece.digest.short(), path.display())));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(forecast: &deploy::Forecast) -> String {
    let mega = |bytes: u64| bytes.div_ceil(1_000_000);
    let forms: Vec<String> = forecast.forms.iter().map(|f| format!("{} {} MB", f.form, mega(f.bytes))).collect();
    let free = forecast.free.map(|free| format!(" of {} MB free", mega(free))).unwrap_or_default();
    format!(
        "it will take {} MB{free} ({}), and {} MB of memory at most",
        mega(forecast.bytes),
        forms.join(", "),
        mega(forecast.memory)
    )
}
