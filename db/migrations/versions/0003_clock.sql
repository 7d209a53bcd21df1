-- The moment that the test clock was last sent to: the same call, repeated, has nothing left to do.
ALTER TABLE deployment ADD COLUMN clock_target timestamptz;

-- Open holds with a deadline, for their flows: which ones end soon, which ones a moved clock passes.
CREATE INDEX holds_deadline ON holds (expires_at) WHERE remaining > 0 AND expires_at IS NOT NULL;
