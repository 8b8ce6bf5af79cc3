//! The models of a workspace: those pulled from a hub, those imported from this disk. Owns the listing and the copying; what a
//! pull is, is `student::hub`'s.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use color_eyre::eyre::{Result, WrapErr as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::short;
use crate::domain::{Clock as _, Gate, SystemClock, one_line};
use crate::headless::say;
use crate::student::hub::{Hub, HubId, PullOptions, PullProgress};
use crate::student::outline::Outline;
use crate::workspace::{Workspace, free_bytes, models_dir};

/// Pulls a model and says how to use it.
pub fn pull(workspace: &Arc<Workspace>, id: &str, gguf: Option<String>, refresh: bool) -> Result<ExitCode> {
    let (parsed, cache): (HubId, PathBuf) = (id.parse()?, models_dir(workspace)?);
    let options = PullOptions { gguf, refresh, ..PullOptions::new(SystemClock.now(), free_bytes) };
    let style = ProgressStyle::with_template("{msg:32} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let mut tell = |p: PullProgress<'_>| {
        bar.set_length(p.total);
        bar.set_position(p.done);
        bar.set_message(one_line(p.file, 32));
        Gate::Continue
    };
    let pulled = Hub::from_env()?.pull_blocking(&parsed, &cache, &options, &mut tell)?;
    bar.finish_and_clear();
    say(&format!("{id}: complete in {}; {} came over the network", pulled.folder.display(), bytes(pulled.downloaded)));
    let base = pulled.base.strip_prefix(workspace.root()).unwrap_or(&pulled.base);
    say(&format!("Use it: set student.base = \"{}\" in stratos.toml", base.display()));
    Ok(ExitCode::SUCCESS)
}

fn bytes(count: u64) -> String {
    format!("{:.1} MB", count as f64 / 1e6)
}

/// Copies a model on this disk into the workspace, once it is proved to be one.
pub fn import(workspace: &Arc<Workspace>, from: &Path, name: Option<String>) -> Result<ExitCode> {
    let outline = Outline::of(from)?;
    let own = from.file_stem().and_then(|n| n.to_str()).unwrap_or("model").to_owned();
    let name = name.unwrap_or(own);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        bail!("'{}' cannot be a model's name; use letters, digits, '-', '_' and '.' (--name)", one_line(&name, 60));
    }
    let target = models_dir(workspace)?.join(&name);
    if target.exists() {
        bail!("{} is there already; give another --name, or delete it", target.display());
    }
    let files = files_of(from)?;
    let need: u64 = files.iter().map(|(_, size)| size).sum();
    if free_bytes(workspace.root()).is_some_and(|free| free < need) {
        bail!(
            "the model takes {}, and less is free; free some disk space, or name the folder in student.base as it is",
            bytes(need)
        );
    }
    // Under another name until it is whole.
    let partial = target.with_file_name(format!(".{name}.partial"));
    let _ = std::fs::remove_dir_all(&partial);
    std::fs::create_dir_all(&partial).wrap_err_with(|| format!("cannot make {}", partial.display()))?;
    for (file, _) in &files {
        let to = partial.join(file.file_name().unwrap_or_default());
        std::fs::copy(file, &to).wrap_err_with(|| format!("cannot copy {} to {}", file.display(), to.display()))?;
    }
    std::fs::rename(&partial, &target)?;
    say(&format!("{name}: {} parameters, {} copied", short(outline.parameters), bytes(need)));
    say(&format!("Use it: set student.base = \"{name}\" in stratos.toml"));
    Ok(ExitCode::SUCCESS)
}

/// A folder's files, or the file itself, with their sizes.
fn files_of(from: &Path) -> Result<Vec<(PathBuf, u64)>> {
    if from.is_file() {
        return Ok(vec![(from.to_owned(), from.metadata()?.len())]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(from).wrap_err_with(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(files)
}

/// What the workspace has, and what its student is made from.
pub fn list(workspace: &Arc<Workspace>, as_json: bool) -> Result<ExitCode> {
    let folder = models_dir(workspace)?;
    let mut names: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_dir()).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).wrap_err_with(|| format!("cannot read {}", folder.display())),
    };
    names.sort();
    let mut rows = Vec::new();
    for path in names {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name.starts_with('.') {
            continue;
        }
        let model = crate::workspace::model_in(&path);
        let row = match Outline::of(&model) {
            Ok(o) => (name, o.config.family.name().to_owned(), short(o.parameters), o.precision().to_owned(), String::new()),
            Err(e) => (name, String::new(), String::new(), String::new(), e.to_string()),
        };
        rows.push(row);
    }
    let base = &workspace.config.student.base;
    if as_json {
        let row = |(name, family, parameters, precision, problem): &(String, String, String, String, String)| json!({"name": name, "architecture": family, "parameters": parameters, "precision": precision, "problem": problem});
        say(&json!({"student_base": base, "models": rows.iter().map(row).collect::<Vec<_>>()}).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("student.base = \"{}\"", one_line(base, 80)));
    for (name, family, parameters, precision, problem) in &rows {
        let problem = if problem.is_empty() { String::new() } else { format!("not usable: {}", one_line(problem, 160)) };
        say(&format!("  {:<40} {family:<8} {parameters:>9} {precision:<6} {problem}", one_line(name, 40)));
    }
    if rows.is_empty() {
        say("No models here. Get one: stratos models pull OWNER/NAME, or stratos models import FOLDER.");
    }
    Ok(ExitCode::SUCCESS)
}
