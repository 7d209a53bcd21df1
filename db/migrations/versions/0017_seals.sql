-- Seals of the ledger (ledger.md, Hash chain): each organization's entries in one chain of hashes, written in the background.

-- What isn't sealed yet. The statement that writes entries writes these too; the one that seals them takes them away.
-- noted_at is the real time, whatever the test clock says: it tells how long an entry waits.
CREATE TABLE unsealed_entries (
    organization_id  uuid NOT NULL,
    created_at       timestamptz NOT NULL,
    entry_id         uuid NOT NULL,
    noted_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, created_at, entry_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE entry_seals (
    organization_id  uuid NOT NULL,
    sequence_number  bigint NOT NULL CHECK (sequence_number > 0),
    entry_id         uuid NOT NULL,
    previous_hash    bytea NOT NULL CHECK (length(previous_hash) = 32),
    entry_hash       bytea NOT NULL CHECK (length(entry_hash) = 32),
    sealed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, sequence_number)
);
CREATE UNIQUE INDEX entry_seals_entry ON entry_seals (entry_id);
CREATE TRIGGER entry_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry_seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

INSERT INTO unsealed_entries (organization_id, created_at, entry_id)
SELECT organization_id, created_at, id FROM journal_entries;
