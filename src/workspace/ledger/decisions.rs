//! What the operator decided: acknowledgements and overrides; and the findings that some of them answer.

use rusqlite::{OptionalExtension, params};

use super::{Ledger, Sql};
use crate::domain::Finding;
use crate::domain::{ArticleId, Digest, PairKey, Phase, ProfileId, UnixMillis};
use crate::workspace::WorkspaceError;

/// A stop guard that was overridden for one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    pub guard: String,
    pub subject: Digest,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StoredFinding {
    pub phase: Phase,
    pub subject: Digest,
    pub finding: Finding,
}

impl Ledger {
    pub fn acknowledge(&mut self, dataset: &Digest, at: UnixMillis) -> Result<(), WorkspaceError> {
        let sql = "INSERT OR IGNORE INTO acknowledgement (dataset, at) VALUES (?1, ?2)";
        self.transaction(|db| db.execute(sql, params![dataset.as_str(), at.0]).map(|_| ()))
    }

    pub fn is_acknowledged(&self, dataset: &Digest) -> Result<bool, WorkspaceError> {
        let sql = "SELECT 1 FROM acknowledgement WHERE dataset = ?1";
        self.run(|db| db.query_row(sql, [dataset.as_str()], |_| Ok(())).optional().map(|row| row.is_some()))
    }

    pub fn override_guard(&mut self, o: &Override, at: UnixMillis) -> Result<(), WorkspaceError> {
        let sql = "INSERT OR REPLACE INTO override (guard, subject, reason, at) VALUES (?1, ?2, ?3, ?4)";
        self.transaction(|db| db.execute(sql, params![o.guard, o.subject.as_str(), o.reason, at.0]).map(|_| ()))
    }

    pub fn override_of(&self, guard: &str, subject: &Digest) -> Result<Option<String>, WorkspaceError> {
        let sql = "SELECT reason FROM override WHERE guard = ?1 AND subject = ?2";
        self.run(|db| db.query_row(sql, params![guard, subject.as_str()], |r| r.get(0)).optional())
    }

    /// Replaces what the guards of one phase said before.
    pub fn put_findings(
        &mut self,
        phase: Phase,
        subject: &Digest,
        findings: &[Finding],
        at: UnixMillis,
    ) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT OR REPLACE INTO finding (phase, guard, subject, body, at) VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut insert = db.prepare(sql)?;
            for finding in findings {
                let body = serde_json::to_string(finding).unwrap_or_default();
                insert.execute(params![phase.id(), finding.guard, subject.as_str(), body, at.0])?;
            }
            Ok(())
        })
    }

    pub fn findings(&self) -> Result<Vec<StoredFinding>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT phase, subject, body FROM finding ORDER BY phase, guard")?;
            let rows = query.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?)))?;
            let mut findings = Vec::new();
            for row in rows {
                let (phase, subject, body) = row?;
                if let (Ok(phase), Ok(finding)) = (phase.parse(), serde_json::from_str(&body)) {
                    findings.push(StoredFinding { phase, subject: Digest::from_hex(subject), finding });
                }
            }
            Ok(findings)
        })
    }
}

/// A pair from its two columns; ids were checked when they were written.
pub(super) fn pair_of(article: &str, profile: &str) -> Sql<PairKey> {
    let bad = |e: crate::domain::IdError| rusqlite::Error::ToSqlConversionFailure(Box::new(e));
    Ok(PairKey { article: ArticleId::new(article).map_err(bad)?, profile: ProfileId::new(profile).map_err(bad)? })
}
