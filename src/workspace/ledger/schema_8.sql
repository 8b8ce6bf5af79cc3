-- What a release's gate saw, which digest answered for it where, and which release was served since when.
CREATE TABLE release_gate (release TEXT PRIMARY KEY, passed INTEGER NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE release_pin (
  release TEXT NOT NULL, target TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (release, target)
) STRICT;
CREATE TABLE release_served (id INTEGER PRIMARY KEY, release TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
INSERT INTO release_served (release, at) SELECT name, at FROM release WHERE live = 1;
