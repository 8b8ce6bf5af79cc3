//! Stored evaluation runs: found by their name, compared with each other. Owns how a run is named; what a comparison says is
//! `evaluate`'s.

use std::collections::HashMap;

use thiserror::Error;

use crate::domain::{Digest, one_line};
use crate::evaluate::{Evaluation, Ground, Run, RunComparison, RunsError, compare_runs};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// Fewer digits name a run only by chance.
const LEAST_DIGITS: usize = 8;

/// Why runs could not be found or compared.
#[derive(Debug, Error)]
pub enum RunLookup {
    #[error("'{0}' names no run: give at least {LEAST_DIGITS} digits of its digest, 'last', or 'last~1' for the one before")]
    Unreadable(String),
    #[error("there is no run '{name}'; there are {known}. See 'stratos validate list'")]
    Unknown { name: String, known: String },
    #[error("'{name}' names {count} runs; give more digits")]
    Ambiguous { name: String, count: usize },
    #[error("the record of run {0} cannot be read ({1}). Run 'stratos validate --again'")]
    Damaged(String, String),
    #[error(transparent)]
    Runs(#[from] RunsError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// What a name can mean.
enum Name<'a> {
    /// So many before the newest.
    Back(usize),
    Digits(&'a str),
}

fn read_name(name: &str) -> Option<Name<'_>> {
    if name == "last" {
        return Some(Name::Back(0));
    }
    if let Some(back) = name.strip_prefix("last~") {
        return back.parse().ok().map(Name::Back);
    }
    let digits = name.len() >= LEAST_DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    digits.then_some(Name::Digits(name))
}

/// The evaluation that is meant by `last`, `last~N` or at least eight digits of its digest.
pub fn find_run(ledger: &Ledger, name: &str) -> Result<(Digest, Evaluation), RunLookup> {
    let shown = one_line(name, 80);
    let all = ledger.evaluations()?;
    let found = match read_name(name).ok_or_else(|| RunLookup::Unreadable(shown.clone()))? {
        Name::Back(back) => all.get(back).into_iter().collect::<Vec<_>>(),
        Name::Digits(digits) => all.iter().filter(|row| row.subject.as_str().starts_with(digits)).collect(),
    };
    let digest = match found.as_slice() {
        [one] => one.subject.clone(),
        [] => return Err(RunLookup::Unknown { name: shown, known: known(&all.iter().map(|r| &r.subject).collect::<Vec<_>>()) }),
        many => return Err(RunLookup::Ambiguous { name: shown, count: many.len() }),
    };
    let body = ledger.evaluation(&digest)?.unwrap_or_default();
    let damaged = |e: serde_json::Error| RunLookup::Damaged(digest.short().to_owned(), one_line(&e.to_string(), 200));
    let evaluation = serde_json::from_str(&body).map_err(damaged)?;
    Ok((digest, evaluation))
}

fn known(all: &[&Digest]) -> String {
    const SHOWN: usize = 6;
    if all.is_empty() {
        return "none yet".into();
    }
    let names: Vec<&str> = all.iter().take(SHOWN).map(|d| d.short()).collect();
    let more = if all.len() > SHOWN { format!(" and {} older", all.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// Compares the first named run with each of the others.
pub fn compare_stored(workspace: &Workspace, names: &[String], across_runtimes: bool) -> Result<RunComparison, RunLookup> {
    let ledger = workspace.ledger()?;
    let mut runs = Vec::with_capacity(names.len());
    for name in names {
        let (digest, evaluation) = find_run(&ledger, name)?;
        runs.push(Run { digest, ..Run::from(&evaluation) });
    }
    let titles: HashMap<String, String> = ledger.articles()?.into_iter().map(|(a, _)| (a.id.to_string(), a.title)).collect();
    let recipe = &workspace.recipe;
    let ground = Ground {
        bands: &recipe.bands,
        scale: &recipe.scale,
        seed: workspace.config.seed,
        across_runtimes,
        title: &|article| titles.get(article).cloned(),
    };
    Ok(compare_runs(&runs, &ground)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_place_or_by_enough_digits() {
        let back = |name: &str| matches!(read_name(name), Some(Name::Back(_)));
        let digits = |name: &str| matches!(read_name(name), Some(Name::Digits(_)));
        assert!(back("last") && back("last~0") && back("last~12") && digits("0123abcd"));
        for wrong in ["", "last~", "last~x", "first", "0123abc", "0123ABCD", "zzzzzzzz"] {
            assert!(read_name(wrong).is_none(), "{wrong}");
        }
    }
}
