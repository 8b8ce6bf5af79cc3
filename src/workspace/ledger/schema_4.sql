-- What a model's answer was besides its text: the probability-weighted score, why it ended, and the digest of the prompt that
-- it answers. An answer to another prompt is not an answer.
ALTER TABLE prediction ADD COLUMN expected REAL;
ALTER TABLE prediction ADD COLUMN stop TEXT NOT NULL DEFAULT '';
ALTER TABLE prediction ADD COLUMN prompt TEXT NOT NULL DEFAULT '';

-- What a list of evaluations shows, as JSON, so that it need not read them whole.
ALTER TABLE evaluation ADD COLUMN summary TEXT NOT NULL DEFAULT '';
