//! View of tab 7: counts and progress. The queue and the blocks are the library's.

use super::super::audit::AuditDesk;
use super::super::snapshot::AuditView;
use crate::workspace::{Ledger, Workspace, WorkspaceError};

pub(super) fn view(workspace: &Workspace, ledger: &Ledger, desk: &mut AuditDesk) -> Result<AuditView, WorkspaceError> {
    desk.refresh(workspace, ledger)?;
    Ok(desk.view(workspace))
}
