//! stub
use super::super::snapshot::ValidateView;
use super::super::state::Standing;
use crate::workspace::*;
pub(super) fn view(_w: &Workspace, _l: &Ledger, _s: &[Standing]) -> Result<ValidateView, WorkspaceError> {
    Ok(ValidateView::default())
}
