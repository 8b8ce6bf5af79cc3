-- Labels: judgements that came as files. One source per file content, so the same bytes twice change nothing.
CREATE TABLE label_source (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, annotator TEXT NOT NULL, trust TEXT NOT NULL,
  kind TEXT NOT NULL, rows INTEGER NOT NULL, at INTEGER NOT NULL,
  -- What the import guards saw of it, as JSON.
  findings TEXT NOT NULL DEFAULT '[]'
) STRICT;
-- Every row of every source, those that cannot be taught from too. `state` follows from the rows, the recipe and what else
-- is imported; it is kept so that it can be counted.
CREATE TABLE label (
  source INTEGER NOT NULL REFERENCES label_source, line INTEGER NOT NULL, annotator TEXT NOT NULL,
  article TEXT NOT NULL, profile TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (source, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_pair ON label (article, profile);

-- Sealed hold-outs, newest last; a later one contains the one it follows. `body` is the file as it was written, so that a
-- changed or lost one can be told and restored.
CREATE TABLE seal (
  id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, previous TEXT, file TEXT NOT NULL,
  clusters INTEGER NOT NULL, articles INTEGER NOT NULL, profiles INTEGER NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
-- Every look at the sealed rows. Never deleted.
CREATE TABLE seal_opening (
  id INTEGER PRIMARY KEY, seal TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, evaluation TEXT, rows INTEGER NOT NULL, at INTEGER NOT NULL
) STRICT;
