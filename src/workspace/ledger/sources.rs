//! Profiles and articles as stored: each row whole, with its origin and the digest of its content.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Ledger, Sql};
use crate::domain::{Article, ArticleId, Digest, Profile, ProfileId};
use crate::workspace::WorkspaceError;

/// Where a stored row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The recipe's data files; synchronised with them at each run.
    Shipped,
    Imported,
    /// Made from the rows of a file of labels, which carry texts and no ids. They are judged already, so distillation
    /// does not ask about them.
    Labels,
}

impl Origin {
    pub fn id(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Imported => "imported",
            Self::Labels => "labels",
        }
    }
}

/// What storing a set of rows changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upserted {
    pub added: usize,
    pub updated: usize,
    pub unchanged: usize,
}

/// A row with an id, whole.
pub(super) trait Stored: Serialize + DeserializeOwned {
    const TABLE: &'static str;
    fn id(&self) -> &str;
}

impl Stored for Profile {
    const TABLE: &'static str = "profile";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Stored for Article {
    const TABLE: &'static str = "article";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

pub(super) fn upsert<T: Stored>(db: &Connection, rows: &[T], origin: Origin) -> Sql<Upserted> {
    let mut count = Upserted::default();
    let table = T::TABLE;
    let mut find = db.prepare(&format!("SELECT digest FROM {table} WHERE id = ?1"))?;
    let mut next: i64 = db.query_row(&format!("SELECT coalesce(max(position), 0) + 1 FROM {table}"), [], |r| r.get(0))?;
    let mut insert =
        db.prepare(&format!("INSERT INTO {table} (id, origin, position, digest, body) VALUES (?1, ?2, ?3, ?4, ?5)"))?;
    let mut update = db.prepare(&format!("UPDATE {table} SET origin = ?2, digest = ?3, body = ?4 WHERE id = ?1"))?;
    for row in rows {
        let body = serde_json::to_string(row).unwrap_or_default();
        let digest = Digest::of(&body);
        let known: Option<String> = find.query_row([row.id()], |r| r.get(0)).optional()?;
        match known {
            Some(same) if same == digest.as_str() => count.unchanged += 1,
            Some(_) => {
                update.execute(params![row.id(), origin.id(), digest.as_str(), body])?;
                count.updated += 1;
            }
            None => {
                insert.execute(params![row.id(), origin.id(), next, digest.as_str(), body])?;
                next += 1;
                count.added += 1;
            }
        }
    }
    Ok(count)
}

fn all<T: Stored>(db: &Connection) -> Sql<Vec<(T, String)>> {
    let mut query = db.prepare(&format!("SELECT body, origin FROM {} ORDER BY position", T::TABLE))?;
    let rows = query.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
    // A body that no longer reads was written by another version; it is left out rather than failing the whole list.
    rows.map(|row| row.map(|(body, origin)| serde_json::from_str(&body).ok().map(|v| (v, origin))))
        .filter_map(Sql::transpose)
        .collect()
}

fn retain<T: Stored>(db: &Connection, rows: &[T], origin: Origin) -> Sql<usize> {
    let keep: std::collections::HashSet<&str> = rows.iter().map(Stored::id).collect();
    let mut query = db.prepare(&format!("SELECT id FROM {} WHERE origin = ?1", T::TABLE))?;
    let ids: Vec<String> = query.query_map([origin.id()], |r| r.get(0))?.collect::<Sql<_>>()?;
    let mut delete = db.prepare(&format!("DELETE FROM {} WHERE id = ?1", T::TABLE))?;
    let gone = ids.iter().filter(|id| !keep.contains(id.as_str()));
    gone.map(|id| delete.execute([id])).sum()
}

impl Ledger {
    /// Stores profiles; a row with a known id replaces it.
    pub fn put_profiles(&mut self, rows: &[Profile], origin: Origin) -> Result<Upserted, WorkspaceError> {
        self.transaction(|db| upsert(db, rows, origin))
    }

    pub fn put_articles(&mut self, rows: &[Article], origin: Origin) -> Result<Upserted, WorkspaceError> {
        self.transaction(|db| upsert(db, rows, origin))
    }

    /// Stores other texts of imported articles; their origins stay.
    pub fn update_articles(&mut self, rows: &[Article]) -> Result<(), WorkspaceError> {
        self.transaction(|db| {
            let mut update = db.prepare("UPDATE article SET digest = ?2, body = ?3 WHERE id = ?1")?;
            for row in rows {
                let body = serde_json::to_string(row).unwrap_or_default();
                update.execute(params![row.id.as_str(), Digest::of(&body).as_str(), body])?;
            }
            Ok(())
        })
    }

    /// Takes a profile out of the list; answers about it stay.
    pub fn remove_profile(&mut self, id: &ProfileId) -> Result<(), WorkspaceError> {
        self.run(|db| db.execute("DELETE FROM profile WHERE id = ?1", [id.as_str()]).map(|_| ()))
    }

    /// Makes the shipped rows equal to their file: adds, updates, and drops what the file no longer has.
    pub fn sync_profiles(&mut self, rows: &[Profile]) -> Result<Upserted, WorkspaceError> {
        self.transaction(|db| retain(db, rows, Origin::Shipped).and_then(|_| upsert(db, rows, Origin::Shipped)))
    }

    pub fn sync_articles(&mut self, rows: &[Article]) -> Result<Upserted, WorkspaceError> {
        self.transaction(|db| retain(db, rows, Origin::Shipped).and_then(|_| upsert(db, rows, Origin::Shipped)))
    }

    /// All profiles with their origins, in the order they were added.
    pub fn profiles(&self) -> Result<Vec<(Profile, String)>, WorkspaceError> {
        self.run(all)
    }

    pub fn articles(&self) -> Result<Vec<(Article, String)>, WorkspaceError> {
        self.run(all)
    }

    /// Calls `take` with one article after the other and its origin, in the order they were added: however many there are,
    /// one is in memory.
    pub fn each_article(&self, mut take: impl FnMut(Article, &str)) -> Result<(), WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT body, origin FROM article ORDER BY position")?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                // A body that no longer reads was written by another version.
                if let Ok(article) = serde_json::from_str(row.get_ref(0)?.as_str()?) {
                    take(article, row.get_ref(1)?.as_str()?);
                }
            }
            Ok(())
        })
    }

    /// The articles that are wanted by id and origin, in the order they were added; no other is read.
    pub fn articles_where(&self, mut wanted: impl FnMut(&str, &str) -> bool) -> Result<Vec<Article>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT id, origin, body FROM article ORDER BY position")?;
            let mut rows = query.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                if wanted(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?) {
                    found.extend(serde_json::from_str::<Article>(row.get_ref(2)?.as_str()?).ok());
                }
            }
            Ok(found)
        })
    }

    /// Calls `take` with the id and the origin of one article after the other, in the order they were added.
    pub fn each_article_origin(&self, mut take: impl FnMut(&str, &str)) -> Result<(), WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT id, origin FROM article ORDER BY position")?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                take(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            }
            Ok(())
        })
    }

    pub fn article(&self, id: &ArticleId) -> Result<Option<Article>, WorkspaceError> {
        let body: Option<String> =
            self.run(|db| db.query_row("SELECT body FROM article WHERE id = ?1", [id.as_str()], |r| r.get(0)).optional())?;
        Ok(body.and_then(|b| serde_json::from_str(&b).ok()))
    }

    /// Digest over the imported rows of one table, without reading their bodies.
    pub fn imported_digest(&self, profiles: bool) -> Result<Digest, WorkspaceError> {
        let table = if profiles { Profile::TABLE } else { Article::TABLE };
        let digests: Vec<String> = self.run(|db| {
            let mut query = db.prepare(&format!("SELECT digest FROM {table} WHERE origin = 'imported' ORDER BY id"))?;
            let rows = query.query_map([], |r| r.get(0))?;
            rows.collect()
        })?;
        Ok(Digest::of_json(&digests))
    }
}
