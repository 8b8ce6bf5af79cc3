//! Imported labels: files by their content, rows by their line.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};

use super::decisions::pair_of;
use super::sources::{Origin, upsert};
use super::{Ledger, Sql};
use crate::domain::{Article, Digest, Finding, Label, LabelKind, LabelState, PairKey, Profile, Trust, UnixMillis};
use crate::workspace::WorkspaceError;

/// A file of labels, before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSource {
    /// Its name without folders.
    pub name: String,
    /// Of its bytes.
    pub sha256: Digest,
    /// Who judged the rows that do not say.
    pub annotator: String,
    pub trust: Trust,
    pub kind: LabelKind,
}

/// A stored file of labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSource {
    pub id: i64,
    pub name: String,
    pub sha256: Digest,
    pub annotator: String,
    pub trust: Trust,
    pub kind: LabelKind,
    pub rows: usize,
    pub at: UnixMillis,
    /// What the import guards saw of its rows.
    pub findings: Vec<Finding>,
}

/// A label with the id of its source.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLabel {
    pub source: i64,
    pub label: Label,
}

impl Ledger {
    /// Stores a file, its rows, and the readers and articles that were made of them, in one transaction. `None`: these bytes
    /// are stored already, and nothing changes.
    pub fn put_labels(
        &mut self,
        source: &NewSource,
        labels: &[Label],
        (profiles, articles): (&[Profile], &[Article]),
        at: UnixMillis,
    ) -> Result<Option<i64>, WorkspaceError> {
        self.transaction(|db| {
            let known = "SELECT id FROM label_source WHERE sha256 = ?1";
            let known: Option<i64> = db.query_row(known, [source.sha256.as_str()], |r| r.get(0)).optional()?;
            if known.is_some() {
                return Ok(None);
            }
            upsert(db, profiles, Origin::Labels)?;
            upsert(db, articles, Origin::Labels)?;
            db.execute(
                "INSERT INTO label_source (name, sha256, annotator, trust, kind, rows, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    source.name,
                    source.sha256.as_str(),
                    source.annotator,
                    source.trust.id(),
                    source.kind.id(),
                    count(labels.len()),
                    at.0
                ],
            )?;
            let id = db.last_insert_rowid();
            let mut insert = db.prepare(
                "INSERT INTO label (source, line, annotator, article, profile, body, state, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for l in labels {
                let body = serde_json::to_string(&l.body).unwrap_or_default();
                insert.execute(params![id, count(l.line), l.annotator, l.article, l.profile, body, l.state.id(), l.reason])?;
            }
            Ok(Some(id))
        })
    }

    /// All stored files, oldest first.
    pub fn label_sources(&self) -> Result<Vec<LabelSource>, WorkspaceError> {
        self.run(|db| {
            let mut query =
                db.prepare("SELECT id, name, sha256, annotator, trust, kind, rows, at, findings FROM label_source ORDER BY id")?;
            let rows = query.query_map([], source_of)?;
            rows.collect()
        })
    }

    /// Every label, in order of file and line.
    pub fn labels(&self) -> Result<Vec<StoredLabel>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare(
                "SELECT source, line, annotator, article, profile, body, state, reason FROM label ORDER BY source, line",
            )?;
            let rows = query.query_map([], label_of)?;
            rows.collect()
        })
    }

    /// The pairs of all labels whose ids are usable, as often as they are labelled.
    pub fn label_pairs(&self) -> Result<Vec<PairKey>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT article, profile FROM label")?;
            let rows = query.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
            rows.filter_map(|row| row.map(|(article, profile)| pair_of(&article, &profile).ok()).transpose()).collect()
        })
    }

    /// Where labels stand now, by (source, line): states follow from what else was imported since.
    pub fn set_label_states(&mut self, changes: &[(i64, usize, LabelState, String)]) -> Result<(), WorkspaceError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.transaction(|db| {
            let mut update = db.prepare("UPDATE label SET state = ?3, reason = ?4 WHERE source = ?1 AND line = ?2")?;
            for (source, line, state, reason) in changes {
                update.execute(params![source, count(*line), state.id(), reason])?;
            }
            Ok(())
        })
    }

    pub fn put_source_findings(&mut self, source: i64, findings: &[Finding]) -> Result<(), WorkspaceError> {
        let text = serde_json::to_string(findings).unwrap_or_default();
        let sql = "UPDATE label_source SET findings = ?2 WHERE id = ?1";
        self.transaction(|db| db.execute(sql, params![source, text]).map(|_| ()))
    }

    /// How many labels of each source stand where, by (source, state, reason).
    pub fn label_counts(&self) -> Result<BTreeMap<(i64, String, String), usize>, WorkspaceError> {
        self.run(|db| {
            let mut query = db.prepare("SELECT source, state, reason, count(*) FROM label GROUP BY source, state, reason")?;
            let rows = query.query_map([], |r| Ok(((r.get(0)?, r.get(1)?, r.get(2)?), r.get::<_, i64>(3)?)))?;
            rows.map(|row| row.map(|(key, n)| (key, usize::try_from(n).unwrap_or_default()))).collect()
        })
    }

    /// Who judged the rows of each source.
    pub fn label_annotators(&self) -> Result<BTreeMap<i64, Vec<String>>, WorkspaceError> {
        let rows: Vec<(i64, String)> = self.run(|db| {
            let mut query = db.prepare("SELECT DISTINCT source, annotator FROM label ORDER BY source, annotator")?;
            let rows = query.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect()
        })?;
        let mut of_source: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for (source, annotator) in rows {
            of_source.entry(source).or_default().push(annotator);
        }
        Ok(of_source)
    }

    /// Digest of what was imported as labels: files, annotators, trust, and the texts that came with them. `None`: nothing.
    pub fn labels_digest(&self) -> Result<Option<Digest>, WorkspaceError> {
        let mut parts: Vec<String> = self.run(|db| {
            let mut query = db.prepare(
                "SELECT sha256 || ' ' || annotator || ' ' || trust FROM label_source
                 UNION ALL SELECT digest FROM article WHERE origin = 'labels'
                 UNION ALL SELECT digest FROM profile WHERE origin = 'labels'",
            )?;
            let rows = query.query_map([], |r| r.get(0))?;
            rows.collect()
        })?;
        parts.sort();
        Ok((!parts.is_empty()).then(|| Digest::of_json(&parts)))
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn source_of(r: &Row<'_>) -> Sql<LabelSource> {
    Ok(LabelSource {
        id: r.get(0)?,
        name: r.get(1)?,
        sha256: Digest::from_hex(r.get::<_, String>(2)?),
        annotator: r.get(3)?,
        trust: r.get::<_, String>(4)?.parse().unwrap_or_default(),
        kind: LabelKind::from_id(&r.get::<_, String>(5)?).unwrap_or(LabelKind::Scores),
        rows: usize::try_from(r.get::<_, i64>(6)?).unwrap_or_default(),
        at: UnixMillis(r.get(7)?),
        findings: serde_json::from_str(&r.get::<_, String>(8)?).unwrap_or_default(),
    })
}

fn label_of(r: &Row<'_>) -> Sql<StoredLabel> {
    let unreadable = |e: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(e));
    let label = Label {
        line: usize::try_from(r.get::<_, i64>(1)?).unwrap_or_default(),
        annotator: r.get(2)?,
        article: r.get(3)?,
        profile: r.get(4)?,
        body: serde_json::from_str(&r.get::<_, String>(5)?).map_err(unreadable)?,
        state: LabelState::from_id(&r.get::<_, String>(6)?).unwrap_or(LabelState::Quarantined),
        reason: r.get(7)?,
    };
    Ok(StoredLabel { source: r.get(0)?, label })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LabelBody;

    fn source(sha256: &str) -> NewSource {
        let sha256 = Digest::of(sha256);
        NewSource { name: "s.jsonl".into(), sha256, annotator: "a".into(), trust: Trust::Low, kind: LabelKind::Scores }
    }

    fn label(line: usize, score: f64) -> Label {
        let body = LabelBody { score: Some(score), reason: "Fine.".into(), ..LabelBody::default() };
        let (article, profile) = (format!("a{line}"), "p".to_owned());
        Label { line, annotator: "a".into(), article, profile, body, state: LabelState::Kept, reason: String::new() }
    }

    #[test]
    fn the_same_bytes_twice_change_nothing_and_states_can_follow_what_is_known() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut ledger = Ledger::open(&dir.path().join("ledger.sqlite")).expect("opens");
        assert_eq!(ledger.labels_digest().expect("reads"), None);
        let rows = [label(1, 1.5), label(3, 8.0)];
        let id = ledger.put_labels(&source("x"), &rows, (&[], &[]), UnixMillis(1)).expect("stores").expect("new");
        assert_eq!(ledger.put_labels(&source("x"), &rows[..1], (&[], &[]), UnixMillis(2)).expect("stores"), None);
        let stored = ledger.labels().expect("reads");
        assert_eq!(stored.iter().map(|s| s.label.clone()).collect::<Vec<_>>(), rows);
        let digest = ledger.labels_digest().expect("reads");
        ledger.set_label_states(&[(id, 3, LabelState::Orphan, "unknown article".into())]).expect("updates");
        let counts: Vec<_> = ledger.label_counts().expect("counts").into_iter().collect();
        assert_eq!(counts, [((id, "kept".into(), String::new()), 1), ((id, "orphan".into(), "unknown article".into()), 1)]);
        assert_eq!(ledger.labels_digest().expect("reads"), digest, "a state is no content");
        ledger.put_labels(&source("y"), &rows, (&[], &[]), UnixMillis(3)).expect("stores").expect("new");
        assert_ne!(ledger.labels_digest().expect("reads"), digest);
        assert_eq!(ledger.label_sources().expect("reads").len(), 2);
    }
}
