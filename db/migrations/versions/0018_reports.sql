-- What a posting counts as in the reports hangs on the type of its entry, which is as immutable as the posting: a copy of it
-- beside the amount spares them a join of the whole journal. Filling it in is the one change that postings ever see.
ALTER TABLE postings ADD COLUMN action_type text;
ALTER TABLE postings DISABLE TRIGGER postings_append_only;
UPDATE postings p SET action_type = e.action_type FROM journal_entries e WHERE e.id = p.entry_id;
ALTER TABLE postings ENABLE TRIGGER postings_append_only;
ALTER TABLE postings ALTER COLUMN action_type SET NOT NULL;

-- Everything that reports sum, in the index itself. Every entry has a posting that isn't on a SYSTEM account, so the journal of
-- an asset is found by it, too.
CREATE INDEX postings_report ON postings (asset_id, program_id, created_at, entry_id)
    INCLUDE (action_type, entity_type, entity_id, bucket, amount) WHERE entity_id IS NOT NULL;

-- The journal by bucket; AVAILABLE is most of it and is found by time.
CREATE INDEX postings_bucket ON postings (organization_id, bucket, created_at, entry_id) WHERE bucket <> 'AVAILABLE';

-- The schedule of expiries.
CREATE INDEX lots_schedule ON lots (asset_id, expires_at) INCLUDE (program_id, remaining) WHERE remaining > 0;

-- Who has something of an asset.
CREATE INDEX balances_asset ON balances (asset_id);
