//! What the operator says of think blocks: verdicts, remedies, taking them back, writing them to a file.

use std::path::Path;

use super::super::audit::{self, JudgeError, Judgement};
use super::super::event::{Event, Level};
use super::Supervisor;
use crate::domain::{Author, PairKey, Phase, Remedy};
use crate::workspace::WorkspaceError;

impl Supervisor {
    pub(super) fn judge(&mut self, given: Judgement) -> Result<(), WorkspaceError> {
        self.desk.refresh(&self.workspace, &self.ledger)?;
        let at = self.clock.now();
        let taken = audit::judge(&self.desk, &self.workspace, &mut self.ledger, given, at);
        self.reviewed(taken)
    }

    pub(super) fn remedy(&mut self, pair: &PairKey, choice: Remedy) -> Result<(), WorkspaceError> {
        self.desk.refresh(&self.workspace, &self.ledger)?;
        let at = self.clock.now();
        let taken = audit::remedy(&self.desk, &self.workspace, &mut self.ledger, pair, choice, at);
        self.reviewed(taken)
    }

    pub(super) fn undo_verdict(&mut self, pair: Option<&PairKey>, author: Option<Author>) -> Result<(), WorkspaceError> {
        self.desk.refresh(&self.workspace, &self.ledger)?;
        let at = self.clock.now();
        let taken = audit::undo(&self.desk, &mut self.ledger, pair, author, at);
        self.reviewed(taken)
    }

    pub(super) fn export_verdicts(&mut self, path: &Path) -> Result<(), WorkspaceError> {
        self.desk.refresh(&self.workspace, &self.ledger)?;
        let (level, text) = match audit::write_verdicts(&self.desk, &self.workspace, &self.ledger, path) {
            Ok(rows) => (Level::Info, format!("{rows} readings written to {}", path.display())),
            Err(error) => (Level::Error, error.to_string()),
        };
        self.emit(Event::Log { level, text });
        Ok(())
    }

    /// Says what was taken, or why nothing was, and looks again at what depends on it.
    fn reviewed(&mut self, taken: Result<String, JudgeError>) -> Result<(), WorkspaceError> {
        match taken {
            Ok(text) => self.emit(Event::Log { level: Level::Info, text }),
            Err(JudgeError::Workspace(error)) => return Err(error),
            Err(other) => {
                self.emit(Event::Log { level: Level::Error, text: other.to_string() });
                return Ok(());
            }
        }
        self.refresh_states()?;
        self.refresh_view(Phase::Audit)
    }
}
