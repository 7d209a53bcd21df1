-- The schema of First light. Read it top to bottom: tenants, programs, holders, ledger, rules, events.
-- Enumerations are text with a CHECK: they read well in psql and change without rewriting a table.
-- Hot tables carry no foreign keys: their rows are written in one transaction by one code path, set-based.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- ---------------------------------------------------------------- deployment
CREATE TABLE deployment (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    lanes         smallint NOT NULL CHECK (lanes BETWEEN 1 AND 256),
    clock_offset  interval NOT NULL DEFAULT '0',
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The product's one clock: the database's, plus the test clock's offset.
CREATE FUNCTION openscrip_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() + coalesce((SELECT clock_offset FROM deployment), '0') $$;

CREATE TABLE lanes (lane smallint PRIMARY KEY);

-- ------------------------------------------------------------------- tenants
CREATE TABLE organizations (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    status      text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED')),
    created_at  timestamptz NOT NULL
);

CREATE TABLE api_keys (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL REFERENCES organizations,
    name             text NOT NULL,
    key_hash         bytea NOT NULL UNIQUE,
    key_hint         text NOT NULL,
    created_at       timestamptz NOT NULL,
    revoked_at       timestamptz
);
CREATE INDEX api_keys_organization ON api_keys (organization_id, created_at);

-- Losing it on a crash refills the buckets, which is harmless.
CREATE UNLOGGED TABLE rate_buckets (
    organization_id  uuid PRIMARY KEY,
    tokens           double precision NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- Only successes are stored: a refused request leaves its key free.
CREATE TABLE idempotency_keys (
    program_id       uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('balance', 'wallet', 'redemption', 'reversal', 'transfer')),
    key              text NOT NULL,
    organization_id  uuid NOT NULL,
    fingerprint      bytea NOT NULL,
    response         json NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (program_id, kind, key)
);

-- --------------------------------------------------------- programs and assets
CREATE TABLE programs (
    id                           uuid PRIMARY KEY,
    organization_id              uuid NOT NULL REFERENCES organizations,
    name                         text NOT NULL,
    description                  text,
    on_unknown_participant       text NOT NULL DEFAULT 'CREATE' CHECK (on_unknown_participant IN ('CREATE', 'REJECT')),
    redemption_target_type       text NOT NULL DEFAULT 'SYSTEM_REDEMPTION'
        CHECK (redemption_target_type IN ('SYSTEM_REDEMPTION', 'SYSTEM_BREAKAGE', 'LEDGER_ENTITY')),
    redemption_target_entity_id  uuid CHECK ((redemption_target_entity_id IS NOT NULL) = (redemption_target_type = 'LEDGER_ENTITY')),
    status                       text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED', 'ARCHIVED')),
    created_at                   timestamptz NOT NULL,
    updated_at                   timestamptz NOT NULL,
    deleted_at                   timestamptz
);
CREATE INDEX programs_created ON programs (organization_id, created_at, id);
CREATE INDEX programs_name ON programs (organization_id, name, created_at, id);

-- A row of its own, so that rule actions on a program's state never wait for its configuration.
CREATE TABLE program_states (
    program_id       uuid PRIMARY KEY REFERENCES programs,
    organization_id  uuid NOT NULL,
    tags             text[] NOT NULL DEFAULT '{}',
    counters         jsonb NOT NULL DEFAULT '{}',
    attributes       jsonb NOT NULL DEFAULT '{}',
    version          bigint NOT NULL DEFAULT 0
);

CREATE TABLE assets (
    id                      uuid PRIMARY KEY,
    organization_id         uuid NOT NULL REFERENCES organizations,
    name                    text NOT NULL,
    symbol                  text NOT NULL,
    inventory_mode          text NOT NULL CHECK (inventory_mode IN ('SIMPLE', 'LOT')),
    issuance_policy         text NOT NULL CHECK (issuance_policy IN ('UNLIMITED', 'PREFUNDED')),
    scale                   smallint NOT NULL CHECK (scale BETWEEN 0 AND 18),
    max_transaction_amount  numeric(38, 18) CHECK (max_transaction_amount > 0),
    expiry_notice_days      smallint CHECK (expiry_notice_days BETWEEN 1 AND 365),
    status                  text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'ARCHIVED')),
    created_at              timestamptz NOT NULL,
    updated_at              timestamptz NOT NULL,
    deleted_at              timestamptz,
    CHECK (expiry_notice_days IS NULL OR inventory_mode = 'LOT')
);
CREATE UNIQUE INDEX assets_symbol ON assets (organization_id, lower(symbol));
CREATE INDEX assets_created ON assets (organization_id, created_at, id);

CREATE TABLE program_assets (
    program_id       uuid NOT NULL REFERENCES programs,
    asset_id         uuid NOT NULL REFERENCES assets,
    organization_id  uuid NOT NULL,
    linked_at        timestamptz NOT NULL,
    PRIMARY KEY (program_id, asset_id)
);
CREATE INDEX program_assets_asset ON program_assets (asset_id, linked_at);

-- ------------------------------------------------------------ holders and state
-- One row per participant or group: the row every posting transaction locks, in id order, and the holder's state.
-- counters: key -> "12.5", or {"value", "reset_after", "last_reset_at"} with auto-reset; numbers are text, never floats.
CREATE TABLE holders (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('PARTICIPANT', 'GROUP')),
    tags             text[] NOT NULL DEFAULT '{}',
    counters         jsonb NOT NULL DEFAULT '{}',
    attributes       jsonb NOT NULL DEFAULT '{}',
    state_changed_at timestamptz
) WITH (fillfactor = 70);

CREATE TABLE participants (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    external_id      text NOT NULL,
    status           text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')),
    email            text,
    phone            text,
    first_name       text,
    last_name        text,
    display_name     text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);
CREATE UNIQUE INDEX participants_external_id ON participants (organization_id, external_id);
CREATE INDEX participants_created ON participants (organization_id, created_at, id);
CREATE INDEX participants_status ON participants (organization_id, status, created_at, id);

CREATE TABLE enrollments (
    participant_id   uuid NOT NULL,
    program_id       uuid NOT NULL,
    organization_id  uuid NOT NULL,
    status           text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'FROZEN', 'LOCKED', 'CLOSED')),
    enrolled_at      timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (participant_id, program_id)
);
CREATE INDEX enrollments_program ON enrollments (program_id, enrolled_at, participant_id);

CREATE TABLE state_history (
    id               uuid NOT NULL,
    organization_id  uuid NOT NULL,
    entity_type      text NOT NULL CHECK (entity_type IN ('PARTICIPANT', 'GROUP', 'PROGRAM')),
    entity_id        uuid NOT NULL,
    state_type       text NOT NULL CHECK (state_type IN ('tag', 'counter', 'attribute', 'tier')),
    key              text NOT NULL,
    operation        text NOT NULL CHECK (operation IN ('add', 'remove', 'set', 'delete', 'auto_reset')),
    old_value        text,
    new_value        text,
    changed_at       timestamptz NOT NULL,
    changed_by_api_key_id uuid,
    event_id         uuid,
    event_timestamp  timestamptz,
    rule_id          uuid,
    program_id       uuid
) PARTITION BY RANGE (changed_at);
CREATE INDEX state_history_entity ON state_history (entity_id, changed_at, id);
CREATE INDEX state_history_event ON state_history (event_id) WHERE event_id IS NOT NULL;

-- --------------------------------------------------------------------- ledger
-- A cache of the postings, kept in the same transaction and provably equal to them. program_id is the pair's program for
-- groups and the nil UUID for participants, whose accounts all programs share.
CREATE TABLE balances (
    holder_id        uuid NOT NULL,
    asset_id         uuid NOT NULL,
    program_id       uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    organization_id  uuid NOT NULL,
    available        numeric NOT NULL DEFAULT 0,
    held             numeric NOT NULL DEFAULT 0 CHECK (held >= 0),
    deferred         numeric NOT NULL DEFAULT 0 CHECK (deferred >= 0),
    account_seq      bigint NOT NULL DEFAULT 0,
    last_entry_at    timestamptz,
    next_due_at      timestamptz,
    version          bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (holder_id, asset_id, program_id)
) WITH (fillfactor = 70);
CREATE INDEX balances_due ON balances (next_due_at) WHERE next_due_at IS NOT NULL;

CREATE TABLE wallets (
    program_id       uuid NOT NULL,
    asset_id         uuid NOT NULL,
    organization_id  uuid NOT NULL,
    available        numeric NOT NULL DEFAULT 0 CHECK (available >= 0),
    account_seq      bigint NOT NULL DEFAULT 0,
    last_entry_at    timestamptz,
    version          bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (program_id, asset_id)
) WITH (fillfactor = 70);

CREATE TABLE holds (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    holder_id        uuid NOT NULL,
    asset_id         uuid NOT NULL,
    pair_program_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('MOVED', 'PROVISIONAL')),
    reference_id     text,
    amount           numeric(38, 18) NOT NULL CHECK (amount > 0),
    remaining        numeric(38, 18) NOT NULL CHECK (remaining >= 0 AND remaining <= amount),
    expires_at       timestamptz,
    created_at       timestamptz NOT NULL,
    entry_id         uuid NOT NULL
);
CREATE INDEX holds_open ON holds (holder_id, asset_id, pair_program_id, created_at, id) WHERE remaining > 0;

CREATE TABLE lots (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    holder_id        uuid NOT NULL,
    asset_id         uuid NOT NULL,
    pair_program_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    amount           numeric(38, 18) NOT NULL CHECK (amount > 0),
    remaining        numeric(38, 18) NOT NULL CHECK (remaining >= 0 AND remaining <= amount),
    status           text NOT NULL CHECK (status IN ('DEFERRED', 'AVAILABLE', 'HELD', 'CONSUMED', 'EXPIRED')),
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz,
    matures_at       timestamptz,
    reference_id     text,
    parent_lot_id    uuid,
    hold_id          uuid,
    entry_id         uuid NOT NULL,
    CHECK ((remaining > 0) = (status IN ('DEFERRED', 'AVAILABLE', 'HELD')))
) WITH (fillfactor = 90);
CREATE INDEX lots_all ON lots (holder_id, asset_id, created_at, id);
CREATE INDEX lots_open ON lots (holder_id, asset_id, pair_program_id, created_at, id) WHERE remaining > 0;

CREATE TABLE journal_entries (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    action_type      text NOT NULL CHECK (action_type IN ('CREDIT', 'DEBIT', 'HOLD', 'RELEASE', 'FORFEIT', 'VOID_HOLD', 'SETTLE',
        'MATURITY', 'EXPIRY', 'REDEMPTION', 'REDEMPTION_REVERSAL', 'TRANSFER', 'FUND', 'BURN')),
    description      text NOT NULL,
    event_id         uuid,
    event_timestamp  timestamptz,
    rule_id          uuid,
    created_by_api_key_id uuid,
    reference_id     text,
    created_at       timestamptz NOT NULL
);
CREATE INDEX journal_entries_created ON journal_entries (organization_id, created_at, id);
CREATE INDEX journal_entries_program ON journal_entries (program_id, created_at, id);
CREATE INDEX journal_entries_event ON journal_entries (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX journal_entries_rule ON journal_entries (rule_id, created_at, id) WHERE rule_id IS NOT NULL;
CREATE INDEX journal_entries_reference ON journal_entries (organization_id, reference_id, created_at, id)
    WHERE reference_id IS NOT NULL;

-- account_seq, balance_after (of the bucket) and total_after (of the owner's three buckets) are set for holders and wallets:
-- statements and as-of balances are single index reads. pair_program_id is the entry's program.
CREATE TABLE postings (
    entry_id         uuid NOT NULL,
    ordinal          smallint NOT NULL,
    id               uuid NOT NULL,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    asset_id         uuid NOT NULL,
    entity_type      text NOT NULL CHECK (entity_type IN ('PARTICIPANT', 'GROUP', 'PROGRAM', 'SYSTEM_ISSUANCE',
        'SYSTEM_BREAKAGE', 'SYSTEM_REDEMPTION', 'LEDGER_ENTITY')),
    entity_id        uuid CHECK ((entity_id IS NULL) = (entity_type LIKE 'SYSTEM%')),
    bucket           text NOT NULL CHECK (bucket IN ('AVAILABLE', 'HELD', 'DEFERRED')),
    amount           numeric(38, 18) NOT NULL CHECK (amount <> 0),
    account_seq      bigint,
    balance_after    numeric,
    total_after      numeric,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (entry_id, ordinal)
);
CREATE INDEX postings_entity ON postings (entity_id, created_at, entry_id, ordinal) WHERE entity_id IS NOT NULL;
CREATE INDEX postings_account ON postings (entity_id, asset_id, account_seq) WHERE entity_id IS NOT NULL;

-- The books cannot be edited, by anybody, and cannot be unbalanced: the trigger sees each statement's own rows, so all
-- postings of an entry are written by one statement.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION require_zero_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    culprit uuid;
BEGIN
    SELECT entry_id INTO culprit FROM written GROUP BY entry_id, asset_id HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'journal entry % does not sum to zero', culprit USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER journal_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_zero_sum AFTER INSERT ON postings REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION require_zero_sum();

-- ---------------------------------------------------------------------- rules
CREATE TABLE rules (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL REFERENCES organizations,
    program_id       uuid NOT NULL REFERENCES programs,
    name             text NOT NULL,
    description      text,
    condition        text NOT NULL,
    actions          jsonb NOT NULL,
    "order"          integer NOT NULL CHECK ("order" > 0),
    stop_after_match boolean NOT NULL DEFAULT false,
    active_from      timestamptz,
    active_to        timestamptz,
    status           text NOT NULL CHECK (status IN ('ACTIVE', 'SUSPENDED', 'ARCHIVED')),
    history_id       uuid NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz
);
CREATE UNIQUE INDEX rules_active_order ON rules (program_id, "order") WHERE status = 'ACTIVE';
CREATE INDEX rules_program ON rules (program_id, "order", created_at, id);
CREATE INDEX rules_created ON rules (organization_id, created_at, id);

-- Append-only: every version of a rule that any event was ever evaluated with can be read again.
CREATE TABLE rule_history (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    rule_id          uuid NOT NULL,
    change_type      text NOT NULL CHECK (change_type IN ('created', 'updated', 'suspended', 'activated', 'archived')),
    changes          jsonb NOT NULL,
    snapshot         jsonb NOT NULL,
    changed_at       timestamptz NOT NULL,
    changed_by_api_key_id uuid
);
CREATE INDEX rule_history_rule ON rule_history (rule_id, changed_at, id);
CREATE TRIGGER rule_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An immutable version of a program's ACTIVE rules by order; the latest id of a program is the one in force.
CREATE TABLE rule_sets (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    history_ids      uuid[] NOT NULL,
    created_at       timestamptz NOT NULL
);
CREATE INDEX rule_sets_program ON rule_sets (program_id, id DESC);

-- --------------------------------------------------------------------- events
-- An event is a fact: its row is never changed. What became of it is its outcome; what is still to be done, the queue.
CREATE TABLE event_identities (
    id               uuid PRIMARY KEY,
    created_at       timestamptz NOT NULL
);

CREATE TABLE events (
    id               uuid NOT NULL,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    participant_id   uuid,
    external_id      text,
    recipient_id     uuid,
    idempotency_key  text NOT NULL,
    event_type       text NOT NULL CHECK (event_type IN ('EXTERNAL', 'SYSTEM')),
    event_data       json NOT NULL,
    event_timestamp  timestamptz NOT NULL,
    automation_id    uuid,
    caused_by_event_id uuid,
    chain_depth      smallint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX events_created ON events (organization_id, created_at, id);
CREATE INDEX events_program ON events (program_id, created_at, id);
CREATE INDEX events_participant ON events (participant_id, created_at, id);
CREATE INDEX events_recipient ON events (recipient_id, created_at, id) WHERE recipient_id IS NOT NULL;

CREATE SEQUENCE event_queue_seq CACHE 1;
CREATE TABLE event_queue (
    lane             smallint NOT NULL,
    queue_seq        bigint NOT NULL DEFAULT nextval('event_queue_seq'),
    event_id         uuid NOT NULL,
    event_created_at timestamptz NOT NULL,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    -- the participant, or the program of an event without one: events with one key are processed one at a time
    order_key        uuid NOT NULL,
    state            text NOT NULL DEFAULT 'RECEIVED' CHECK (state IN ('RECEIVED', 'PENDING')),
    attempts         smallint NOT NULL DEFAULT 0,
    not_before       timestamptz,
    queued_at        timestamptz NOT NULL,
    PRIMARY KEY (lane, queue_seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE UNIQUE INDEX event_queue_event ON event_queue (event_id);
CREATE INDEX event_queue_waiting ON event_queue (order_key, queue_seq) WHERE not_before IS NOT NULL;

-- evaluations: the sparse record of events-rules.md 3.5; what it leaves out follows from the rule set and the time.
CREATE TABLE event_outcomes (
    event_id         uuid NOT NULL,
    created_at       timestamptz NOT NULL,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    participant_id   uuid,
    status           text NOT NULL CHECK (status IN ('COMPLETED', 'FAILED')),
    error_code       text,
    error_message    text,
    processed_at     timestamptz NOT NULL,
    rule_set_id      bigint,
    evaluations      json NOT NULL,
    PRIMARY KEY (event_id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX event_outcomes_failed ON event_outcomes (organization_id, program_id, created_at, event_id) WHERE status = 'FAILED';

CREATE TABLE rule_matches (
    rule_id          uuid NOT NULL,
    created_at       timestamptz NOT NULL,
    event_id         uuid NOT NULL,
    PRIMARY KEY (rule_id, created_at, event_id)
) PARTITION BY RANGE (created_at);

-- Months are partitions: old ones are detached and dropped whole. The default one keeps a moved clock from losing a row.
CREATE FUNCTION ensure_partitions(around timestamptz) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    first_day date;
BEGIN
    FOREACH parent IN ARRAY ARRAY['events', 'event_outcomes', 'rule_matches', 'state_history'] LOOP
        IF to_regclass(format('%I', parent || '_other')) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_other', parent);
        END IF;
        FOR ahead IN 0..2 LOOP
            first_day := date_trunc('month', around AT TIME ZONE 'UTC')::date + make_interval(months => ahead);
            IF to_regclass(format('%I', parent || to_char(first_day, '_YYYYMM'))) IS NULL THEN
                BEGIN
                    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                        parent || to_char(first_day, '_YYYYMM'), parent,
                        first_day::text || ' 00:00:00+00', (first_day + interval '1 month')::date::text || ' 00:00:00+00');
                EXCEPTION WHEN check_violation THEN
                    -- rows of that month already lie in the default partition: they stay there
                    NULL;
                END;
            END IF;
        END LOOP;
    END LOOP;
END $$;
SELECT ensure_partitions(clock_timestamp());
