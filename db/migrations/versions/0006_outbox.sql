-- Where an organization's messages go. The secrets are sealed with the deployment's key; a previous one signs until its end.
-- What happens meanwhile reads endpoints without a lock.
CREATE TABLE webhook_endpoints (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL REFERENCES organizations,
    url              text NOT NULL,
    description      text,
    enabled_events   text[] NOT NULL CHECK (cardinality(enabled_events) > 0),
    metadata         json,
    status           text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'DISABLED', 'ARCHIVED')),
    secret           bytea NOT NULL,
    previous_secret  bytea,
    previous_secret_expires_at timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_secret_expires_at IS NULL))
);
CREATE INDEX webhook_endpoints_active ON webhook_endpoints (organization_id) WHERE status = 'ACTIVE';
CREATE INDEX webhook_endpoints_created ON webhook_endpoints (organization_id, created_at, id);

-- The outbox: a message is a fact, written by the transaction that made it happen and never changed. Its data is json, not
-- jsonb, so that it is sent with the same bytes at every attempt.
CREATE TABLE webhook_messages (
    id               uuid NOT NULL,
    organization_id  uuid NOT NULL,
    type             text NOT NULL,
    data             json NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);

-- One message for one endpoint, made with the message: both have one created_at. Messages about one entity are first sent by
-- outbox_seq, which is drawn while the entity is locked and so follows the order of commits.
CREATE SEQUENCE webhook_outbox_seq CACHE 1;
CREATE TABLE webhook_deliveries (
    id               uuid NOT NULL,
    organization_id  uuid NOT NULL,
    webhook_endpoint_id uuid NOT NULL,
    webhook_event_id uuid NOT NULL,
    event_type       text NOT NULL,
    entity_id        uuid NOT NULL,
    outbox_seq       bigint NOT NULL,
    status           text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'SENDING', 'DELIVERED', 'FAILED')),
    attempt_count    smallint NOT NULL DEFAULT 0 CHECK (attempt_count BETWEEN 0 AND max_attempts),
    max_attempts     smallint NOT NULL DEFAULT 8,
    next_attempt_at  timestamptz,
    last_attempt_at  timestamptz,
    delivered_at     timestamptz,
    last_response_status smallint,
    last_response_body text,
    last_error       text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (id, created_at),
    CHECK (status <> 'PENDING' OR next_attempt_at IS NOT NULL),
    CHECK (status NOT IN ('DELIVERED', 'FAILED') OR next_attempt_at IS NULL)
) PARTITION BY RANGE (created_at);
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (webhook_endpoint_id, created_at, id);
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (webhook_endpoint_id, outbox_seq)
    WHERE status IN ('PENDING', 'SENDING');

-- Months are partitions: old ones are detached and dropped whole. The default one keeps a moved clock from losing a row.
CREATE OR REPLACE FUNCTION ensure_partitions(around timestamptz) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    first_day date;
BEGIN
    FOREACH parent IN ARRAY ARRAY['events', 'event_outcomes', 'rule_matches', 'state_history', 'webhook_messages',
                                  'webhook_deliveries'] LOOP
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
SELECT ensure_partitions(openscrip_now());
