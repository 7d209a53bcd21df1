-- Subscriptions of participant_state automations: one for each automation and participant (automations.md 3).
-- schedule_version rises with each change of the schedule: a subscription of an older one waits until it is evaluated again.
-- active_since: when the automation, or its program, was last made active; recurring dates before it are dropped.
ALTER TABLE automations
    ADD COLUMN schedule_type text CHECK (schedule_type IN ('ATTRIBUTE_DATE', 'INTERVAL', 'CRON', 'THRESHOLD')),
    ADD COLUMN schedule_config jsonb,
    ADD COLUMN schedule_version integer NOT NULL DEFAULT 0,
    ADD COLUMN active_since timestamptz,
    ADD COLUMN last_evaluated_at timestamptz,
    ADD CHECK ((schedule_type IS NOT NULL) = (trigger_type = 'participant_state')),
    ADD CHECK ((schedule_config IS NOT NULL) = (trigger_type = 'participant_state')),
    ADD CHECK ((active_since IS NOT NULL) = (trigger_type = 'participant_state'));

-- basis: the attribute's text that next_trigger_at was computed from. anchor: when the subscription last began.
-- is_met: only of THRESHOLD, whether the comparison was true after the last change. crossings: those that haven't fired yet.
-- last_crossed_at: two crossings of a participant's counters never have the same time. retry_at: not before this, after a failure.
CREATE TABLE automation_subscriptions (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    automation_id    uuid NOT NULL REFERENCES automations,
    participant_id   uuid NOT NULL,
    status           text NOT NULL CHECK (status IN ('active', 'completed', 'failed', 'cancelled')),
    schedule_version integer NOT NULL,
    anchor           timestamptz NOT NULL,
    basis            text,
    next_trigger_at  timestamptz,
    is_met           boolean,
    crossings        timestamptz[] NOT NULL DEFAULT '{}',
    last_crossed_at  timestamptz,
    last_triggered_at timestamptz,
    trigger_count    integer NOT NULL DEFAULT 0 CHECK (trigger_count >= 0),
    retry_count      smallint NOT NULL DEFAULT 0 CHECK (retry_count BETWEEN 0 AND 5),
    retry_at         timestamptz,
    last_error       text,
    created_at       timestamptz NOT NULL,
    due_at           timestamptz GENERATED ALWAYS AS (
        CASE WHEN status = 'failed' THEN NULL
             WHEN crossings[1] IS NOT NULL THEN greatest(crossings[1], retry_at)
             WHEN status = 'active' AND next_trigger_at IS NOT NULL THEN greatest(next_trigger_at, retry_at) END) STORED,
    UNIQUE (automation_id, participant_id),
    CHECK (next_trigger_at IS NULL OR status IN ('active', 'cancelled', 'failed'))
) WITH (fillfactor = 80);
CREATE INDEX automation_subscriptions_due ON automation_subscriptions (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX automation_subscriptions_due_of ON automation_subscriptions (automation_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX automation_subscriptions_listed ON automation_subscriptions (automation_id, created_at, id);
-- Whose counters are watched.
CREATE INDEX automation_subscriptions_watched ON automation_subscriptions (participant_id)
    WHERE is_met IS NOT NULL AND status = 'active';

-- Evaluations of filters. requested_at: one for everybody is wanted. started_at: of the last one, or of the one under way, which
-- looks at who changed after `since`, or at everybody; it has come to the enrolment named by after_at and after_id.
-- full_at: when the last one for everybody began. is_timed: the filter may change with time alone.
CREATE TABLE automation_evaluations (
    automation_id    uuid PRIMARY KEY REFERENCES automations,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    is_timed         boolean NOT NULL,
    requested_at     timestamptz,
    started_at       timestamptz,
    full_at          timestamptz,
    is_under_way     boolean NOT NULL DEFAULT false,
    since            timestamptz,
    after_at         timestamptz,
    after_id         uuid
);
