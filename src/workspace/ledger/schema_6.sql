-- The audit's book. Every verdict, every choice of what becomes of a rejected trace, and every undoing is a row of its own:
-- rows are added, never changed, so the history stays. `act` is JSON; `trace` is the digest of what was read.
CREATE TABLE review_entry (
  id INTEGER PRIMARY KEY AUTOINCREMENT, article TEXT NOT NULL, profile TEXT NOT NULL, author TEXT NOT NULL, trace TEXT NOT NULL,
  kind TEXT NOT NULL, act TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE INDEX review_entry_by_pair ON review_entry (article, profile);

-- Verdicts of earlier versions knew keep and reject only. The table they stand in stays as it was.
INSERT INTO review_entry (article, profile, author, trace, kind, act, at)
SELECT article, profile, 'teacher', trace, 'judged',
       json_object('act', 'judged', 'round', 'first', 'verdict', CASE verdict WHEN 'reject' THEN 'unfaithful' ELSE 'faithful' END,
                   'note', note, 'carried', json('true')), at
FROM review ORDER BY at, article, profile, trace;
