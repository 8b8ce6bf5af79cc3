//! What a run reads: which rows of the dataset, in which order, and what their lengths leave out. Owns the choice; training
//! reads it, and the sampler's report verifies the very same.

use super::super::super::job::Failure;
use super::super::super::subject::{Choice, histogram_limit, run_rules};
use super::super::dataset::StoredDataset;
use crate::dataset::{Draws, Example, OrderRow, SamplerReport, Side, order};
use crate::domain::Phase;
use crate::workspace::Workspace;

/// The plan of a run over one dataset.
pub struct Reading<'a> {
    /// Training rows, then held-out rows, in the dataset's order.
    pub rows: [Vec<&'a Example>; 2],
    pub order_rows: Vec<OrderRow>,
    /// Of each epoch indices into the training rows.
    pub orders: Vec<Vec<u32>>,
    /// The limit that the histogram of lengths sets, where the recipe leaves it to that.
    pub limit: Option<usize>,
    /// Rows longer than it, with their tokens; on no side of the run.
    pub left_out: Vec<(String, usize)>,
}

impl<'a> Reading<'a> {
    pub fn of(workspace: &Workspace, choice: &Choice, stored: &'a StoredDataset) -> Self {
        let (recipe, seed) = (&workspace.recipe, workspace.config.seed);
        let run = run_rules(recipe, choice);
        let limit = histogram_limit(recipe, choice, &stored.stats);
        let fits = |tokens: usize| limit.is_none_or(|limit| tokens <= limit);
        let all = || stored.examples.iter().zip(stored.tokens.iter().copied());
        let rows = [Side::Train, Side::Eval]
            .map(|side| all().filter(|(e, n)| e.split == side && fits(*n)).map(|(e, _)| e).collect::<Vec<_>>());
        let order_rows: Vec<OrderRow> = rows[0].iter().map(|e| OrderRow::new(e.score, e.repeats, run, &recipe.bands)).collect();
        let orders = (0..run.epochs).map(|epoch| order(&order_rows, run.order, recipe.scale.middle(), seed, epoch)).collect();
        let left_out = all().filter(|(_, n)| !fits(*n)).map(|(e, n)| (e.id.clone(), n)).collect();
        Self { rows, order_rows, orders, limit, left_out }
    }
}

/// The sampler's report of the run that would begin now.
pub fn sampler(workspace: &Workspace) -> Result<SamplerReport, Failure> {
    let record = workspace.ledger()?.last_record(Phase::Dataset)?;
    let record = record.ok_or_else(|| Failure::new("there is no dataset yet", "Build it with 'stratos dataset build'."))?;
    let stored = super::load_dataset(workspace, &record.output)?;
    let choice = Choice::of(workspace)?;
    let reading = Reading::of(workspace, &choice, &stored);
    let ids: Vec<String> = reading.rows[0].iter().map(|e| e.id.clone()).collect();
    let draws = Draws {
        strategy: run_rules(&workspace.recipe, &choice).order,
        rows: &reading.order_rows,
        ids: &ids,
        bands: &workspace.recipe.bands,
        orders: &reading.orders,
    };
    Ok(SamplerReport::of(&draws, workspace.config.seed))
}
