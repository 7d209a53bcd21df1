-- Budgets of rules: what their credits may issue of one asset in one period. The live row is a cache of the journal, kept in the
-- same transaction and provably equal to the rule's credits since period_started_at. version rises when the definition or the
-- period is changed by a request; crediting and the schedule are guarded by the limit and the period themselves.
CREATE TABLE rule_budgets (
    rule_id           uuid NOT NULL REFERENCES rules,
    asset_id          uuid NOT NULL REFERENCES assets,
    organization_id   uuid NOT NULL,
    program_id        uuid NOT NULL,
    position          smallint NOT NULL,
    "limit"           numeric NOT NULL CHECK ("limit" > 0),
    schedule_type     text CHECK (schedule_type IN ('CRON', 'INTERVAL')),
    cron_expression   text CHECK ((cron_expression IS NOT NULL) = (schedule_type IS NOT DISTINCT FROM 'CRON')),
    "interval"        text CHECK (("interval" IS NOT NULL) = (schedule_type IS NOT DISTINCT FROM 'INTERVAL')),
    consumed          numeric NOT NULL DEFAULT 0 CHECK (consumed >= 0),
    period_started_at timestamptz NOT NULL,
    next_reset_at     timestamptz CHECK ((next_reset_at IS NOT NULL) = (schedule_type IS NOT NULL)),
    version           bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (rule_id, asset_id)
) WITH (fillfactor = 50);

-- Append-only: when each period of a budget began, why, and by which key. Periods in which nothing was issued may be left out.
CREATE TABLE budget_periods (
    rule_id           uuid NOT NULL,
    asset_id          uuid NOT NULL,
    started_at        timestamptz NOT NULL,
    organization_id   uuid NOT NULL,
    cause             text NOT NULL CHECK (cause IN ('CREATED', 'SCHEDULE', 'RESET', 'REPLACED')),
    "limit"           numeric NOT NULL,
    api_key_id        uuid,
    PRIMARY KEY (rule_id, asset_id, started_at)
);
CREATE TRIGGER budget_periods_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON budget_periods
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
