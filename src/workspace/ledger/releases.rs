//! Releases and which one of them is served.

use rusqlite::params;

use super::Ledger;
use crate::domain::{Digest, UnixMillis};
use crate::workspace::WorkspaceError;

#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRow {
    pub name: String,
    /// Below the workspace's root.
    pub path: String,
    pub model: Digest,
    pub evaluation: Digest,
    pub runtime: String,
    pub verdict: String,
    pub live: bool,
    pub at: UnixMillis,
}

impl Ledger {
    /// Records a release and makes it the live one, in one step.
    pub fn put_live_release(&mut self, release: &ReleaseRow) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            db.execute("UPDATE release SET live = 0", [])?;
            let sql = "INSERT OR REPLACE INTO release (name, path, model, evaluation, runtime, verdict, live, at) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)";
            let (model, evaluation) = (release.model.as_str(), release.evaluation.as_str());
            db.execute(
                sql,
                params![release.name, release.path, model, evaluation, release.runtime, release.verdict, release.at.0],
            )
            .map(|_| ())
        })
    }

    /// Newest first.
    pub fn releases(&self) -> Result<Vec<ReleaseRow>, WorkspaceError> {
        self.run(|db| {
            let mut query =
                db.prepare("SELECT name, path, model, evaluation, runtime, verdict, live, at FROM release ORDER BY id DESC")?;
            let rows = query.query_map([], |r| {
                Ok(ReleaseRow {
                    name: r.get(0)?,
                    path: r.get(1)?,
                    model: Digest::from_hex(r.get::<_, String>(2)?),
                    evaluation: Digest::from_hex(r.get::<_, String>(3)?),
                    runtime: r.get(4)?,
                    verdict: r.get(5)?,
                    live: r.get::<_, i64>(6)? != 0,
                    at: UnixMillis(r.get(7)?),
                })
            })?;
            rows.collect()
        })
    }
}
