-- Distillation with paid teachers.

-- What a plan is for, who answers it, and what its approval binds. A void plan sends nothing more.
ALTER TABLE plan ADD COLUMN kind TEXT NOT NULL DEFAULT 'traces';
ALTER TABLE plan ADD COLUMN family TEXT NOT NULL DEFAULT '';
ALTER TABLE plan ADD COLUMN form TEXT NOT NULL DEFAULT 'text';
ALTER TABLE plan ADD COLUMN scope TEXT NOT NULL DEFAULT '{}';
ALTER TABLE plan ADD COLUMN price TEXT NOT NULL DEFAULT 'null';
ALTER TABLE plan ADD COLUMN void TEXT;

-- Which rung of the retry ladder a request stands on, the digest of its body, and the most it can use.
ALTER TABLE request ADD COLUMN rung TEXT NOT NULL DEFAULT 'first';
ALTER TABLE request ADD COLUMN why TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN max_output INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN body TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN prompt_estimate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN prompt_most INTEGER NOT NULL DEFAULT 0;
-- Set just before a request goes out alone; a batch goes out as its submission does.
ALTER TABLE request ADD COLUMN sent INTEGER;

ALTER TABLE submission ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE submission ADD COLUMN why TEXT;
ALTER TABLE submission ADD COLUMN watched INTEGER;
ALTER TABLE submission ADD COLUMN expires INTEGER;
-- 0: no; 1: the operator asked for it; 2: the provider was told.
ALTER TABLE submission ADD COLUMN cancel INTEGER NOT NULL DEFAULT 0;

-- `billed`: 0 no, 1 yes, 2 perhaps (the answer was lost on the way; tokens are then the most it can have used).
ALTER TABLE response ADD COLUMN cache_write_5m INTEGER NOT NULL DEFAULT 0;
ALTER TABLE response ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE response ADD COLUMN cache_read INTEGER NOT NULL DEFAULT 0;

-- Result files as they came, below .stratos/raw. Never deleted.
CREATE TABLE raw_file (
  id INTEGER PRIMARY KEY, submission INTEGER NOT NULL REFERENCES submission, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
  file TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE (submission, sha256)
) STRICT;

-- Articles that a teacher wrote, as they were accepted.
CREATE TABLE draft (
  cache_key TEXT PRIMARY KEY, custom_id TEXT NOT NULL REFERENCES request, body TEXT NOT NULL
) STRICT;
