-- Answers of live scores by what decided them, so that the same is not asked twice. Old ones go.
CREATE TABLE score_cache (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, release TEXT NOT NULL, output TEXT NOT NULL, stop TEXT NOT NULL,
  tokens INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, expected REAL
) STRICT;
-- What each live answer was like, for the drift watch; the texts of the newest ones alone are kept.
CREATE TABLE live_score (
  id INTEGER PRIMARY KEY, model TEXT NOT NULL, at INTEGER NOT NULL, pass TEXT NOT NULL, score REAL, cause TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, truncated INTEGER NOT NULL, seconds REAL NOT NULL, output TEXT
) STRICT;
CREATE INDEX live_score_by_model ON live_score (model, id);
-- What the two passes of the cascade cost and gave on judged rows.
CREATE TABLE frontier (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
