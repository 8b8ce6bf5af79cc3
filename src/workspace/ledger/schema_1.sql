-- What is read: profiles and articles, whole, as JSON.
CREATE TABLE profile (
  id TEXT PRIMARY KEY, origin TEXT NOT NULL, position INTEGER NOT NULL, digest TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE TABLE article (
  id TEXT PRIMARY KEY, origin TEXT NOT NULL, position INTEGER NOT NULL, digest TEXT NOT NULL, body TEXT NOT NULL
) STRICT;

-- What each phase last made, and from what.
CREATE TABLE phase_record (
  id INTEGER PRIMARY KEY, phase TEXT NOT NULL, input TEXT NOT NULL, output TEXT NOT NULL,
  headline TEXT NOT NULL, at INTEGER NOT NULL, seconds REAL NOT NULL
) STRICT;
CREATE INDEX phase_record_by_phase ON phase_record (phase, id);

-- Distillation. A plan is what an approval is for; a submission is one batch at a provider.
CREATE TABLE plan (
  digest TEXT PRIMARY KEY, input TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, created INTEGER NOT NULL, estimate TEXT NOT NULL
) STRICT;
CREATE TABLE approval (
  id INTEGER PRIMARY KEY, plan TEXT NOT NULL REFERENCES plan, ceiling TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE submission (
  id INTEGER PRIMARY KEY, plan TEXT NOT NULL REFERENCES plan, attempt INTEGER NOT NULL, state TEXT NOT NULL,
  remote TEXT, requests INTEGER NOT NULL, answered INTEGER NOT NULL DEFAULT 0, bodies TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER
) STRICT;
-- One question, asked once per attempt. `cache_key` is the digest of provider, model and body: the same question is the same key.
CREATE TABLE request (
  custom_id TEXT PRIMARY KEY, plan TEXT NOT NULL REFERENCES plan, cache_key TEXT NOT NULL, article TEXT NOT NULL, profile TEXT NOT NULL,
  attempt INTEGER NOT NULL, state TEXT NOT NULL, submission INTEGER REFERENCES submission
) STRICT;
CREATE INDEX request_by_plan ON request (plan, state);
CREATE INDEX request_by_key ON request (cache_key);
CREATE INDEX request_by_submission ON request (submission);
-- The bytes as they came, before anything reads them. Never deleted.
CREATE TABLE raw_result (
  id INTEGER PRIMARY KEY, submission INTEGER NOT NULL REFERENCES submission, sha256 TEXT NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL,
  UNIQUE (submission, sha256)
) STRICT;
CREATE TABLE response (
  custom_id TEXT PRIMARY KEY REFERENCES request, text TEXT NOT NULL, stop TEXT NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, billed INTEGER NOT NULL
) STRICT;
CREATE TABLE trace (
  cache_key TEXT PRIMARY KEY, custom_id TEXT NOT NULL REFERENCES request, article TEXT NOT NULL, profile TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE TABLE reject (
  custom_id TEXT PRIMARY KEY REFERENCES request, reason TEXT NOT NULL
) STRICT;

-- What the operator decided.
CREATE TABLE acknowledgement (dataset TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE override (
  guard TEXT NOT NULL, subject TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (guard, subject)
) STRICT;
CREATE TABLE review (
  article TEXT NOT NULL, profile TEXT NOT NULL, trace TEXT NOT NULL, verdict TEXT NOT NULL, note TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (article, profile, trace)
) STRICT;

-- What the guards saw, newest per (phase, guard).
CREATE TABLE finding (
  phase TEXT NOT NULL, guard TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (phase, guard)
) STRICT;

-- Answers of a model, one by one, so that an interrupted evaluation goes on where it was.
CREATE TABLE prediction (
  subject TEXT NOT NULL, article TEXT NOT NULL, profile TEXT NOT NULL, output TEXT NOT NULL, tokens INTEGER NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (subject, article, profile)
) STRICT;
CREATE TABLE evaluation (subject TEXT PRIMARY KEY, body TEXT NOT NULL, at INTEGER NOT NULL) STRICT;

CREATE TABLE release (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path TEXT NOT NULL, model TEXT NOT NULL, evaluation TEXT NOT NULL,
  runtime TEXT NOT NULL, verdict TEXT NOT NULL, live INTEGER NOT NULL, at INTEGER NOT NULL
) STRICT;
