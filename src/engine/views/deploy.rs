//! View of tab 8: releases, and what is served.

use super::super::event::Event;
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
