//! Articles on their way in: proved and collected in a table of this connection's own, then stored in one transaction.
//!
//! Nobody else sees what is collected and nobody waits for it; what is not stored is gone with the connection. Memory stays
//! small however many articles there are.

use rusqlite::{OptionalExtension, params};

use super::sources::{Origin, Upserted};
use super::{Ledger, Sql};
use crate::domain::{Article, Digest, SourceType};
use crate::workspace::WorkspaceError;

const BEGIN: &str = "
    DROP TABLE IF EXISTS temp.incoming;
    CREATE TEMP TABLE incoming (
      at INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, place TEXT NOT NULL, digest TEXT NOT NULL, body TEXT NOT NULL
    ) STRICT;";

/// What became of an article that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    New,
    /// The same article came before; it counts once.
    Again,
    /// Another article has its id already; it stands there.
    Taken(String),
}

/// Articles that are collected and not stored yet.
pub struct Incoming {
    ledger: Ledger,
}

impl Incoming {
    pub fn open(ledger: Ledger) -> Result<Self, WorkspaceError> {
        ledger.run(|db| db.execute_batch(BEGIN))?;
        Ok(Self { ledger })
    }

    /// Forgets what was collected.
    pub fn clear(&mut self) -> Result<(), WorkspaceError> {
        self.ledger.run(|db| db.execute_batch(BEGIN))
    }

    /// The source type that a stored article of this id has: an operator may have said it.
    pub fn stored_type(&self, id: &str) -> Result<Option<SourceType>, WorkspaceError> {
        let body: Option<String> = self
            .ledger
            .run(|db| db.prepare_cached("SELECT body FROM article WHERE id = ?1")?.query_row([id], |r| r.get(0)).optional())?;
        Ok(body.and_then(|body| serde_json::from_str::<Article>(&body).ok()).map(|article| article.source_type))
    }

    /// Collects one article. `place`: where it stands, for words about a second one with its id.
    pub fn offer(&mut self, article: &Article, place: &str) -> Result<Offered, WorkspaceError> {
        let body = serde_json::to_string(article).unwrap_or_default();
        let digest = Digest::of(&body);
        self.ledger.run(|db| {
            let mut insert =
                db.prepare_cached("INSERT OR IGNORE INTO temp.incoming (id, place, digest, body) VALUES (?1, ?2, ?3, ?4)")?;
            if insert.execute(params![article.id.as_str(), place, digest.as_str(), body])? == 1 {
                return Ok(Offered::New);
            }
            let mut find = db.prepare_cached("SELECT digest, place FROM temp.incoming WHERE id = ?1")?;
            let (known, first): (String, String) = find.query_row([article.id.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))?;
            Ok(if known == digest.as_str() { Offered::Again } else { Offered::Taken(first) })
        })
    }

    /// Stores what was collected, in its order: all of it, or nothing. An article with a known id replaces it.
    pub fn store(&mut self, origin: Origin) -> Result<Upserted, WorkspaceError> {
        self.ledger.transaction(|db| {
            let count = |sql: &str| -> Sql<usize> { db.query_row(sql, [], |r| r.get::<_, i64>(0)).map(|n| n as usize) };
            let all = count("SELECT count(*) FROM temp.incoming")?;
            let known = "SELECT count(*) FROM temp.incoming AS i JOIN main.article AS a ON a.id = i.id";
            let (known, unchanged) = (count(known)?, count(&format!("{known} AND a.digest = i.digest"))?);
            let update = "UPDATE main.article SET origin = ?1, digest = i.digest, body = i.body
                          FROM temp.incoming AS i WHERE article.id = i.id AND article.digest <> i.digest";
            db.execute(update, [origin.id()])?;
            let last: i64 = db.query_row("SELECT coalesce(max(position), 0) FROM main.article", [], |r| r.get(0))?;
            let insert = "INSERT INTO main.article (id, origin, position, digest, body)
                          SELECT i.id, ?1, ?2 + i.at, i.digest, i.body FROM temp.incoming AS i
                          WHERE NOT EXISTS (SELECT 1 FROM main.article AS a WHERE a.id = i.id) ORDER BY i.at";
            db.execute(insert, params![origin.id(), last])?;
            Ok(Upserted { added: all - known, updated: known - unchanged, unchanged })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn article(id: &str, title: &str) -> Article {
        serde_json::from_value(serde_json::json!({"id": id, "title": title})).expect("reads")
    }

    #[test]
    fn what_is_collected_is_stored_whole_in_its_order_or_not_at_all() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("ledger.sqlite");
        let mut incoming = Incoming::open(Ledger::open(&file).expect("opens")).expect("begins");
        for (row, wanted) in [
            (article("b", "B"), Offered::New),
            (article("a", "A"), Offered::New),
            (article("a", "A"), Offered::Again),
            (article("a", "other"), Offered::Taken("line 2".into())),
        ] {
            let place = if row.id.as_str() == "b" { "line 1" } else { "line 2" };
            assert_eq!(incoming.offer(&row, place).expect("asked"), wanted, "{row:?}");
        }
        let look = Ledger::open(&file).expect("opens");
        assert!(look.articles().expect("reads").is_empty(), "nothing is stored yet");
        assert_eq!(incoming.store(Origin::Imported).expect("stored"), Upserted { added: 2, updated: 0, unchanged: 0 });
        let ids: Vec<String> =
            look.articles().expect("reads").into_iter().map(|(article, _)| article.id.as_str().to_owned()).collect();
        assert_eq!(ids, ["b", "a"]);

        incoming.clear().expect("clears");
        for row in [article("a", "A"), article("b", "another title"), article("c", "C")] {
            incoming.offer(&row, "").expect("taken");
        }
        assert_eq!(incoming.store(Origin::Imported).expect("stored"), Upserted { added: 1, updated: 1, unchanged: 1 });
        let titles: Vec<String> = look.articles().expect("reads").into_iter().map(|(a, _)| a.title).collect();
        assert_eq!(titles, ["another title", "A", "C"]);
    }
}
