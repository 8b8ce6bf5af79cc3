//! Which rows an evaluation judges. Owns reading the sets, what of them cannot be judged, and the sample; drawing it is
//! `evaluate`'s.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::super::job::{Failure, JobContext};
use super::super::phases::StoredDataset;
use super::super::sealing::{open_seal, operator};
use super::annotators::ScoreLine;
use super::people::People;
use super::request::{EvaluationRequest, RowsChoice};
use crate::dataset::Side;
use crate::domain::{Digest, PairKey, one_line};
use crate::evaluate::{RowSet, stratified};
use crate::workspace::{JsonRecords, Workspace};

/// A row to judge.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Item {
    pub pair: PairKey,
    pub truth: f64,
    /// Who gave the truth.
    pub source: String,
}

/// The rows of a request, in pair order, and what is said of them.
pub(in super::super) struct Chosen {
    pub items: Vec<Item>,
    pub set: RowSet,
}

/// The set that a request names, less what cannot be judged, drawn down to its limit.
pub(super) fn choose(
    context: &mut JobContext,
    people: &People,
    dataset: Option<&StoredDataset>,
    request: &EvaluationRequest,
) -> Result<Chosen, Failure> {
    let workspace = &*context.workspace.clone();
    let side = |side: Side| -> Result<Vec<Item>, Failure> {
        let build = "Run 'stratos dataset build', or give --rows file:PATH.";
        let stored = dataset.ok_or_else(|| Failure::new("there is no dataset yet", build))?;
        let item =
            |e: &crate::dataset::Example| Item { pair: e.pair.clone(), truth: e.score, source: e.provenance.annotator.clone() };
        Ok(stored.side(side).map(item).collect())
    };
    let mut opening = None;
    let mut left_out = BTreeMap::new();
    let mut items = match &request.rows {
        RowsChoice::HeldOut => side(Side::Eval)?,
        RowsChoice::Train => side(Side::Train)?,
        RowsChoice::Sealed => {
            let reason = request.why.as_deref().map_or_else(String::new, |why| format!(": {}", one_line(why, 300)));
            let why = format!("evaluation of {}{reason}", request.predictor);
            let sealed = open_seal(context, &operator(), &why, Some(&Digest::of_json(request)))?;
            opening = Some(u32::try_from(sealed.opening).unwrap_or(u32::MAX));
            sealed.rows.into_iter().map(|r| Item { pair: r.pair, truth: r.truth, source: r.source }).collect()
        }
        RowsChoice::File(path) => from_file(workspace, &workspace.root().join(path), &mut left_out)?,
    };
    leave_out(workspace, people, &mut items, &mut left_out);
    items.sort_by(|a, b| a.pair.cmp(&b.pair));
    let of = items.len();
    if items.is_empty() {
        let why: Vec<String> = left_out.iter().map(|(why, n)| format!("{n} × {why}")).collect();
        let what = if why.is_empty() { "it has no rows".to_owned() } else { why.join(", ") };
        return Err(Failure::new(
            format!("no row of '{}' can be judged: {what}", one_line(&request.rows.to_string(), 80)),
            "Import the articles and profiles that the rows are about, or hold out more articles.",
        ));
    }
    let seed = request.seed.unwrap_or(workspace.config.seed);
    let mut sample = String::new();
    if let Some(limit) = request.limit.filter(|limit| *limit < of) {
        let bands: Vec<usize> = items.iter().map(|i| workspace.recipe.bands.index(i.truth)).collect();
        let drawn: HashSet<usize> = stratified(&bands, limit, seed).into_iter().collect();
        let mut position = 0..;
        items.retain(|_| position.next().is_some_and(|i| drawn.contains(&i)));
        sample = format!("{} of {of} rows, drawn by band with seed {seed}", items.len());
    }
    let pairs: Vec<(&str, &str, f64)> =
        items.iter().map(|i| (i.pair.article.as_str(), i.pair.profile.as_str(), i.truth)).collect();
    let set = RowSet {
        name: one_line(&request.rows.to_string(), 200),
        digest: Digest::of_json(&pairs),
        n: items.len(),
        of,
        sample,
        left_out,
        sealed: opening.is_some(),
        opening,
        ..RowSet::default()
    };
    Ok(Chosen { items, set })
}

/// Score rows of a file; a row that comes twice counts once.
pub(super) fn from_file(
    workspace: &Workspace,
    path: &Path,
    left_out: &mut BTreeMap<String, usize>,
) -> Result<Vec<Item>, Failure> {
    let file = path.file_name().map_or_else(String::new, |n| one_line(&n.to_string_lossy(), 60));
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    for record in JsonRecords::<ScoreLine>::open(path)? {
        let (_, line) = record?;
        let pair = PairKey { article: line.article_id, profile: line.profile_id };
        let scale = &workspace.recipe.scale;
        let cause = match line.score {
            None => Some("no score"),
            Some(score) if !(scale.min..=scale.max).contains(&score) => Some("score off the scale"),
            Some(score) if scale.forbids(score) => Some("forbidden score"),
            Some(_) if !seen.insert(pair.clone()) => Some("pair judged twice"),
            Some(_) => None,
        };
        match (cause, line.score) {
            (None, Some(truth)) => {
                let source = if line.annotator.is_empty() { file.clone() } else { one_line(&line.annotator, 60) };
                items.push(Item { pair, truth, source });
            }
            (cause, _) => *left_out.entry(cause.unwrap_or("no score").to_owned()).or_default() += 1,
        }
    }
    Ok(items)
}

/// Drops and counts rows whose article or reader is not stored: nobody can be asked about them.
pub(super) fn leave_out(workspace: &Workspace, people: &People, items: &mut Vec<Item>, left_out: &mut BTreeMap<String, usize>) {
    let range = workspace.recipe.scale.range();
    items.retain(|item| {
        let cause = if people.article(&item.pair.article).is_none() {
            "its article is not stored"
        } else if people.profile(&item.pair.profile).is_none() {
            "its reader is not stored"
        } else if !(range.0..=range.1).contains(&item.truth) {
            "score off the scale"
        } else {
            return true;
        };
        *left_out.entry(cause.to_owned()).or_default() += 1;
        false
    });
}
