//! Writing the report of a stored run. Owns which records belong to a run and where the files go; what they say is
//! `evaluate`'s.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::evaluation::{RunError, find};
use super::phases::{load_dataset, loss_curves};
use crate::domain::{Digest, Phase};
use crate::evaluate::{Evaluation, Guarded, LossCurve, Probes, ReportInput, report};
use crate::workspace::{Ledger, PhaseRecord, Workspace, WorkspaceError, atomic_write};

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error("cannot make the folder {}: {source}. Give another by --out", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
}

/// Writes `report-RUN.md` and `report-RUN.html` into `out`, or into the workspace's `reports`. Returns both paths.
pub fn write_report(workspace: &Workspace, name: &str, out: Option<&Path>) -> Result<[PathBuf; 2], ReportError> {
    let ledger = workspace.ledger()?;
    let (digest, evaluation) = find(&ledger, name)?;
    let trained = ledger.record_of(Phase::Train, &evaluation.subject.model)?;
    let built = ledger.record_of(Phase::Dataset, &evaluation.subject.dataset)?;
    // A dataset whose files were removed has no card; the report says the rest.
    let dataset = load_dataset(workspace, &evaluation.subject.dataset).ok();
    let probes = probes(&ledger, &digest)?;
    let titles: HashMap<String, String> = ledger.articles()?.into_iter().map(|(a, _)| (a.id.to_string(), a.title)).collect();
    let at = ledger.evaluations()?.into_iter().find(|row| row.subject == digest).map(|row| row.at);
    let stamp = at.and_then(|at| jiff::Timestamp::from_millisecond(at.0).ok());
    let document = report(&ReportInput {
        digest: &digest,
        made: stamp.map_or_else(|| "at an unknown time".into(), |t| t.strftime("%Y-%m-%d %H:%M UTC").to_string()),
        evaluation: &evaluation,
        recipe: &workspace.recipe,
        tiers: workspace.recipe.rho_tiers.as_ref(),
        training: trained.as_ref().and_then(|record| curve(workspace, record)),
        dataset: dataset.as_ref().map(|d| &d.stats),
        guards: guards(&ledger, &evaluation, trained.as_ref(), built.as_ref())?,
        probes: probes.as_ref(),
        title: &|article| titles.get(article).cloned(),
    });
    let folder = out.map_or_else(|| workspace.root().join("reports"), Path::to_owned);
    std::fs::create_dir_all(&folder).map_err(|source| ReportError::Folder { path: folder.clone(), source })?;
    let stem = format!("report-{}", digest.short());
    let paths = [folder.join(format!("{stem}.md")), folder.join(format!("{stem}.html"))];
    atomic_write(&paths[0], document.markdown().as_bytes())?;
    atomic_write(&paths[1], document.html().as_bytes())?;
    Ok(paths)
}

/// The newest probes of this workspace.
pub fn last_probes(workspace: &Workspace) -> Result<Option<Probes>, WorkspaceError> {
    let body = workspace.ledger()?.last_probes()?;
    Ok(body.and_then(|text| serde_json::from_str(&text).ok()))
}

fn probes(ledger: &Ledger, run: &Digest) -> Result<Option<Probes>, WorkspaceError> {
    Ok(ledger.probes_of(run)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn curve(workspace: &Workspace, record: &PhaseRecord) -> Option<LossCurve> {
    let run = record.input.short();
    let (loss, held_out) = loss_curves(workspace, run);
    (!loss.is_empty()).then(|| LossCurve { run: run.to_owned(), loss, held_out })
}

/// What guards saw of the data and of the training that made the judged model.
fn guards(
    ledger: &Ledger,
    evaluation: &Evaluation,
    trained: Option<&PhaseRecord>,
    built: Option<&PhaseRecord>,
) -> Result<Vec<Guarded>, WorkspaceError> {
    let own = |phase: Phase, subject: &Digest| match phase {
        Phase::Train => trained.is_some_and(|r| r.input == *subject),
        Phase::Dataset => built.is_some_and(|r| r.input == *subject) || *subject == evaluation.subject.dataset,
        Phase::Distill => built.is_some(),
        _ => false,
    };
    let mut all = Vec::new();
    for stored in ledger.findings()?.into_iter().filter(|f| own(f.phase, &f.subject)) {
        let override_reason = ledger.override_of(&stored.finding.guard, &stored.subject)?;
        all.push(Guarded { phase: stored.phase, finding: stored.finding, override_reason });
    }
    Ok(all)
}
