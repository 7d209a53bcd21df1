-- Automations: what makes SYSTEM events without a call of the API. First those that rules make: one_time with a participant
-- (SCHEDULE_EVENT) and immediate for all participants (BROADCAST). They are written in bulk by event processing, so there are no
-- foreign keys.
-- chain_depth is that of the events it makes. execution_at is the occurrence of the current or last fan-out.
CREATE TABLE automations (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    program_id       uuid NOT NULL,
    name             text NOT NULL,
    description      text,
    trigger_type     text NOT NULL CHECK (trigger_type IN ('cron', 'one_time', 'immediate', 'participant_state')),
    scope            text NOT NULL CHECK (scope IN ('program', 'participants')),
    status           text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'archived')),
    source           text NOT NULL CHECK (source IN ('api', 'rule_action')),
    event_name       text NOT NULL,
    payload          json NOT NULL DEFAULT '{}',
    participant_id   uuid,
    trigger_at       timestamptz,
    processed_at     timestamptz,
    error_message    text,
    last_error       text,
    execution_status text CHECK (execution_status IN ('idle', 'pending', 'executing', 'completed', 'failed')),
    execution_at     timestamptz,
    execution_started_at timestamptz,
    execution_completed_at timestamptz,
    execution_error  text,
    participants_total integer CHECK (participants_total >= 0),
    participants_processed integer CHECK (participants_processed BETWEEN 0 AND participants_total),
    caused_by_event_id uuid,
    chain_depth      smallint NOT NULL DEFAULT 0 CHECK (chain_depth BETWEEN 0 AND 10),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((trigger_at IS NOT NULL) = (trigger_type = 'one_time')),
    CHECK ((execution_status IS NOT NULL) = (scope = 'participants')),
    CHECK ((caused_by_event_id IS NOT NULL) = (source = 'rule_action')),
    CHECK (participant_id IS NULL OR (trigger_type = 'one_time' AND scope = 'program'))
);
CREATE INDEX automations_program ON automations (program_id, created_at, id);
CREATE INDEX automations_due ON automations (trigger_at, id)
    WHERE trigger_type = 'one_time' AND scope = 'program' AND status = 'active' AND processed_at IS NULL;
CREATE INDEX automations_fan_outs ON automations (execution_at, id) WHERE execution_status IN ('pending', 'executing');

-- Whom a fan-out has still to make an event for: filled when it starts, consumed page by page with the events.
CREATE TABLE fan_out_candidates (
    automation_id    uuid NOT NULL,
    occurrence       timestamptz NOT NULL,
    participant_id   uuid NOT NULL,
    PRIMARY KEY (automation_id, occurrence, participant_id)
);
