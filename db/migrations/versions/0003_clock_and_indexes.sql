-- The moment that the test clock was last sent to: the same call, repeated, has nothing left to do.
ALTER TABLE deployment ADD COLUMN clock_target timestamptz;

-- Open holds with a deadline, for their flows: which ones end soon, which ones a moved clock passes.
CREATE INDEX holds_deadline ON holds (expires_at) WHERE remaining > 0 AND expires_at IS NOT NULL;

-- The condition is always true and only keeps this index out of the running for open lots, whose own is as cheap by the
-- planner's statistics and much cheaper in fact: nothing may read spent lots to find the open ones.
DROP INDEX lots_all;
CREATE INDEX lots_all ON lots (holder_id, asset_id, created_at, id) WHERE amount > 0;

-- The journal by type; credits are most of it and are found by time.
CREATE INDEX journal_entries_type ON journal_entries (organization_id, action_type, created_at, id)
    WHERE action_type <> 'CREDIT';
