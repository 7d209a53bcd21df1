-- Tiers (tiers.md 1): ranked tracks of levels. version is drawn anew at every change of a tier or its levels: processes keep
-- what they read under it.
CREATE SEQUENCE tier_versions CACHE 1;
CREATE TABLE tiers (
    id                   uuid PRIMARY KEY,
    organization_id      uuid NOT NULL REFERENCES organizations,
    program_id           uuid NOT NULL REFERENCES programs,
    key                  text NOT NULL,
    display_name         text,
    lifecycle            jsonb,
    lifecycle_started_at timestamptz,
    status               text NOT NULL CHECK (status IN ('ACTIVE', 'ARCHIVED')),
    version              bigint NOT NULL DEFAULT nextval('tier_versions'),
    archived_at          timestamptz,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    CONSTRAINT tiers_key UNIQUE (program_id, key),
    CHECK ((status = 'ARCHIVED') = (archived_at IS NOT NULL)),
    CHECK ((lifecycle IS NULL) = (lifecycle_started_at IS NULL))
);
CREATE INDEX tiers_organization ON tiers (organization_id);
CREATE INDEX tiers_created ON tiers (program_id, created_at, id);

-- Levels are never deleted. Two may swap ranks in one change, so ranks are compared when it is complete.
CREATE TABLE tier_levels (
    id               uuid PRIMARY KEY,
    tier_id          uuid NOT NULL REFERENCES tiers,
    key              text NOT NULL,
    rank             integer NOT NULL CHECK (rank BETWEEN 1 AND 1000000),
    display_name     text,
    color            text,
    icon_url         text,
    -- json keeps every digit and the order of the keys
    benefits         json,
    qualification    jsonb,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT tier_levels_key UNIQUE (tier_id, key),
    CONSTRAINT tier_levels_rank UNIQUE (tier_id, rank) DEFERRABLE INITIALLY DEFERRED
);

-- What a holder has of a tier; level_key NULL is base. A row at base says how far the steps of period ends were done.
-- expires_at is the explicit expiry, lifecycle_expires_at the lifecycle's, without grace days; next_due_at is the next moment
-- at which something happens by itself. Written by many holders at once, set-based, so there are no foreign keys.
CREATE TABLE tier_states (
    holder_id            uuid NOT NULL,
    tier_id              uuid NOT NULL,
    organization_id      uuid NOT NULL,
    program_id           uuid NOT NULL,
    level_key            text,
    acquired_at          timestamptz,
    expires_at           timestamptz,
    lifecycle_expires_at timestamptz,
    steps_done_through   timestamptz,
    next_due_at          timestamptz,
    PRIMARY KEY (holder_id, tier_id),
    CHECK ((level_key IS NULL) = (acquired_at IS NULL)),
    CHECK (level_key IS NOT NULL OR (expires_at IS NULL AND lifecycle_expires_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX tier_states_tier ON tier_states (tier_id, holder_id);
CREATE INDEX tier_states_due ON tier_states (tier_id, next_due_at, holder_id) WHERE next_due_at IS NOT NULL;

-- The authoritative record of level changes; like the ledger it is only ever added to.
CREATE TABLE tier_history (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    tier_id          uuid NOT NULL,
    entity_type      text NOT NULL CHECK (entity_type IN ('PARTICIPANT', 'GROUP')),
    entity_id        uuid NOT NULL,
    tier_key         text NOT NULL,
    from_level       text,
    to_level         text,
    from_rank        integer NOT NULL,
    to_rank          integer NOT NULL,
    change           text NOT NULL CHECK (change IN ('UPGRADED', 'DOWNGRADED', 'REMOVED')),
    reason           text NOT NULL CHECK (reason IN ('QUALIFICATION', 'RULE', 'API', 'EXPIRY', 'PERIOD_END', 'INACTIVITY')),
    expires_at       timestamptz,
    event_id         uuid,
    rule_id          uuid,
    changed_by_api_key_id uuid,
    changed_at       timestamptz NOT NULL,
    CHECK ((from_level IS NULL) = (from_rank = 0)),
    CHECK ((to_level IS NULL) = (to_rank = 0)),
    CHECK ((change = 'REMOVED') = (to_level IS NULL))
);
CREATE INDEX tier_history_entity ON tier_history (entity_id, changed_at, id);
