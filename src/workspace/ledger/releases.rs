//! Releases, what their gates saw, and which one of them is served.

use rusqlite::{OptionalExtension as _, params};

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

/// What a release's gate saw.
#[derive(Debug, Clone, PartialEq)]
pub struct GateRow {
    pub passed: bool,
    /// The parity table as JSON.
    pub body: String,
    pub at: UnixMillis,
}

impl Ledger {
    /// Records a release, or what changed of it; which one is live stays as it is.
    pub fn put_release(&mut self, release: &ReleaseRow) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT INTO release (name, path, model, evaluation, runtime, verdict, live, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7) \
                       ON CONFLICT (name) DO UPDATE SET path = ?2, model = ?3, evaluation = ?4, runtime = ?5, verdict = ?6, at = ?7";
            let (model, evaluation) = (release.model.as_str(), release.evaluation.as_str());
            let values = params![release.name, release.path, model, evaluation, release.runtime, release.verdict, release.at.0];
            db.execute(sql, values).map(|_| ())
        })
    }

    /// Makes a release the live one and remembers since when; `false`: there is no such release.
    pub fn go_live(&mut self, name: &str, at: UnixMillis) -> Result<bool, WorkspaceError> {
        self.transaction(|db| {
            if db.query_row("SELECT 1 FROM release WHERE name = ?1", [name], |_| Ok(())).optional()?.is_none() {
                return Ok(false);
            }
            db.execute("UPDATE release SET live = (name = ?1)", [name])?;
            db.execute("INSERT INTO release_served (release, at) VALUES (?1, ?2)", params![name, at.0])?;
            Ok(true)
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

    /// Which release was served since when, newest first.
    pub fn served(&self) -> Result<Vec<(String, UnixMillis)>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT release, at FROM release_served ORDER BY id DESC")?;
            let rows = query.query_map([], |r| Ok((r.get(0)?, UnixMillis(r.get(1)?))))?;
            rows.collect()
        })
    }

    /// The release that a roll-back goes to: the one served last before the live one that is still here and passed its gate.
    pub fn roll_back_to(&self) -> Result<Option<String>, WorkspaceError> {
        self.run(|db| {
            let sql = "SELECT s.release FROM release_served s JOIN release r ON r.name = s.release \
                       LEFT JOIN release_gate g ON g.release = s.release \
                       WHERE r.live = 0 AND coalesce(g.passed, 1) = 1 AND s.id < \
                       (SELECT max(s2.id) FROM release_served s2 JOIN release l ON l.name = s2.release WHERE l.live = 1) \
                       ORDER BY s.id DESC LIMIT 1";
            db.query_row(sql, [], |r| r.get(0)).optional()
        })
    }

    pub fn put_gate(&mut self, release: &str, gate: &GateRow) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT OR REPLACE INTO release_gate (release, passed, body, at) VALUES (?1, ?2, ?3, ?4)";
            db.execute(sql, params![release, gate.passed, gate.body, gate.at.0]).map(|_| ())
        })
    }

    pub fn gate(&self, release: &str) -> Result<Option<GateRow>, WorkspaceError> {
        self.run(|db| {
            let row = |r: &rusqlite::Row<'_>| Ok(GateRow { passed: r.get(0)?, body: r.get(1)?, at: UnixMillis(r.get(2)?) });
            db.query_row("SELECT passed, body, at FROM release_gate WHERE release = ?1", [release], row).optional()
        })
    }

    /// Remembers which digest answered for a release at its gate; `target` names the runtime.
    pub fn pin(&mut self, release: &str, target: &str, digest: &Digest, at: UnixMillis) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let sql = "INSERT OR REPLACE INTO release_pin (release, target, digest, at) VALUES (?1, ?2, ?3, ?4)";
            db.execute(sql, params![release, target, digest.as_str(), at.0]).map(|_| ())
        })
    }

    pub fn pinned(&self, release: &str, target: &str) -> Result<Option<Digest>, WorkspaceError> {
        self.run(|db| {
            let sql = "SELECT digest FROM release_pin WHERE release = ?1 AND target = ?2";
            db.query_row(sql, [release, target], |r| r.get(0).map(|hex: String| Digest::from_hex(hex))).optional()
        })
    }

    /// Forgets a release that is not live; its history stays. `false`: it is live, or there is none.
    pub fn remove_release(&mut self, name: &str) -> Result<bool, WorkspaceError> {
        self.transaction(|db| {
            if db.execute("DELETE FROM release WHERE name = ?1 AND live = 0", [name])? == 0 {
                return Ok(false);
            }
            db.execute("DELETE FROM release_gate WHERE release = ?1", [name])?;
            db.execute("DELETE FROM release_pin WHERE release = ?1", [name])?;
            db.execute("DELETE FROM score_cache WHERE release = ?1", [name])?;
            Ok(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Config, Workspace};

    fn release(name: &str) -> ReleaseRow {
        ReleaseRow {
            name: name.into(),
            path: format!(".stratos/releases/{name}"),
            model: Digest::of(name),
            evaluation: Digest::of("e"),
            runtime: "stratos f32 cpu".into(),
            verdict: "Partial".into(),
            live: false,
            at: UnixMillis(1),
        }
    }

    #[test]
    fn a_roll_back_goes_to_what_was_served_before_and_passed_and_is_still_here() {
        let folder = tempfile::tempdir().expect("folder");
        Workspace::init(folder.path(), &Config::default()).expect("inits");
        let mut ledger = Workspace::open(folder.path()).expect("opens").ledger().expect("opens");
        assert_eq!(ledger.roll_back_to().expect("asks"), None);
        for (n, name) in ["one", "two", "three", "four"].into_iter().enumerate() {
            ledger.put_release(&release(name)).expect("stores");
            let gate = GateRow { passed: name != "two", body: "{}".into(), at: UnixMillis(2) };
            ledger.put_gate(name, &gate).expect("stores");
            assert!(ledger.go_live(name, UnixMillis(n as i64)).expect("serves"));
        }
        assert!(!ledger.go_live("five", UnixMillis(9)).expect("asks"), "there is none");
        assert_eq!(ledger.roll_back_to().expect("asks").as_deref(), Some("three"));
        assert!(ledger.remove_release("three").expect("removes") && !ledger.remove_release("four").expect("asks"), "it is live");
        assert_eq!(ledger.roll_back_to().expect("asks").as_deref(), Some("one"), "the second failed its gate");
        assert!(ledger.go_live("one", UnixMillis(9)).expect("serves"));
        assert_eq!(ledger.roll_back_to().expect("asks").as_deref(), Some("four"), "and there again");
        // Made again, it keeps its place and stays live.
        ledger.put_release(&ReleaseRow { verdict: "Success".into(), ..release("one") }).expect("stores");
        let names: Vec<(String, bool)> = ledger.releases().expect("reads").into_iter().map(|r| (r.name, r.live)).collect();
        assert_eq!(names, [("four".into(), false), ("two".into(), false), ("one".into(), true)]);
        ledger.pin("one", "embedded", &Digest::of("m"), UnixMillis(3)).expect("pins");
        assert_eq!(ledger.pinned("one", "embedded").expect("reads"), Some(Digest::of("m")));
    }
}
