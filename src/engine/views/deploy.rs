//! View of tab 8: releases, and what is served.

use super::super::scoring::Scored;
use super::super::snapshot::{DeployView, ReleaseView};
use crate::workspace::{Ledger, WorkspaceError};

pub(super) fn view(ledger: &Ledger, last_score: Vec<String>) -> Result<DeployView, WorkspaceError> {
    let releases: Vec<ReleaseView> = ledger
        .releases()?
        .into_iter()
        .map(|r| ReleaseView {
            name: r.name,
            created: r.at,
            model: r.model.short().to_owned(),
            runtime: r.runtime,
            verdict: r.verdict,
            path: r.path,
            live: r.live,
        })
        .collect();
    let served = releases.iter().find(|r| r.live).map(|r| format!("{} · model {} · {}", r.name, r.model, r.runtime));
    Ok(DeployView { releases, served, last_score })
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
