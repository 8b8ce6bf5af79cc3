//! The audit for a front end: its queue, one pair whole, the table of results.
//!
//! Owns nothing but the desk that it keeps laid out; what is on it is `engine::audit`'s.

use super::{Library, Read};
use crate::domain::PairKey;
use crate::engine::audit::{AuditDesk, AuditIndex, AuditQueue, AuditReading, AuditResults};
use crate::engine::job::Failure;

impl Library {
    fn desk(&mut self) -> Read<&AuditDesk> {
        self.desk.refresh(&self.workspace, &self.ledger)?;
        Ok(&self.desk)
    }

    pub(super) fn audit_queue(&mut self, ask: &AuditQueue) -> Read<AuditIndex> {
        let workspace = self.workspace.clone();
        Ok(self.desk()?.queue(&workspace, ask))
    }

    pub(super) fn audit_reading(&mut self, pair: &PairKey) -> Read<AuditReading> {
        self.desk()?;
        let reading = self.desk.reading(&self.workspace, &self.ledger, pair)?;
        let gone = || Failure::new(format!("there is no trace of {pair} now"), "Look at the queue again.");
        reading.ok_or_else(gone)
    }

    pub(super) fn audit_results(&mut self) -> Read<AuditResults> {
        let workspace = self.workspace.clone();
        Ok(self.desk()?.results(&workspace))
    }
}
