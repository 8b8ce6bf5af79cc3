-- Probes of a model's reasoning: what they found, and every answer, so that a run that was stopped goes on.
CREATE TABLE probe (
    evaluation TEXT PRIMARY KEY,
    body       TEXT NOT NULL,
    at         INTEGER NOT NULL
);
CREATE TABLE probe_answer (
    model    TEXT NOT NULL,
    item     TEXT NOT NULL,
    output   TEXT NOT NULL,
    expected REAL,
    PRIMARY KEY (model, item)
);
