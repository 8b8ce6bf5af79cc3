//! Scores alone, without the texts that explain them: what a list of many articles shows.

use rusqlite::{Row, params};

use super::{Ledger, Sql};
use crate::domain::ArticleId;
use crate::workspace::WorkspaceError;

/// A score as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct BriefScore {
    pub article: String,
    pub profile: String,
    pub score: f64,
}

/// A score of one article, with who gave it and why.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedScore {
    pub profile: String,
    pub score: f64,
    pub by: String,
    pub reason: String,
}

impl Ledger {
    /// The teacher's scores, oldest answer first: the last one of a pair is the newest.
    pub fn each_trace_score(&self, provider: &str, model: &str, take: &mut dyn FnMut(&BriefScore)) -> Result<(), WorkspaceError> {
        let sql = "SELECT t.article, t.profile, json_extract(t.body, '$.answer.score') FROM trace t \
                   JOIN request q USING (custom_id) JOIN plan p ON p.digest = q.plan \
                   WHERE p.provider = ?1 AND p.model = ?2 ORDER BY q.rowid";
        self.run(|db| each(&mut db.prepare(sql)?, params![provider, model], take))
    }

    /// Scores of imported labels that may be taught from, oldest file first.
    pub fn each_label_score(&self, take: &mut dyn FnMut(&BriefScore)) -> Result<(), WorkspaceError> {
        let sql = "SELECT article, profile, json_extract(body, '$.score') FROM label WHERE state = 'kept' ORDER BY source, line";
        self.run(|db| each(&mut db.prepare(sql)?, [], take))
    }

    /// Every score of one article: labels in the order of their files, then the teachers' traces, oldest first.
    pub fn scores_of(&self, article: &ArticleId) -> Result<Vec<NamedScore>, WorkspaceError> {
        let sql = "SELECT profile, score, by, reason FROM (
             SELECT profile, json_extract(body, '$.score') AS score, annotator AS by, coalesce(json_extract(body, '$.reason'), '') AS reason,
                    0 AS rank, source * 1000000 + line AS at
             FROM label WHERE article = ?1 AND state = 'kept'
             UNION ALL
             SELECT t.profile, json_extract(t.body, '$.answer.score'), p.model, json_extract(t.body, '$.answer.reason'), 1, q.rowid
             FROM trace t JOIN request q USING (custom_id) JOIN plan p ON p.digest = q.plan WHERE t.article = ?1
           ) WHERE score IS NOT NULL ORDER BY rank, at";
        self.run(|db| {
            let mut query = db.prepare(sql)?;
            let named = |r: &Row<'_>| Ok(NamedScore { profile: r.get(0)?, score: r.get(1)?, by: r.get(2)?, reason: r.get(3)? });
            let rows = query.query_map([article.as_str()], named)?;
            rows.collect()
        })
    }
}

fn each(query: &mut rusqlite::Statement<'_>, values: impl rusqlite::Params, take: &mut dyn FnMut(&BriefScore)) -> Sql<()> {
    let mut rows = query.query(values)?;
    while let Some(row) = rows.next()? {
        if let Some(score) = row.get::<_, Option<f64>>(2)? {
            take(&BriefScore { article: row.get(0)?, profile: row.get(1)?, score });
        }
    }
    Ok(())
}
