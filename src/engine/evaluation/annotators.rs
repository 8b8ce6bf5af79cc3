//! Who judged the same rows: teachers by their kept traces, others by files of scores. Owns finding them by name and
//! choosing the second opinion that gives the noise floor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::super::job::Failure;
use super::rows::Item;
use crate::domain::{ArticleId, LabelState, PairKey, ProfileId, one_line};
use crate::evaluate::{FLOOR_FROM, NoiseFloor, Row, Runtime};
use crate::workspace::{JsonRecords, Ledger, StoredLabel, Workspace, WorkspaceError};

/// One annotator's scores.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Annotator {
    pub name: String,
    pub runtime: Runtime,
    pub scores: BTreeMap<PairKey, f64>,
}

/// A line of a file of scores.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ScoreLine {
    pub article_id: ArticleId,
    pub profile_id: ProfileId,
    #[serde(alias = "truth")]
    pub score: Option<f64>,
    #[serde(default)]
    pub annotator: String,
}

/// A teacher of `stratos.toml` ("main" is `[teacher]`), a model or annotator that judged here, or a file of scores.
pub(super) fn named(workspace: &Workspace, ledger: &Ledger, name: &str) -> Result<Annotator, Failure> {
    let config = &workspace.config;
    let choice = if name == "main" { Some(&config.teacher) } else { config.teachers.get(name) };
    if let Some(choice) = choice {
        return filled(of_teacher(ledger, &choice.provider, &choice.model)?, name);
    }
    for (provider, model) in teachers(ledger)? {
        if model == name || format!("{provider}/{model}") == name {
            return filled(of_teacher(ledger, &provider, &model)?, name);
        }
    }
    if let Some(annotator) = imported(ledger, name)? {
        return filled(annotator, name);
    }
    let path = workspace.root().join(name);
    if path.is_file() {
        return filled(of_file(&path, name)?, name);
    }
    let mut known: BTreeSet<String> = teachers(ledger)?.into_iter().map(|(_, model)| model).collect();
    known.insert("main".into());
    known.extend(config.teachers.keys().cloned());
    known.extend(all_imported(ledger)?.into_iter().map(|a| a.name));
    Err(Failure::new(
        format!("nobody called '{}' judged here, and there is no such file", one_line(name, 60)),
        format!("Known are {}.", known.into_iter().collect::<Vec<_>>().join(", ")),
    ))
}

fn filled(annotator: Annotator, name: &str) -> Result<Annotator, Failure> {
    if annotator.scores.is_empty() {
        let next = "Ask with 'stratos distill run --teacher NAME', or import scores.";
        return Err(Failure::new(format!("'{}' has no kept judgements", one_line(name, 60)), next));
    }
    Ok(annotator)
}

/// (provider, model) of every plan that bought judgements.
fn teachers(ledger: &Ledger) -> Result<BTreeSet<(String, String)>, WorkspaceError> {
    Ok(ledger.plans()?.into_iter().map(|p| (p.provider, p.model)).collect())
}

fn of_teacher(ledger: &Ledger, provider: &str, model: &str) -> Result<Annotator, WorkspaceError> {
    let mut scores = BTreeMap::new();
    // Newest first: of a pair that was asked again, the newest answer counts.
    for stored in ledger.traces_by(provider, model)? {
        scores.entry(stored.trace.pair.clone()).or_insert(stored.trace.answer.score);
    }
    let runtime = Runtime { engine: provider.to_owned(), precision: "as served".into(), device: "teacher".into() };
    Ok(Annotator { name: format!("{provider}/{model}"), runtime, scores })
}

fn of_file(path: &Path, name: &str) -> Result<Annotator, WorkspaceError> {
    let mut scores = BTreeMap::new();
    let mut annotators = BTreeSet::new();
    for record in JsonRecords::<ScoreLine>::open(path)? {
        let (_, line) = record?;
        let Some(score) = line.score.filter(|s| s.is_finite()) else { continue };
        annotators.insert(line.annotator);
        scores.entry(PairKey { article: line.article_id, profile: line.profile_id }).or_insert(score);
    }
    let one = annotators.into_iter().next().filter(|a| !a.is_empty());
    let runtime = Runtime { engine: "file".into(), precision: "as given".into(), device: "unknown".into() };
    Ok(Annotator { name: one.map_or_else(|| one_line(name, 60), |a| one_line(&a, 60)), runtime, scores })
}

/// Labels of an annotator that were imported.
fn imported(ledger: &Ledger, name: &str) -> Result<Option<Annotator>, WorkspaceError> {
    Ok(all_imported(ledger)?.into_iter().find(|a| a.name == name))
}

/// Every annotator whose labels were imported, with what of them can be read; of a pair that one judged twice, the first
/// counts.
fn all_imported(ledger: &Ledger) -> Result<Vec<Annotator>, WorkspaceError> {
    let mut by_name: BTreeMap<String, BTreeMap<PairKey, f64>> = BTreeMap::new();
    for StoredLabel { label, .. } in ledger.labels()? {
        if let (LabelState::Kept, Some(pair), Some(score)) = (label.state, label.pair(), label.body.score) {
            by_name.entry(label.annotator).or_default().entry(pair).or_insert(score);
        }
    }
    let runtime = Runtime { engine: "labels".into(), precision: "as given".into(), device: "unknown".into() };
    let annotator = |(name, scores)| Annotator { name, scores, runtime: runtime.clone() };
    Ok(by_name.into_iter().map(annotator).collect())
}

/// Teachers and annotators that judged anything here.
fn everyone(ledger: &Ledger) -> Result<Vec<Annotator>, WorkspaceError> {
    let mut all = all_imported(ledger)?;
    for (provider, model) in teachers(ledger)? {
        all.push(of_teacher(ledger, &provider, &model)?);
    }
    Ok(all)
}

/// The floor of these rows by a second annotator who is not the one that gives a row's truth. `asked`: by this name;
/// otherwise the one with the most common rows. `None`: nobody else judged any of them.
pub(super) fn floor(
    workspace: &Workspace,
    ledger: &Ledger,
    items: &[Item],
    asked: Option<&str>,
) -> Result<Option<NoiseFloor>, Failure> {
    let candidates = if let Some(name) = asked { vec![named(workspace, ledger, name)?] } else { everyone(ledger)? };
    let common = |annotator: &Annotator| -> Vec<Row> {
        let others = items.iter().filter(|i| i.source != annotator.name);
        others.filter_map(|i| annotator.scores.get(&i.pair).map(|score| row(&i.pair, i.truth, *score))).collect()
    };
    let best = candidates.iter().map(|a| (a, common(a))).max_by_key(|(_, rows)| rows.len());
    let Some((second, here)) = best else { return Ok(None) };
    let (recipe, seed) = (&workspace.recipe, workspace.config.seed);
    // Who gave most of the truths that the second did not give.
    let judged = |i: &&Item| i.source != second.name && second.scores.contains_key(&i.pair);
    let first = main_source(items.iter().filter(judged));
    if here.len() >= FLOOR_FROM {
        return Ok(Some(NoiseFloor::between(&first, &second.name, &here, true, recipe, seed)));
    }
    // Too few here: everything that both judged, wherever it lies.
    let elsewhere = candidates.iter().find(|a| a.name == first).map(|a| both(a, second)).unwrap_or_default();
    let (rows, same) = if elsewhere.len() > here.len() { (elsewhere, false) } else { (here, true) };
    Ok((!rows.is_empty()).then(|| NoiseFloor::between(&first, &second.name, &rows, same, recipe, seed)))
}

fn row(pair: &PairKey, truth: f64, other: f64) -> Row {
    Row { article: pair.article.to_string(), profile: pair.profile.to_string(), truth, predicted: Some(other) }
}

fn both(a: &Annotator, b: &Annotator) -> Vec<Row> {
    if a.name == b.name {
        return Vec::new();
    }
    a.scores.iter().filter_map(|(pair, truth)| b.scores.get(pair).map(|other| row(pair, *truth, *other))).collect()
}

/// Who gave most of the truths.
fn main_source<'a>(items: impl Iterator<Item = &'a Item>) -> String {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for item in items {
        *counts.entry(item.source.as_str()).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(name, n)| (*n, std::cmp::Reverse(*name)))
        .map_or_else(String::new, |(name, _)| name.to_owned())
}
