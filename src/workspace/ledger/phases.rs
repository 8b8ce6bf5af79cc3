//! What each phase last made, and from what: the facts that phase states are computed from.

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use crate::domain::{Digest, Phase, UnixMillis};
use crate::workspace::WorkspaceError;

/// One finished run of a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseRecord {
    pub phase: Phase,
    /// Digest of everything the phase read.
    pub input: Digest,
    /// Digest of what it made.
    pub output: Digest,
    pub headline: String,
    pub at: UnixMillis,
    pub seconds: f64,
}

impl Ledger {
    pub fn record_phase(&mut self, record: &PhaseRecord) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            db.execute(
                "INSERT INTO phase_record (phase, input, output, headline, at, seconds) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    record.phase.id(),
                    record.input.as_str(),
                    record.output.as_str(),
                    record.headline,
                    record.at.0,
                    record.seconds
                ],
            )
            .map(|_| ())
        })
    }

    /// The newest run of a phase that made this.
    pub fn record_of(&self, phase: Phase, output: &Digest) -> Result<Option<PhaseRecord>, WorkspaceError> {
        self.run(|db| {
            db.query_row(
                "SELECT input, headline, at, seconds FROM phase_record WHERE phase = ?1 AND output = ?2 ORDER BY id DESC LIMIT 1",
                params![phase.id(), output.as_str()],
                |r| {
                    Ok(PhaseRecord {
                        phase,
                        input: Digest::from_hex(r.get::<_, String>(0)?),
                        output: output.clone(),
                        headline: r.get(1)?,
                        at: UnixMillis(r.get(2)?),
                        seconds: r.get(3)?,
                    })
                },
            )
            .optional()
        })
    }

    pub fn last_record(&self, phase: Phase) -> Result<Option<PhaseRecord>, WorkspaceError> {
        self.run(|db| {
            db.query_row(
                "SELECT input, output, headline, at, seconds FROM phase_record WHERE phase = ?1 ORDER BY id DESC LIMIT 1",
                [phase.id()],
                |r| {
                    Ok(PhaseRecord {
                        phase,
                        input: Digest::from_hex(r.get::<_, String>(0)?),
                        output: Digest::from_hex(r.get::<_, String>(1)?),
                        headline: r.get(2)?,
                        at: UnixMillis(r.get(3)?),
                        seconds: r.get(4)?,
                    })
                },
            )
            .optional()
        })
    }
}
