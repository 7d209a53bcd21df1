-- Automations made through the API. due_at is the one moment that anything waits for: the next occurrence of a cron expression,
-- or the moment of a one_time automation that hasn't fired.
-- failures counts failed runs in a row; counted_at is the occurrence of the last run that was counted, so that an event that is
-- retried by hand doesn't count again. run_settings are those that the fan-out under way began with. filter_after is how far its
-- filter has come on the list of candidates. flow_at: when the flow was last made sure of.
ALTER TABLE automations
    ADD COLUMN cron_expression text,
    ADD COLUMN timezone text,
    ADD COLUMN next_run_at timestamptz,
    ADD COLUMN last_run_at timestamptz,
    ADD COLUMN participant_filter text,
    ADD COLUMN guard_condition text,
    ADD COLUMN filter_hints jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN failures smallint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    ADD COLUMN counted_at timestamptz,
    ADD COLUMN run_settings json,
    ADD COLUMN filter_after uuid,
    ADD COLUMN flow_at timestamptz,
    ADD COLUMN due_at timestamptz GENERATED ALWAYS AS (
        CASE WHEN status <> 'active' THEN NULL
             WHEN trigger_type = 'cron' THEN next_run_at
             WHEN trigger_type = 'one_time' AND processed_at IS NULL THEN trigger_at END) STORED,
    ADD CHECK ((cron_expression IS NOT NULL) = (trigger_type = 'cron')),
    ADD CHECK ((timezone IS NOT NULL) = (trigger_type IN ('cron', 'participant_state'))),
    ADD CHECK (next_run_at IS NULL OR (trigger_type = 'cron' AND status = 'active')),
    ADD CHECK ((participant_filter IS NULL AND guard_condition IS NULL AND filter_hints = '[]') OR scope = 'participants');

DROP INDEX automations_due;
CREATE INDEX automations_due ON automations (due_at, id) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX automations_name ON automations (program_id, name) WHERE source = 'api';
-- The plain list, which leaves out what rules made and is over: that may be millions.
CREATE INDEX automations_listed ON automations (program_id, created_at, id)
    WHERE source = 'api' OR (processed_at IS NULL AND status <> 'archived');
-- Those that have a flow.
CREATE INDEX automations_flows ON automations (flow_at NULLS FIRST, id)
    WHERE source = 'api' AND status <> 'archived' AND (trigger_type = 'cron' OR processed_at IS NULL);

ALTER TABLE fan_out_candidates ADD COLUMN is_certain boolean NOT NULL DEFAULT true;
