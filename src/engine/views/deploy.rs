//! View of tab 8: releases, and what is served.

use super::super::event::Event;
use super::super::snapshot::{DeployView, ReleaseView};
use crate::deploy::{Manifest, to_clear};
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
    let needed = |r: &ReleaseView| r.live || back.as_deref() == Some(&r.name);
    let all: Vec<(&str, bool)> = releases.iter().map(|r| (r.name.as_str(), needed(r))).collect();
    let clearable = to_clear(&all, keep).into_iter().map(str::to_owned).collect();
    Ok(DeployView { releases, served, back, clearable, keep, last_score })
}

/// A scored article, as lines.
pub(in super::super) fn scored_lines(event: &Event) -> Vec<String> {
    let Event::Scored { think, score, reason, raw, seconds, .. } = event else { return Vec::new() };
    let mut lines: Vec<String> = think.lines().map(str::to_owned).collect();
    match score {
        Some(score) => lines.push(format!("SCORE: {score:.1} | REASON: {}", reason.as_deref().unwrap_or("—"))),
        None => lines
            .extend(["no score could be read; the whole answer:".to_owned()].into_iter().chain(raw.lines().map(str::to_owned))),
    }
    lines.push(format!("in {seconds:.1} s"));
    lines
}
