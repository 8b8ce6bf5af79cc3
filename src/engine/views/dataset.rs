//! View of tab 4: is it balanced, split cleanly, within length; what does the loss see?

use super::super::labels::views_of;
use super::super::phases::load_dataset;
use super::super::sealing;
use super::super::snapshot::DatasetView;
use super::super::state::Standing;
use super::output_of;
use crate::domain::Phase;
use crate::workspace::{Ledger, Workspace, WorkspaceError};

pub(super) fn view(workspace: &Workspace, ledger: &Ledger, standings: &[Standing]) -> Result<DatasetView, WorkspaceError> {
    let labels = views_of(ledger)?;
    // A seal that cannot be read is told by guard D4 when it matters.
    let seal = sealing::view_of(workspace, ledger).unwrap_or_default();
    let built = output_of(standings, Phase::Dataset).and_then(|digest| load_dataset(workspace, &digest).ok());
    let Some(stored) = built else { return Ok(DatasetView { labels, seal, ..DatasetView::default() }) };
    let (digest, stats) = (stored.digest, &stored.stats);
    Ok(DatasetView {
        acknowledged: ledger.is_acknowledged(&digest)?,
        report: stats.lines(),
        bands: stats.by_band.iter().map(|b| (b.band.clone(), b.train, b.epoch, b.eval)).collect(),
        profiles: stats.by_profile.iter().map(|p| (p.profile.clone(), p.train, p.eval)).collect(),
        digest: Some(digest),
        labels,
        seal,
    })
}
