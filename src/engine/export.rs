//! The current dataset written out for other programs. Owns which facts the card tells; formats and files are `dataset`'s.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::asked::AskError;
use super::job::{Failure, JobContext, PhaseEnd};
use super::phases::load_dataset;
use super::sealing::seal_view;
use super::views;
use crate::dataset::publish::{CardFacts, Format, GuardLine, PublishedFile, publish};
use crate::dataset::{DatasetStats, Example};
use crate::domain::{Digest, Phase};
use crate::guards;
use crate::workspace::Workspace;

/// What was written where.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    pub folder: String,
    pub format: Format,
    pub dataset: Digest,
    pub files: Vec<PublishedFile>,
}

/// Writes the current dataset into `folder`.
pub fn export_dataset(workspace: &Workspace, format: Format, folder: &Path) -> Result<Exported, AskError> {
    Ok(written(workspace, format, folder)?)
}

/// The same as a job.
pub(super) fn run(context: &JobContext, format: Format, folder: &Path) -> Result<PhaseEnd, Failure> {
    let Exported { folder, files, dataset, .. } = written(&context.workspace, format, folder)?;
    let headline = format!("dataset {} is written to {folder} as {format}: {} files", dataset.short(), files.len());
    Ok(PhaseEnd::Aside { headline })
}

fn written(workspace: &Workspace, format: Format, folder: &Path) -> Result<Exported, Failure> {
    let ledger = workspace.ledger()?;
    let record = ledger.last_record(Phase::Dataset)?;
    let record = record.ok_or_else(|| Failure::new("there is no dataset yet", "Build it with 'stratos dataset build'."))?;
    let stored = load_dataset(workspace, &record.output)?;
    // The guards that looked at what this dataset was made of, at its import and its build.
    let of_this = |f: &&super::FindingView| f.phase == Phase::Dataset && f.subject == record.input;
    let findings = views::findings(&ledger)?;
    let mut findings: Vec<&super::FindingView> = findings.iter().filter(of_this).collect();
    findings.sort_by_key(|f| guards::registry().position(|row| row.id == f.finding.guard));
    let guard = |f: &super::FindingView| GuardLine {
        id: f.finding.guard.clone(),
        passed: !f.finding.failed(),
        saw: f.finding.saw.clone(),
        overridden: f.overridden.clone(),
    };
    let recipe = &workspace.recipe;
    let facts = CardFacts {
        dataset: &stored.digest,
        recipe: &recipe.digest(),
        summary: &recipe.summary,
        licence: &workspace.config.export.licence,
        languages: &recipe.data.languages,
        stats: &stored.stats,
        provenance: provenance(&stored.examples),
        guards: findings.into_iter().map(guard).collect(),
        sealed: sealed(workspace, &stored.stats)?,
    };
    let files = publish(folder, format, &stored.examples, &facts)
        .map_err(|e| Failure::new(e.to_string(), "Nothing that was there before was changed."))?;
    Ok(Exported { folder: folder.display().to_string(), format, dataset: stored.digest, files })
}

/// What of the workspace is on no side of the export.
fn sealed(workspace: &Workspace, stats: &DatasetStats) -> Result<Vec<String>, Failure> {
    let Some(seal) = seal_view(workspace)? else { return Ok(Vec::new()) };
    let held: Vec<String> = stats.set_aside.iter().map(|(what, rows)| format!("{rows} of a {what}")).collect();
    let held =
        if held.is_empty() { "no judgement of this dataset".into() } else { format!("judgements held out: {}", held.join(", ")) };
    Ok(vec![format!(
        "Seal {}: {} article clusters and {} readers were sealed before anything was trained, and are not in these files; {held}.",
        seal.digest.short(),
        seal.clusters,
        seal.readers.len()
    )])
}

/// Rows by who judged them and how the pairs were chosen, the most first.
fn provenance(examples: &[Example]) -> Vec<(String, usize)> {
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for e in examples {
        let p = &e.provenance;
        let chosen = format!("{:?}", p.selection).to_lowercase();
        let prompt = if p.prompt_digest.is_some() { "its prompt is kept by digest" } else { "its prompt is not known" };
        *rows.entry(format!("{} {}; pairs chosen: {chosen}; {prompt}", p.teacher, p.model)).or_default() += 1;
    }
    let mut rows: Vec<(String, usize)> = rows.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rows
}
