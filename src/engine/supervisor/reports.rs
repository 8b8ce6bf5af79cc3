//! Files that the operator asks for: the report of a run.

use std::path::Path;

use super::super::event::{Event, Level};
use super::super::report::write_report;
use super::Supervisor;

impl Supervisor {
    /// Says where the files lie, or why there are none.
    pub(super) fn write_report(&mut self, run: &str, to: Option<&Path>) {
        let (level, text) = match write_report(&self.workspace, run, to) {
            Ok([markdown, html]) => (Level::Info, format!("report written to {} and {}", markdown.display(), html.display())),
            Err(error) => (Level::Error, error.to_string()),
        };
        self.emit(Event::Log { level, text });
    }
}
