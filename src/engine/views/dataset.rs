//! View of tab 4: is it balanced, split cleanly, within length; what does the loss see?

use super::super::job::Failure;
use super::super::labels::views_of;
use super::super::phases::load_dataset;
use super::super::sealing;
use super::super::snapshot::{DatasetView, ExampleView, MaskView};
use super::super::state::Standing;
use super::super::subject::codec;
use super::output_of;
use crate::dataset::{OrderRow, Side, order};
use crate::domain::{Phase, safe_text};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// Rows of the first epoch's order that are shown.
const ORDER_SHOWN: usize = 40;

pub(super) fn view(
    workspace: &Workspace,
    ledger: &Ledger,
    standings: &[Standing],
    mask: Option<MaskView>,
) -> Result<DatasetView, WorkspaceError> {
    let labels = views_of(ledger)?;
    // A seal that cannot be read is told by guard D4 when it matters.
    let seal = sealing::view_of(workspace, ledger).unwrap_or_default();
    let built = output_of(standings, Phase::Dataset).and_then(|digest| load_dataset(workspace, &digest).ok());
    let Some(stored) = built else { return Ok(DatasetView { labels, seal, ..DatasetView::default() }) };
    let digest = stored.digest.clone();
    let stats = &stored.stats;
    let example = |(e, tokens): (&crate::dataset::Example, &usize)| ExampleView {
        id: e.id.clone(),
        held_out: e.split == Side::Eval,
        score: e.score,
        band: e.band.clone(),
        tokens: *tokens,
        repeats: e.repeats,
    };
    let train: Vec<&crate::dataset::Example> = stored.side(Side::Train).collect();
    let (recipe, seed) = (&workspace.recipe, workspace.config.seed);
    let run = if workspace.config.student.base == "seedling" { &recipe.seedling.run } else { &recipe.train.run };
    let rows: Vec<OrderRow> = train.iter().map(|e| OrderRow::new(e.score, e.repeats, run, &recipe.bands)).collect();
    let first = order(&rows, run.order, recipe.scale.middle(), seed, 0);
    Ok(DatasetView {
        acknowledged: ledger.is_acknowledged(&digest)?,
        report: stats.lines(),
        bands: stats.by_band.iter().map(|b| (b.band.clone(), b.train, b.epoch, b.eval)).collect(),
        profiles: stats.by_profile.iter().map(|p| (p.profile.clone(), p.train, p.eval)).collect(),
        examples: stored.examples.iter().zip(&stored.tokens).map(example).collect(),
        order: first.iter().take(ORDER_SHOWN).map(|i| train[*i as usize]).map(|e| (e.id.clone(), e.score)).collect(),
        mask,
        digest: Some(digest),
        labels,
        seal,
    })
}

/// Every token of one example, and whether the loss sees it.
pub(super) fn mask(workspace: &Workspace, ledger: &Ledger, example: &str) -> Result<MaskView, Failure> {
    let build = "Build it with 'stratos dataset build'.";
    let record = ledger.last_record(Phase::Dataset)?.ok_or_else(|| Failure::new("there is no dataset yet", build))?;
    let stored = load_dataset(workspace, &record.output)?;
    let found = stored.examples.iter().find(|e| e.id == example);
    let row =
        found.ok_or_else(|| Failure::new(format!("there is no example '{}'", safe_text(example)), "Pick one from the list."))?;
    let pieces = codec(workspace, &record.output)?.mask(&row.messages)?;
    let tokens = pieces.into_iter().map(|piece| (safe_text(&piece.text), piece.loss)).collect();
    Ok(MaskView { example: example.to_owned(), tokens })
}
