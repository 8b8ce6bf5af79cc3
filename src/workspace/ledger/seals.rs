//! Sealed hold-outs and every look at them.

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use crate::domain::{Digest, UnixMillis};
use crate::workspace::WorkspaceError;

/// A seal as it was made; its members stand in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct SealRecord {
    /// Of the file's bytes.
    pub digest: Digest,
    /// The seal that this one contains.
    pub previous: Option<Digest>,
    /// Name below `.stratos/seals/`.
    pub file: String,
    pub clusters: usize,
    pub articles: usize,
    pub profiles: usize,
    /// The operator's reason where one was needed; else empty.
    pub why: String,
    pub at: UnixMillis,
}

/// One look at the sealed rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// Counts every opening of every seal of this workspace, from 1.
    pub number: u64,
    pub seal: Digest,
    pub who: String,
    pub why: String,
    pub evaluation: Option<Digest>,
    pub rows: usize,
    pub at: UnixMillis,
}

impl Ledger {
    /// Stores a seal with the bytes of its file.
    pub fn put_seal(&mut self, seal: &SealRecord, body: &[u8]) -> Result<(), WorkspaceError> {
        let sql = "INSERT INTO seal (digest, previous, file, clusters, articles, profiles, why, at, body)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.transaction(|db| {
            let previous = seal.previous.as_ref().map(Digest::as_str);
            db.execute(
                sql,
                params![
                    seal.digest.as_str(),
                    previous,
                    seal.file,
                    count(seal.clusters),
                    count(seal.articles),
                    count(seal.profiles),
                    seal.why,
                    seal.at.0,
                    body
                ],
            )
            .map(|_| ())
        })
    }

    /// All seals, oldest first; the last one holds.
    pub fn seals(&self) -> Result<Vec<SealRecord>, WorkspaceError> {
        self.run(|db| {
            let mut query =
                db.prepare("SELECT digest, previous, file, clusters, articles, profiles, why, at FROM seal ORDER BY id")?;
            let count = |n: i64| usize::try_from(n).unwrap_or_default();
            let rows = query.query_map([], |r| {
                Ok(SealRecord {
                    digest: Digest::from_hex(r.get::<_, String>(0)?),
                    previous: r.get::<_, Option<String>>(1)?.map(Digest::from_hex),
                    file: r.get(2)?,
                    clusters: count(r.get(3)?),
                    articles: count(r.get(4)?),
                    profiles: count(r.get(5)?),
                    why: r.get(6)?,
                    at: UnixMillis(r.get(7)?),
                })
            })?;
            rows.collect()
        })
    }

    /// The bytes of a seal's file, as they were written.
    pub fn seal_body(&self, digest: &Digest) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let sql = "SELECT body FROM seal WHERE digest = ?1";
        self.run(|db| db.query_row(sql, [digest.as_str()], |r| r.get(0)).optional())
    }

    /// Records a look at the sealed rows and returns its number.
    pub fn put_opening(
        &mut self,
        seal: &Digest,
        (who, why): (&str, &str),
        evaluation: Option<&Digest>,
        rows: usize,
        at: UnixMillis,
    ) -> Result<u64, WorkspaceError> {
        let sql = "INSERT INTO seal_opening (seal, who, why, evaluation, rows, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.transaction(|db| {
            db.execute(sql, params![seal.as_str(), who, why, evaluation.map(Digest::as_str), rows, at.0])?;
            db.query_row("SELECT count(*) FROM seal_opening", [], |r| r.get::<_, i64>(0)).map(i64::unsigned_abs)
        })
    }

    /// All openings, oldest first.
    pub fn openings(&self) -> Result<Vec<Opening>, WorkspaceError> {
        let mut number = 0;
        self.run(|db| {
            let mut query = db.prepare("SELECT seal, who, why, evaluation, rows, at FROM seal_opening ORDER BY id")?;
            let rows = query.query_map([], |r| {
                number += 1;
                Ok(Opening {
                    number,
                    seal: Digest::from_hex(r.get::<_, String>(0)?),
                    who: r.get(1)?,
                    why: r.get(2)?,
                    evaluation: r.get::<_, Option<String>>(3)?.map(Digest::from_hex),
                    rows: usize::try_from(r.get::<_, i64>(4)?).unwrap_or_default(),
                    at: UnixMillis(r.get(5)?),
                })
            })?;
            rows.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_counted_over_all_seals() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut ledger = Ledger::open(&dir.path().join("ledger.sqlite")).expect("opens");
        let seal = |name: &str, previous: Option<Digest>| SealRecord {
            digest: Digest::of(name),
            previous,
            file: format!("{name}.json"),
            clusters: 3,
            articles: 4,
            profiles: 1,
            why: String::new(),
            at: UnixMillis(1),
        };
        let (first, second) = (seal("a", None), seal("b", Some(Digest::of("a"))));
        ledger.put_seal(&first, b"a").expect("stores");
        ledger.put_seal(&second, b"b").expect("stores");
        assert_eq!(ledger.seals().expect("reads"), [first.clone(), second.clone()]);
        assert_eq!(ledger.seal_body(&second.digest).expect("reads").as_deref(), Some(&b"b"[..]));
        let open = |ledger: &mut Ledger, seal: &SealRecord| {
            ledger.put_opening(&seal.digest, ("me", "because"), None, 7, UnixMillis(2)).expect("stores")
        };
        assert_eq!((open(&mut ledger, &first), open(&mut ledger, &second)), (1, 2));
        let last = ledger.openings().expect("reads").pop().expect("two");
        assert_eq!((last.number, last.seal, last.rows), (2, second.digest, 7));
    }
}
