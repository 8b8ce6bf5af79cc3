//! Live scores: the cache of answers, what the drift watch looks at, and the cascade's measured frontiers.

use rusqlite::{OptionalExtension, params};

use super::Ledger;
use crate::domain::{Digest, UnixMillis};
use crate::workspace::WorkspaceError;

/// Live answers whose figures are kept.
pub const LIVE_KEPT: usize = 20_000;

/// Of those the newest whose texts are kept too.
pub const LIVE_TEXTS: usize = 200;

/// An answer of the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedAnswer {
    pub output: String,
    /// As JSON spells it.
    pub stop: String,
    pub tokens: usize,
    pub prompt_tokens: usize,
    /// The probability-weighted score.
    pub expected: Option<f64>,
}

/// One live answer.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveScore {
    pub at: UnixMillis,
    /// Which pass decided: "only", "fast" or "think".
    pub pass: String,
    pub score: Option<f64>,
    /// Why it has no score, or what else went wrong; empty: nothing.
    pub cause: String,
    pub prompt_tokens: usize,
    /// The prompt did not fit and was not answered.
    pub truncated: bool,
    pub seconds: f64,
    /// The whole text; `None`: too old to be kept.
    pub output: Option<String>,
}

impl Ledger {
    /// This connection's writes need not be on the disk when the power goes: what can be asked again is not waited for. A
    /// crash of the program loses nothing.
    pub fn relax(&self) -> Result<(), WorkspaceError> {
        self.run(|db| db.pragma_update(None, "synchronous", "NORMAL"))
    }

    pub fn cached_answer(&self, key: &Digest) -> Result<Option<CachedAnswer>, WorkspaceError> {
        let sql = "SELECT output, stop, tokens, prompt_tokens, expected FROM score_cache WHERE key = ?1";
        self.run(|db| {
            let row = |r: &rusqlite::Row<'_>| {
                Ok(CachedAnswer {
                    output: r.get(0)?,
                    stop: r.get(1)?,
                    tokens: usize::try_from(r.get::<_, i64>(2)?).unwrap_or(0),
                    prompt_tokens: usize::try_from(r.get::<_, i64>(3)?).unwrap_or(0),
                    expected: r.get(4)?,
                })
            };
            db.prepare_cached(sql)?.query_row([key.as_str()], row).optional()
        })
    }

    /// Keeps an answer; an older one of the same key gives way and is the newest again.
    pub fn put_cached_answer(&mut self, key: &Digest, release: &str, answer: &CachedAnswer) -> Result<(), WorkspaceError> {
        let sql = "INSERT OR REPLACE INTO score_cache (key, release, output, stop, tokens, prompt_tokens, expected) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (tokens, prompt_tokens) = (answer.tokens as i64, answer.prompt_tokens as i64);
        let expected = answer.expected.filter(|e| e.is_finite());
        self.transaction(|db| {
            db.prepare_cached(sql)?
                .execute(params![key.as_str(), release, answer.output, answer.stop, tokens, prompt_tokens, expected])
                .map(|_| ())
        })
    }

    /// Lets go what is beyond `most`, oldest first, and every answer of a release that is gone. Says how many went.
    pub fn trim_cache(&mut self, most: usize) -> Result<usize, WorkspaceError> {
        let old = "DELETE FROM score_cache WHERE id <= (SELECT id FROM score_cache ORDER BY id DESC LIMIT 1 OFFSET ?1)";
        let gone = "DELETE FROM score_cache WHERE release != '' AND release NOT IN (SELECT name FROM release)";
        self.transaction(|db| Ok(db.execute(gone, [])? + db.execute(old, [most as i64])?))
    }

    /// Notes a live answer of the model with this digest, and lets the oldest go.
    pub fn put_live_score(&mut self, model: &Digest, row: &LiveScore) -> Result<(), WorkspaceError> {
        let sql = "INSERT INTO live_score (model, at, pass, score, cause, prompt_tokens, truncated, seconds, output) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let score = row.score.filter(|s| s.is_finite());
        let tokens = row.prompt_tokens as i64;
        self.transaction(|db| {
            db.prepare_cached(sql)?.execute(params![
                model.as_str(),
                row.at.0,
                row.pass,
                score,
                row.cause,
                tokens,
                row.truncated,
                row.seconds,
                row.output
            ])?;
            let newest = db.last_insert_rowid();
            db.prepare_cached("DELETE FROM live_score WHERE id <= ?1")?.execute([newest - LIVE_KEPT as i64])?;
            let texts = "UPDATE live_score SET output = NULL WHERE id = ?1";
            db.prepare_cached(texts)?.execute([newest - LIVE_TEXTS as i64]).map(|_| ())
        })
    }

    /// The last live answers of a model, newest first.
    pub fn live_scores(&self, model: &Digest, most: usize) -> Result<Vec<LiveScore>, WorkspaceError> {
        let sql = "SELECT at, pass, score, cause, prompt_tokens, truncated, seconds, output FROM live_score \
                   WHERE model = ?1 ORDER BY id DESC LIMIT ?2";
        self.run(|db| {
            let mut query = db.prepare(sql)?;
            let rows = query.query_map(params![model.as_str(), most as i64], |r| {
                Ok(LiveScore {
                    at: UnixMillis(r.get(0)?),
                    pass: r.get(1)?,
                    score: r.get(2)?,
                    cause: r.get(3)?,
                    prompt_tokens: usize::try_from(r.get::<_, i64>(4)?).unwrap_or(0),
                    truncated: r.get(5)?,
                    seconds: r.get(6)?,
                    output: r.get(7)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Whose live answers were noted last: the model's digest.
    pub fn last_live_model(&self) -> Result<Option<Digest>, WorkspaceError> {
        let sql = "SELECT model FROM live_score ORDER BY id DESC LIMIT 1";
        self.run(|db| db.query_row(sql, [], |r| r.get(0).map(|hex: String| Digest::from_hex(hex))).optional())
    }

    /// Keeps a measured frontier, as JSON.
    pub fn put_frontier(&mut self, body: &str, at: UnixMillis) -> Result<(), WorkspaceError> {
        self.transaction(|db| db.execute("INSERT INTO frontier (at, body) VALUES (?1, ?2)", params![at.0, body]).map(|_| ()))
    }

    /// The newest frontier, as JSON.
    pub fn last_frontier(&self) -> Result<Option<(UnixMillis, String)>, WorkspaceError> {
        let sql = "SELECT at, body FROM frontier ORDER BY id DESC LIMIT 1";
        self.run(|db| db.query_row(sql, [], |r| Ok((UnixMillis(r.get(0)?), r.get(1)?))).optional())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let dir = tempfile::tempdir().expect("temp dir");
        let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).expect("opens");
        (dir, ledger)
    }

    fn answer(output: &str) -> CachedAnswer {
        CachedAnswer { output: output.into(), stop: "\"end\"".into(), tokens: 3, prompt_tokens: 9, expected: Some(4.5) }
    }

    fn live(n: usize) -> LiveScore {
        LiveScore {
            at: UnixMillis(n as i64),
            pass: "only".into(),
            score: Some(n as f64 % 10.0),
            cause: String::new(),
            prompt_tokens: 9,
            truncated: false,
            seconds: 0.5,
            output: Some(format!("text {n}")),
        }
    }

    #[test]
    fn the_oldest_answers_go_first_and_those_of_a_release_that_is_gone_go_at_once() {
        let (_dir, mut ledger) = ledger();
        let key = |n: usize| Digest::of(n.to_string());
        for n in 0..6 {
            ledger.put_cached_answer(&key(n), if n == 5 { "gone" } else { "" }, &answer(&n.to_string())).expect("keeps");
        }
        ledger.put_cached_answer(&key(0), "", &answer("again")).expect("keeps");
        assert_eq!(ledger.trim_cache(3).expect("trims"), 3);
        let kept: Vec<Option<String>> = (0..6).map(|n| ledger.cached_answer(&key(n)).expect("reads").map(|a| a.output)).collect();
        let words = |text: &str| Some(text.to_owned());
        assert_eq!(kept, [words("again"), None, None, words("3"), words("4"), None]);
        assert_eq!(ledger.cached_answer(&key(3)).expect("reads"), Some(answer("3")));
    }

    #[test]
    fn live_scores_are_kept_by_model_newest_first_and_only_the_newest_with_their_text() {
        let (_dir, mut ledger) = ledger();
        let (one, two) = (Digest::of("one"), Digest::of("two"));
        for n in 0..LIVE_TEXTS + 5 {
            ledger.put_live_score(if n == 3 { &two } else { &one }, &live(n)).expect("notes");
        }
        let rows = ledger.live_scores(&one, 1000).expect("reads");
        assert_eq!(rows.len(), LIVE_TEXTS + 4);
        assert_eq!(rows[0], live(LIVE_TEXTS + 4));
        assert_eq!(rows.iter().filter(|r| r.output.is_some()).count(), LIVE_TEXTS);
        assert_eq!(ledger.live_scores(&two, 10).expect("reads").len(), 1);
        assert_eq!(ledger.last_live_model().expect("reads"), Some(one));
    }
}
