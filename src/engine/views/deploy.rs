//! View of tab 8: releases, and what is served.

use super::super::deploying::clearable;
use super::super::scoring::{Scored, drift_of_served};
use super::super::snapshot::{DeployView, DriftView, ReleaseView};
use crate::deploy::Manifest;
use crate::workspace::{Ledger, Workspace, WorkspaceError};

pub(super) fn view(workspace: &Workspace, ledger: &Ledger, last_score: Vec<String>) -> Result<DeployView, WorkspaceError> {
    let (mut releases, back) = (Vec::new(), ledger.roll_back_to()?);
    for row in ledger.releases()? {
        // Releases of before there were gates have neither forms nor a table.
        let manifest = Manifest::read(&workspace.root().join(&row.path)).ok();
        let pieces = manifest.into_iter().flat_map(|manifest| manifest.pieces);
        releases.push(ReleaseView {
            forms: pieces.map(|piece| (piece.form.to_string(), piece.bytes)).collect(),
            gate: ledger.gate(&row.name)?.and_then(|gate| serde_json::from_str(&gate.body).ok()),
            name: row.name,
            created: row.at,
            model: row.model.short().to_owned(),
            runtime: row.runtime,
            verdict: row.verdict,
            path: row.path,
            live: row.live,
        });
    }
    let served = releases.iter().find(|r| r.live).map(|r| format!("{} · model {} · {}", r.name, r.model, r.runtime));
    let keep = workspace.config.deploy.keep;
    let clearable = clearable(ledger, keep)?;
    let drift = drift_of_served(workspace, ledger).map(|d| DriftView { level: d.level, n: d.n, line: d.headline() });
    Ok(DeployView { releases, served, back, clearable, keep, last_score, drift })
}

/// A scored article, as lines.
pub(in super::super) fn scored_lines(scored: &Scored) -> Vec<String> {
    let mut lines: Vec<String> = scored.think.lines().map(str::to_owned).collect();
    match scored.score {
        Some(score) => lines.push(format!("SCORE: {score:.1} | REASON: {}", scored.reason.as_deref().unwrap_or("—"))),
        None => {
            lines.push("no score could be read; the whole answer:".to_owned());
            lines.extend(scored.raw.lines().map(str::to_owned));
        }
    }
    let by = if scored.cached { "from the cache".to_owned() } else { format!("in {:.1} s", scored.seconds) };
    lines.push(format!("{by} · {}", scored.model));
    lines
}
