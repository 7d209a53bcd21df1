CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
COMMENT ON EXTENSION pg_trgm IS 'text similarity measurement and index searching based on trigrams';
CREATE FUNCTION public.ensure_partitions(around timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
CREATE FUNCTION public.openscrip_now() RETURNS timestamp with time zone
    LANGUAGE sql PARALLEL SAFE
    AS $$ SELECT clock_timestamp() + coalesce((SELECT clock_offset FROM deployment), '0') $$;
CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION public.refuse_oversold() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'reward % would be oversold', NEW.id USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.require_zero_sum() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    culprit uuid;
BEGIN
    SELECT entry_id INTO culprit FROM written GROUP BY entry_id, asset_id HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'journal entry % does not sum to zero', culprit USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_keys (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    key_hash bytea NOT NULL,
    key_hint text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);
CREATE TABLE public.assets (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    symbol text NOT NULL,
    inventory_mode text NOT NULL,
    issuance_policy text NOT NULL,
    scale smallint NOT NULL,
    max_transaction_amount numeric(38,18),
    expiry_notice_days smallint,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT assets_check CHECK (((expiry_notice_days IS NULL) OR (inventory_mode = 'LOT'::text))),
    CONSTRAINT assets_expiry_notice_days_check CHECK (((expiry_notice_days >= 1) AND (expiry_notice_days <= 365))),
    CONSTRAINT assets_inventory_mode_check CHECK ((inventory_mode = ANY (ARRAY['SIMPLE'::text, 'LOT'::text]))),
    CONSTRAINT assets_issuance_policy_check CHECK ((issuance_policy = ANY (ARRAY['UNLIMITED'::text, 'PREFUNDED'::text]))),
    CONSTRAINT assets_max_transaction_amount_check CHECK ((max_transaction_amount > (0)::numeric)),
    CONSTRAINT assets_scale_check CHECK (((scale >= 0) AND (scale <= 18))),
    CONSTRAINT assets_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'ARCHIVED'::text])))
);
CREATE TABLE public.automation_evaluations (
    automation_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    is_timed boolean NOT NULL,
    requested_at timestamp with time zone,
    started_at timestamp with time zone,
    full_at timestamp with time zone,
    is_under_way boolean DEFAULT false NOT NULL,
    since timestamp with time zone,
    after_at timestamp with time zone,
    after_id uuid
);
CREATE TABLE public.automation_subscriptions (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    automation_id uuid NOT NULL,
    participant_id uuid NOT NULL,
    status text NOT NULL,
    schedule_version integer NOT NULL,
    anchor timestamp with time zone NOT NULL,
    basis text,
    next_trigger_at timestamp with time zone,
    is_met boolean,
    crossings timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    last_crossed_at timestamp with time zone,
    last_triggered_at timestamp with time zone,
    trigger_count integer DEFAULT 0 NOT NULL,
    retry_count smallint DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone,
    last_error text,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone GENERATED ALWAYS AS (
CASE
    WHEN (status = 'failed'::text) THEN NULL::timestamp with time zone
    WHEN (crossings[1] IS NOT NULL) THEN GREATEST(crossings[1], retry_at)
    WHEN ((status = 'active'::text) AND (next_trigger_at IS NOT NULL)) THEN GREATEST(next_trigger_at, retry_at)
    ELSE NULL::timestamp with time zone
END) STORED,
    CONSTRAINT automation_subscriptions_check CHECK (((next_trigger_at IS NULL) OR (status = ANY (ARRAY['active'::text, 'cancelled'::text, 'failed'::text])))),
    CONSTRAINT automation_subscriptions_retry_count_check CHECK (((retry_count >= 0) AND (retry_count <= 5))),
    CONSTRAINT automation_subscriptions_status_check CHECK ((status = ANY (ARRAY['active'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT automation_subscriptions_trigger_count_check CHECK ((trigger_count >= 0))
)
WITH (fillfactor='80');
CREATE TABLE public.automations (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    trigger_type text NOT NULL,
    scope text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    source text NOT NULL,
    event_name text NOT NULL,
    payload json DEFAULT '{}'::json NOT NULL,
    participant_id uuid,
    trigger_at timestamp with time zone,
    processed_at timestamp with time zone,
    error_message text,
    last_error text,
    execution_status text,
    execution_at timestamp with time zone,
    execution_started_at timestamp with time zone,
    execution_completed_at timestamp with time zone,
    execution_error text,
    participants_total integer,
    participants_processed integer,
    caused_by_event_id uuid,
    chain_depth smallint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    cron_expression text,
    timezone text,
    next_run_at timestamp with time zone,
    last_run_at timestamp with time zone,
    participant_filter text,
    guard_condition text,
    filter_hints jsonb DEFAULT '[]'::jsonb NOT NULL,
    failures smallint DEFAULT 0 NOT NULL,
    counted_at timestamp with time zone,
    run_settings json,
    filter_after uuid,
    flow_at timestamp with time zone,
    due_at timestamp with time zone GENERATED ALWAYS AS (
CASE
    WHEN (status <> 'active'::text) THEN NULL::timestamp with time zone
    WHEN (trigger_type = 'cron'::text) THEN next_run_at
    WHEN ((trigger_type = 'one_time'::text) AND (processed_at IS NULL)) THEN trigger_at
    ELSE NULL::timestamp with time zone
END) STORED,
    schedule_type text,
    schedule_config jsonb,
    schedule_version integer DEFAULT 0 NOT NULL,
    active_since timestamp with time zone,
    last_evaluated_at timestamp with time zone,
    CONSTRAINT automations_chain_depth_check CHECK (((chain_depth >= 0) AND (chain_depth <= 10))),
    CONSTRAINT automations_check CHECK (((participants_processed >= 0) AND (participants_processed <= participants_total))),
    CONSTRAINT automations_check1 CHECK (((trigger_at IS NOT NULL) = (trigger_type = 'one_time'::text))),
    CONSTRAINT automations_check10 CHECK (((schedule_config IS NOT NULL) = (trigger_type = 'participant_state'::text))),
    CONSTRAINT automations_check11 CHECK (((active_since IS NOT NULL) = (trigger_type = 'participant_state'::text))),
    CONSTRAINT automations_check2 CHECK (((execution_status IS NOT NULL) = (scope = 'participants'::text))),
    CONSTRAINT automations_check3 CHECK (((caused_by_event_id IS NOT NULL) = (source = 'rule_action'::text))),
    CONSTRAINT automations_check4 CHECK (((participant_id IS NULL) OR ((trigger_type = 'one_time'::text) AND (scope = 'program'::text)))),
    CONSTRAINT automations_check5 CHECK (((cron_expression IS NOT NULL) = (trigger_type = 'cron'::text))),
    CONSTRAINT automations_check6 CHECK (((timezone IS NOT NULL) = (trigger_type = ANY (ARRAY['cron'::text, 'participant_state'::text])))),
    CONSTRAINT automations_check7 CHECK (((next_run_at IS NULL) OR ((trigger_type = 'cron'::text) AND (status = 'active'::text)))),
    CONSTRAINT automations_check8 CHECK ((((participant_filter IS NULL) AND (guard_condition IS NULL) AND (filter_hints = '[]'::jsonb)) OR (scope = 'participants'::text))),
    CONSTRAINT automations_check9 CHECK (((schedule_type IS NOT NULL) = (trigger_type = 'participant_state'::text))),
    CONSTRAINT automations_execution_status_check CHECK ((execution_status = ANY (ARRAY['idle'::text, 'pending'::text, 'executing'::text, 'completed'::text, 'failed'::text]))),
    CONSTRAINT automations_failures_check CHECK ((failures >= 0)),
    CONSTRAINT automations_participants_total_check CHECK ((participants_total >= 0)),
    CONSTRAINT automations_schedule_type_check CHECK ((schedule_type = ANY (ARRAY['ATTRIBUTE_DATE'::text, 'INTERVAL'::text, 'CRON'::text, 'THRESHOLD'::text]))),
    CONSTRAINT automations_scope_check CHECK ((scope = ANY (ARRAY['program'::text, 'participants'::text]))),
    CONSTRAINT automations_source_check CHECK ((source = ANY (ARRAY['api'::text, 'rule_action'::text]))),
    CONSTRAINT automations_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'archived'::text]))),
    CONSTRAINT automations_trigger_type_check CHECK ((trigger_type = ANY (ARRAY['cron'::text, 'one_time'::text, 'immediate'::text, 'participant_state'::text])))
);
CREATE TABLE public.balances (
    holder_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    program_id uuid DEFAULT '00000000-0000-0000-0000-000000000000'::uuid NOT NULL,
    organization_id uuid NOT NULL,
    available numeric DEFAULT 0 NOT NULL,
    held numeric DEFAULT 0 NOT NULL,
    deferred numeric DEFAULT 0 NOT NULL,
    account_seq bigint DEFAULT 0 NOT NULL,
    last_entry_at timestamp with time zone,
    next_due_at timestamp with time zone,
    version bigint DEFAULT 0 NOT NULL,
    CONSTRAINT balances_deferred_check CHECK ((deferred >= (0)::numeric)),
    CONSTRAINT balances_held_check CHECK ((held >= (0)::numeric))
)
WITH (fillfactor='70');
CREATE TABLE public.budget_periods (
    rule_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    started_at timestamp with time zone NOT NULL,
    organization_id uuid NOT NULL,
    cause text NOT NULL,
    "limit" numeric NOT NULL,
    api_key_id uuid,
    CONSTRAINT budget_periods_cause_check CHECK ((cause = ANY (ARRAY['CREATED'::text, 'SCHEDULE'::text, 'RESET'::text, 'REPLACED'::text])))
);
CREATE TABLE public.deployment (
    singleton boolean DEFAULT true NOT NULL,
    lanes smallint NOT NULL,
    clock_offset interval DEFAULT '00:00:00'::interval NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    clock_target timestamp with time zone,
    CONSTRAINT deployment_lanes_check CHECK (((lanes >= 1) AND (lanes <= 256))),
    CONSTRAINT deployment_singleton_check CHECK (singleton)
);
CREATE TABLE public.enrollments (
    participant_id uuid NOT NULL,
    program_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    enrolled_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT enrollments_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'FROZEN'::text, 'LOCKED'::text, 'CLOSED'::text])))
);
CREATE TABLE public.entry_seals (
    organization_id uuid NOT NULL,
    sequence_number bigint NOT NULL,
    entry_id uuid NOT NULL,
    previous_hash bytea NOT NULL,
    entry_hash bytea NOT NULL,
    sealed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT entry_seals_entry_hash_check CHECK ((length(entry_hash) = 32)),
    CONSTRAINT entry_seals_previous_hash_check CHECK ((length(previous_hash) = 32)),
    CONSTRAINT entry_seals_sequence_number_check CHECK ((sequence_number > 0))
);
CREATE TABLE public.event_identities (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.event_outcomes (
    event_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    participant_id uuid,
    status text NOT NULL,
    error_code text,
    error_message text,
    processed_at timestamp with time zone NOT NULL,
    rule_set_id bigint,
    evaluations json NOT NULL,
    CONSTRAINT event_outcomes_status_check CHECK ((status = ANY (ARRAY['COMPLETED'::text, 'FAILED'::text])))
)
PARTITION BY RANGE (created_at);
CREATE TABLE public.event_outcomes_other (
    event_id uuid CONSTRAINT event_outcomes_event_id_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT event_outcomes_created_at_not_null NOT NULL,
    organization_id uuid CONSTRAINT event_outcomes_organization_id_not_null NOT NULL,
    program_id uuid CONSTRAINT event_outcomes_program_id_not_null NOT NULL,
    participant_id uuid,
    status text CONSTRAINT event_outcomes_status_not_null NOT NULL,
    error_code text,
    error_message text,
    processed_at timestamp with time zone CONSTRAINT event_outcomes_processed_at_not_null NOT NULL,
    rule_set_id bigint,
    evaluations json CONSTRAINT event_outcomes_evaluations_not_null NOT NULL,
    CONSTRAINT event_outcomes_status_check CHECK ((status = ANY (ARRAY['COMPLETED'::text, 'FAILED'::text])))
);
CREATE SEQUENCE public.event_queue_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.event_queue (
    lane smallint NOT NULL,
    queue_seq bigint DEFAULT nextval('public.event_queue_seq'::regclass) NOT NULL,
    event_id uuid NOT NULL,
    event_created_at timestamp with time zone NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    order_key uuid NOT NULL,
    state text DEFAULT 'RECEIVED'::text NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    not_before timestamp with time zone,
    queued_at timestamp with time zone NOT NULL,
    trace_parent text,
    CONSTRAINT event_queue_state_check CHECK ((state = ANY (ARRAY['RECEIVED'::text, 'PENDING'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000');
CREATE TABLE public.events (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    participant_id uuid,
    external_id text,
    recipient_id uuid,
    idempotency_key text NOT NULL,
    event_type text NOT NULL,
    event_data json NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    automation_id uuid,
    caused_by_event_id uuid,
    chain_depth smallint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT events_event_type_check CHECK ((event_type = ANY (ARRAY['EXTERNAL'::text, 'SYSTEM'::text])))
)
PARTITION BY RANGE (created_at);
CREATE TABLE public.events_other (
    id uuid CONSTRAINT events_id_not_null NOT NULL,
    organization_id uuid CONSTRAINT events_organization_id_not_null NOT NULL,
    program_id uuid CONSTRAINT events_program_id_not_null NOT NULL,
    participant_id uuid,
    external_id text,
    recipient_id uuid,
    idempotency_key text CONSTRAINT events_idempotency_key_not_null NOT NULL,
    event_type text CONSTRAINT events_event_type_not_null NOT NULL,
    event_data json CONSTRAINT events_event_data_not_null NOT NULL,
    event_timestamp timestamp with time zone CONSTRAINT events_event_timestamp_not_null NOT NULL,
    automation_id uuid,
    caused_by_event_id uuid,
    chain_depth smallint DEFAULT 0 CONSTRAINT events_chain_depth_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT events_created_at_not_null NOT NULL,
    CONSTRAINT events_event_type_check CHECK ((event_type = ANY (ARRAY['EXTERNAL'::text, 'SYSTEM'::text])))
);
CREATE TABLE public.expiry_notices (
    singleton boolean DEFAULT true NOT NULL,
    done_through timestamp with time zone NOT NULL,
    midnight timestamp with time zone,
    asset_id uuid,
    day date,
    holder_id uuid,
    CONSTRAINT expiry_notices_check CHECK (((midnight IS NULL) OR ((asset_id IS NOT NULL) AND (day IS NOT NULL) AND (holder_id IS NOT NULL)))),
    CONSTRAINT expiry_notices_singleton_check CHECK (singleton)
);
CREATE TABLE public.fan_out_candidates (
    automation_id uuid NOT NULL,
    occurrence timestamp with time zone NOT NULL,
    participant_id uuid NOT NULL,
    is_certain boolean DEFAULT true NOT NULL
);
CREATE TABLE public.fulfillment_requests (
    redemption_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    body bytea,
    next_attempt_at timestamp with time zone,
    sending_until timestamp with time zone,
    attempt_count smallint DEFAULT 0 NOT NULL,
    last_attempt_at timestamp with time zone,
    last_response_status smallint,
    last_error text,
    CONSTRAINT fulfillment_requests_attempt_count_check CHECK (((attempt_count >= 0) AND (attempt_count <= 8))),
    CONSTRAINT fulfillment_requests_open CHECK (((body IS NULL) = (next_attempt_at IS NULL)))
);
CREATE TABLE public.group_members (
    group_id uuid NOT NULL,
    participant_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    role text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    on_behalf_of_participant_id uuid,
    joined_at timestamp with time zone NOT NULL,
    "position" smallint NOT NULL,
    left_at timestamp with time zone,
    CONSTRAINT group_members_check CHECK (((left_at IS NOT NULL) = (status = 'LEFT'::text))),
    CONSTRAINT group_members_role_check CHECK ((role = ANY (ARRAY['ADMIN'::text, 'MEMBER'::text]))),
    CONSTRAINT group_members_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'LEFT'::text])))
);
CREATE TABLE public.groups (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    on_behalf_of_participant_id uuid,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT groups_check CHECK (((deleted_at IS NOT NULL) = (status = 'ARCHIVED'::text))),
    CONSTRAINT groups_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'ARCHIVED'::text])))
);
CREATE TABLE public.holders (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    kind text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    counters jsonb DEFAULT '{}'::jsonb NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    state_changed_at timestamp with time zone,
    CONSTRAINT holders_kind_check CHECK ((kind = ANY (ARRAY['PARTICIPANT'::text, 'GROUP'::text])))
)
WITH (fillfactor='70');
CREATE TABLE public.holds (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    holder_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    pair_program_id uuid NOT NULL,
    program_id uuid NOT NULL,
    kind text NOT NULL,
    reference_id text,
    amount numeric(38,18) NOT NULL,
    remaining numeric(38,18) NOT NULL,
    expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    entry_id uuid NOT NULL,
    CONSTRAINT holds_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT holds_check CHECK (((remaining >= (0)::numeric) AND (remaining <= amount))),
    CONSTRAINT holds_kind_check CHECK ((kind = ANY (ARRAY['MOVED'::text, 'PROVISIONAL'::text])))
);
CREATE TABLE public.idempotency_keys (
    program_id uuid NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    organization_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    response json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_keys_kind_check CHECK ((kind = ANY (ARRAY['balance'::text, 'wallet'::text, 'redemption'::text, 'reversal'::text, 'transfer'::text])))
);
CREATE TABLE public.journal_entries (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    action_type text NOT NULL,
    description text NOT NULL,
    event_id uuid,
    event_timestamp timestamp with time zone,
    rule_id uuid,
    created_by_api_key_id uuid,
    reference_id text,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT journal_entries_action_type_check CHECK ((action_type = ANY (ARRAY['CREDIT'::text, 'DEBIT'::text, 'HOLD'::text, 'RELEASE'::text, 'FORFEIT'::text, 'VOID_HOLD'::text, 'SETTLE'::text, 'MATURITY'::text, 'EXPIRY'::text, 'REDEMPTION'::text, 'REDEMPTION_REVERSAL'::text, 'TRANSFER'::text, 'FUND'::text, 'BURN'::text])))
);
CREATE TABLE public.lanes (
    lane smallint NOT NULL
);
CREATE TABLE public.lots (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    holder_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    pair_program_id uuid NOT NULL,
    program_id uuid NOT NULL,
    amount numeric(38,18) NOT NULL,
    remaining numeric(38,18) NOT NULL,
    status text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    matures_at timestamp with time zone,
    reference_id text,
    parent_lot_id uuid,
    hold_id uuid,
    entry_id uuid NOT NULL,
    is_announced boolean DEFAULT false NOT NULL,
    CONSTRAINT lots_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT lots_check CHECK (((remaining >= (0)::numeric) AND (remaining <= amount))),
    CONSTRAINT lots_check1 CHECK (((remaining > (0)::numeric) = (status = ANY (ARRAY['DEFERRED'::text, 'AVAILABLE'::text, 'HELD'::text])))),
    CONSTRAINT lots_status_check CHECK ((status = ANY (ARRAY['DEFERRED'::text, 'AVAILABLE'::text, 'HELD'::text, 'CONSUMED'::text, 'EXPIRED'::text])))
)
WITH (fillfactor='90');
CREATE TABLE public.organizations (
    id uuid NOT NULL,
    name text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT organizations_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text])))
);
CREATE TABLE public.participants (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    external_id text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    email text,
    phone text,
    first_name text,
    last_name text,
    display_name text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT participants_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'CLOSED'::text])))
);
CREATE TABLE public.postings (
    entry_id uuid NOT NULL,
    ordinal smallint NOT NULL,
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid,
    bucket text NOT NULL,
    amount numeric(38,18) NOT NULL,
    account_seq bigint,
    balance_after numeric,
    total_after numeric,
    created_at timestamp with time zone NOT NULL,
    action_type text NOT NULL,
    CONSTRAINT postings_amount_check CHECK ((amount <> (0)::numeric)),
    CONSTRAINT postings_bucket_check CHECK ((bucket = ANY (ARRAY['AVAILABLE'::text, 'HELD'::text, 'DEFERRED'::text]))),
    CONSTRAINT postings_check CHECK (((entity_id IS NULL) = (entity_type ~~ 'SYSTEM%'::text))),
    CONSTRAINT postings_entity_type_check CHECK ((entity_type = ANY (ARRAY['PARTICIPANT'::text, 'GROUP'::text, 'PROGRAM'::text, 'SYSTEM_ISSUANCE'::text, 'SYSTEM_BREAKAGE'::text, 'SYSTEM_REDEMPTION'::text, 'LEDGER_ENTITY'::text])))
);
CREATE TABLE public.program_assets (
    program_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    linked_at timestamp with time zone NOT NULL
);
CREATE TABLE public.program_states (
    program_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    counters jsonb DEFAULT '{}'::jsonb NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    version bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.programs (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    on_unknown_participant text DEFAULT 'CREATE'::text NOT NULL,
    redemption_target_type text DEFAULT 'SYSTEM_REDEMPTION'::text NOT NULL,
    redemption_target_entity_id uuid,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT programs_check CHECK (((redemption_target_entity_id IS NOT NULL) = (redemption_target_type = 'LEDGER_ENTITY'::text))),
    CONSTRAINT programs_on_unknown_participant_check CHECK ((on_unknown_participant = ANY (ARRAY['CREATE'::text, 'REJECT'::text]))),
    CONSTRAINT programs_redemption_target_type_check CHECK ((redemption_target_type = ANY (ARRAY['SYSTEM_REDEMPTION'::text, 'SYSTEM_BREAKAGE'::text, 'LEDGER_ENTITY'::text]))),
    CONSTRAINT programs_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'ARCHIVED'::text])))
);
CREATE UNLOGGED TABLE public.rate_buckets (
    organization_id uuid NOT NULL,
    tokens double precision NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.redemption_lots (
    redemption_id uuid NOT NULL,
    ordinal integer NOT NULL,
    lot_id uuid NOT NULL,
    amount numeric(38,18) NOT NULL,
    restored numeric(38,18) DEFAULT 0 NOT NULL,
    CONSTRAINT redemption_lots_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT redemption_lots_check CHECK ((restored <= amount)),
    CONSTRAINT redemption_lots_restored_check CHECK ((restored >= (0)::numeric))
);
CREATE TABLE public.redemption_reversals (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    redemption_id uuid NOT NULL,
    amount numeric(38,18) NOT NULL,
    quantity integer,
    reason text NOT NULL,
    entry_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT redemption_reversals_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT redemption_reversals_quantity_check CHECK ((quantity > 0))
);
CREATE TABLE public.redemptions (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    participant_id uuid NOT NULL,
    program_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    amount numeric(38,18) NOT NULL,
    description text NOT NULL,
    reward_id uuid,
    quantity integer,
    unit_cost numeric(38,18),
    reversed_amount numeric(38,18) DEFAULT 0 NOT NULL,
    reversed_quantity integer,
    status text GENERATED ALWAYS AS (
CASE
    WHEN (reversed_amount = (0)::numeric) THEN 'COMPLETED'::text
    WHEN (reversed_amount < amount) THEN 'PARTIALLY_REVERSED'::text
    ELSE 'FULLY_REVERSED'::text
END) STORED NOT NULL,
    redemption_target_type text NOT NULL,
    redemption_target_entity_id uuid,
    entry_id uuid NOT NULL,
    fulfillment_status text,
    fulfillment_expires_at timestamp with time zone,
    fulfillment_note text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    fulfillment_type text,
    fulfillment_flow_at timestamp with time zone,
    CONSTRAINT redemptions_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT redemptions_check CHECK (((reversed_amount >= (0)::numeric) AND (reversed_amount <= amount))),
    CONSTRAINT redemptions_check1 CHECK (((quantity IS NULL) = (reversed_quantity IS NULL))),
    CONSTRAINT redemptions_check2 CHECK (((reversed_quantity >= 0) AND (reversed_quantity <= quantity))),
    CONSTRAINT redemptions_check3 CHECK (((reward_id IS NULL) = (unit_cost IS NULL))),
    CONSTRAINT redemptions_check4 CHECK (((quantity IS NULL) OR (reward_id IS NOT NULL))),
    CONSTRAINT redemptions_check5 CHECK (((redemption_target_entity_id IS NOT NULL) = (redemption_target_type = 'LEDGER_ENTITY'::text))),
    CONSTRAINT redemptions_fulfillment CHECK ((((fulfillment_type IS NULL) = (fulfillment_status IS NULL)) AND ((fulfillment_type IS NOT NULL) OR ((fulfillment_expires_at IS NULL) AND (fulfillment_note IS NULL))))),
    CONSTRAINT redemptions_fulfillment_status_check CHECK ((fulfillment_status = ANY (ARRAY['PENDING'::text, 'FULFILLED'::text, 'FAILED'::text]))),
    CONSTRAINT redemptions_fulfillment_type_check CHECK ((fulfillment_type = ANY (ARRAY['manual'::text, 'webhook'::text]))),
    CONSTRAINT redemptions_quantity_check CHECK ((quantity > 0)),
    CONSTRAINT redemptions_redemption_target_type_check CHECK ((redemption_target_type = ANY (ARRAY['SYSTEM_REDEMPTION'::text, 'SYSTEM_BREAKAGE'::text, 'LEDGER_ENTITY'::text]))),
    CONSTRAINT redemptions_unit_cost_check CHECK ((unit_cost > (0)::numeric))
);
CREATE TABLE public.reward_units (
    reward_id uuid NOT NULL,
    participant_id uuid NOT NULL,
    units bigint NOT NULL,
    CONSTRAINT reward_units_units_check CHECK ((units >= 0))
);
CREATE TABLE public.rewards (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    category text,
    redemption_type text NOT NULL,
    unit_cost numeric(38,18) NOT NULL,
    max_total integer,
    max_per_participant integer,
    redeemed_count bigint DEFAULT 0 NOT NULL,
    status text NOT NULL,
    is_sold_out boolean DEFAULT false NOT NULL,
    available_from timestamp with time zone,
    available_until timestamp with time zone,
    metadata json NOT NULL,
    fulfillment_type text NOT NULL,
    fulfillment_url text,
    fulfillment_timeout text,
    fulfillment_secret bytea,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT rewards_active_has_stock CHECK (((status <> 'ACTIVE'::text) OR (max_total IS NULL) OR (redeemed_count < max_total))),
    CONSTRAINT rewards_fulfillment_type_check CHECK ((fulfillment_type = ANY (ARRAY['none'::text, 'manual'::text, 'webhook'::text]))),
    CONSTRAINT rewards_max_per_participant_check CHECK ((max_per_participant > 0)),
    CONSTRAINT rewards_max_total_check CHECK ((max_total > 0)),
    CONSTRAINT rewards_redeemed_count_check CHECK ((redeemed_count >= 0)),
    CONSTRAINT rewards_redemption_type_check CHECK ((redemption_type = ANY (ARRAY['UNIT_BASED'::text, 'AMOUNT_BASED'::text]))),
    CONSTRAINT rewards_sold_out CHECK (((NOT is_sold_out) OR ((status = 'OUT_OF_STOCK'::text) AND (max_total IS NOT NULL) AND (redeemed_count >= max_total)))),
    CONSTRAINT rewards_status_check CHECK ((status = ANY (ARRAY['DRAFT'::text, 'ACTIVE'::text, 'OUT_OF_STOCK'::text, 'ARCHIVED'::text]))),
    CONSTRAINT rewards_timeout CHECK (
CASE fulfillment_type
    WHEN 'none'::text THEN (fulfillment_timeout IS NULL)
    WHEN 'webhook'::text THEN (fulfillment_timeout IS NOT NULL)
    ELSE true
END),
    CONSTRAINT rewards_unit_cost_check CHECK ((unit_cost > (0)::numeric)),
    CONSTRAINT rewards_units_only CHECK (((redemption_type = 'UNIT_BASED'::text) OR ((max_total IS NULL) AND (max_per_participant IS NULL) AND (redeemed_count = 0)))),
    CONSTRAINT rewards_webhook CHECK ((((fulfillment_type = 'webhook'::text) = (fulfillment_url IS NOT NULL)) AND ((fulfillment_type = 'webhook'::text) = (fulfillment_secret IS NOT NULL)))),
    CONSTRAINT rewards_window CHECK ((available_from < available_until))
);
CREATE TABLE public.rule_budgets (
    rule_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    "position" smallint NOT NULL,
    "limit" numeric NOT NULL,
    schedule_type text,
    cron_expression text,
    "interval" text,
    consumed numeric DEFAULT 0 NOT NULL,
    period_started_at timestamp with time zone NOT NULL,
    next_reset_at timestamp with time zone,
    version bigint DEFAULT 0 NOT NULL,
    CONSTRAINT rule_budgets_check CHECK (((cron_expression IS NOT NULL) = (NOT (schedule_type IS DISTINCT FROM 'CRON'::text)))),
    CONSTRAINT rule_budgets_check1 CHECK ((("interval" IS NOT NULL) = (NOT (schedule_type IS DISTINCT FROM 'INTERVAL'::text)))),
    CONSTRAINT rule_budgets_check2 CHECK (((next_reset_at IS NOT NULL) = (schedule_type IS NOT NULL))),
    CONSTRAINT rule_budgets_consumed_check CHECK ((consumed >= (0)::numeric)),
    CONSTRAINT rule_budgets_limit_check CHECK (("limit" > (0)::numeric)),
    CONSTRAINT rule_budgets_schedule_type_check CHECK ((schedule_type = ANY (ARRAY['CRON'::text, 'INTERVAL'::text])))
)
WITH (fillfactor='50');
CREATE TABLE public.rule_history (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    change_type text NOT NULL,
    changes jsonb NOT NULL,
    snapshot jsonb NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    changed_by_api_key_id uuid,
    CONSTRAINT rule_history_change_type_check CHECK ((change_type = ANY (ARRAY['created'::text, 'updated'::text, 'suspended'::text, 'activated'::text, 'archived'::text])))
);
CREATE TABLE public.rule_matches (
    rule_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    event_id uuid NOT NULL
)
PARTITION BY RANGE (created_at);
CREATE TABLE public.rule_matches_other (
    rule_id uuid CONSTRAINT rule_matches_rule_id_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT rule_matches_created_at_not_null NOT NULL,
    event_id uuid CONSTRAINT rule_matches_event_id_not_null NOT NULL
);
CREATE TABLE public.rule_sets (
    id bigint NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    history_ids uuid[] NOT NULL,
    created_at timestamp with time zone NOT NULL
);
ALTER TABLE public.rule_sets ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.rule_sets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.rules (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    condition text NOT NULL,
    actions jsonb NOT NULL,
    "order" integer NOT NULL,
    stop_after_match boolean DEFAULT false NOT NULL,
    active_from timestamp with time zone,
    active_to timestamp with time zone,
    status text NOT NULL,
    history_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT rules_order_check CHECK (("order" > 0)),
    CONSTRAINT rules_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'ARCHIVED'::text])))
);
CREATE TABLE public.state_history (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid NOT NULL,
    state_type text NOT NULL,
    key text NOT NULL,
    operation text NOT NULL,
    old_value text,
    new_value text,
    changed_at timestamp with time zone NOT NULL,
    changed_by_api_key_id uuid,
    event_id uuid,
    event_timestamp timestamp with time zone,
    rule_id uuid,
    program_id uuid,
    CONSTRAINT state_history_entity_type_check CHECK ((entity_type = ANY (ARRAY['PARTICIPANT'::text, 'GROUP'::text, 'PROGRAM'::text]))),
    CONSTRAINT state_history_operation_check CHECK ((operation = ANY (ARRAY['add'::text, 'remove'::text, 'set'::text, 'delete'::text, 'auto_reset'::text]))),
    CONSTRAINT state_history_state_type_check CHECK ((state_type = ANY (ARRAY['tag'::text, 'counter'::text, 'attribute'::text, 'tier'::text])))
)
PARTITION BY RANGE (changed_at);
CREATE TABLE public.state_history_other (
    id uuid CONSTRAINT state_history_id_not_null NOT NULL,
    organization_id uuid CONSTRAINT state_history_organization_id_not_null NOT NULL,
    entity_type text CONSTRAINT state_history_entity_type_not_null NOT NULL,
    entity_id uuid CONSTRAINT state_history_entity_id_not_null NOT NULL,
    state_type text CONSTRAINT state_history_state_type_not_null NOT NULL,
    key text CONSTRAINT state_history_key_not_null NOT NULL,
    operation text CONSTRAINT state_history_operation_not_null NOT NULL,
    old_value text,
    new_value text,
    changed_at timestamp with time zone CONSTRAINT state_history_changed_at_not_null NOT NULL,
    changed_by_api_key_id uuid,
    event_id uuid,
    event_timestamp timestamp with time zone,
    rule_id uuid,
    program_id uuid,
    CONSTRAINT state_history_entity_type_check CHECK ((entity_type = ANY (ARRAY['PARTICIPANT'::text, 'GROUP'::text, 'PROGRAM'::text]))),
    CONSTRAINT state_history_operation_check CHECK ((operation = ANY (ARRAY['add'::text, 'remove'::text, 'set'::text, 'delete'::text, 'auto_reset'::text]))),
    CONSTRAINT state_history_state_type_check CHECK ((state_type = ANY (ARRAY['tag'::text, 'counter'::text, 'attribute'::text, 'tier'::text])))
);
CREATE TABLE public.tier_history (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    tier_id uuid NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid NOT NULL,
    tier_key text NOT NULL,
    from_level text,
    to_level text,
    from_rank integer NOT NULL,
    to_rank integer NOT NULL,
    change text NOT NULL,
    reason text NOT NULL,
    expires_at timestamp with time zone,
    event_id uuid,
    rule_id uuid,
    changed_by_api_key_id uuid,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT tier_history_change_check CHECK ((change = ANY (ARRAY['UPGRADED'::text, 'DOWNGRADED'::text, 'REMOVED'::text]))),
    CONSTRAINT tier_history_check CHECK (((from_level IS NULL) = (from_rank = 0))),
    CONSTRAINT tier_history_check1 CHECK (((to_level IS NULL) = (to_rank = 0))),
    CONSTRAINT tier_history_check2 CHECK (((change = 'REMOVED'::text) = (to_level IS NULL))),
    CONSTRAINT tier_history_entity_type_check CHECK ((entity_type = ANY (ARRAY['PARTICIPANT'::text, 'GROUP'::text]))),
    CONSTRAINT tier_history_reason_check CHECK ((reason = ANY (ARRAY['QUALIFICATION'::text, 'RULE'::text, 'API'::text, 'EXPIRY'::text, 'PERIOD_END'::text, 'INACTIVITY'::text])))
);
CREATE TABLE public.tier_levels (
    id uuid NOT NULL,
    tier_id uuid NOT NULL,
    key text NOT NULL,
    rank integer NOT NULL,
    display_name text,
    color text,
    icon_url text,
    benefits json,
    qualification jsonb,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT tier_levels_rank_check CHECK (((rank >= 1) AND (rank <= 1000000)))
);
CREATE TABLE public.tier_states (
    holder_id uuid NOT NULL,
    tier_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    level_key text,
    acquired_at timestamp with time zone,
    expires_at timestamp with time zone,
    lifecycle_expires_at timestamp with time zone,
    steps_done_through timestamp with time zone,
    next_due_at timestamp with time zone,
    lifecycle_number integer DEFAULT 0 NOT NULL,
    CONSTRAINT tier_states_check CHECK (((level_key IS NULL) = (acquired_at IS NULL))),
    CONSTRAINT tier_states_check1 CHECK (((level_key IS NOT NULL) OR ((expires_at IS NULL) AND (lifecycle_expires_at IS NULL))))
)
WITH (fillfactor='80');
CREATE SEQUENCE public.tier_versions
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.tiers (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    program_id uuid NOT NULL,
    key text NOT NULL,
    display_name text,
    lifecycle jsonb,
    lifecycle_started_at timestamp with time zone,
    status text NOT NULL,
    version bigint DEFAULT nextval('public.tier_versions'::regclass) NOT NULL,
    archived_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    lifecycle_number integer DEFAULT 0 NOT NULL,
    renewed_through uuid,
    renewal_passes integer DEFAULT 0 NOT NULL,
    CONSTRAINT tiers_check CHECK (((status = 'ARCHIVED'::text) = (archived_at IS NOT NULL))),
    CONSTRAINT tiers_check1 CHECK (((lifecycle IS NULL) = (lifecycle_started_at IS NULL))),
    CONSTRAINT tiers_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'ARCHIVED'::text])))
);
CREATE TABLE public.unsealed_entries (
    organization_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    entry_id uuid NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000');
CREATE TABLE public.wallets (
    program_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    available numeric DEFAULT 0 NOT NULL,
    account_seq bigint DEFAULT 0 NOT NULL,
    last_entry_at timestamp with time zone,
    version bigint DEFAULT 0 NOT NULL,
    CONSTRAINT wallets_available_check CHECK ((available >= (0)::numeric))
)
WITH (fillfactor='70');
CREATE TABLE public.webhook_deliveries (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    webhook_endpoint_id uuid NOT NULL,
    webhook_event_id uuid NOT NULL,
    event_type text NOT NULL,
    entity_id uuid NOT NULL,
    outbox_seq bigint NOT NULL,
    status text DEFAULT 'PENDING'::text NOT NULL,
    attempt_count smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 8 NOT NULL,
    next_attempt_at timestamp with time zone,
    last_attempt_at timestamp with time zone,
    delivered_at timestamp with time zone,
    last_response_status smallint,
    last_response_body text,
    last_error text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    sending_until timestamp with time zone,
    CONSTRAINT webhook_deliveries_check CHECK (((attempt_count >= 0) AND (attempt_count <= max_attempts))),
    CONSTRAINT webhook_deliveries_check1 CHECK (((status <> 'PENDING'::text) OR (next_attempt_at IS NOT NULL))),
    CONSTRAINT webhook_deliveries_check2 CHECK (((status <> ALL (ARRAY['DELIVERED'::text, 'FAILED'::text])) OR (next_attempt_at IS NULL))),
    CONSTRAINT webhook_deliveries_check3 CHECK (((status = 'SENDING'::text) = (sending_until IS NOT NULL))),
    CONSTRAINT webhook_deliveries_status_check CHECK ((status = ANY (ARRAY['PENDING'::text, 'SENDING'::text, 'DELIVERED'::text, 'FAILED'::text])))
)
PARTITION BY RANGE (created_at);
CREATE TABLE public.webhook_deliveries_other (
    id uuid CONSTRAINT webhook_deliveries_id_not_null NOT NULL,
    organization_id uuid CONSTRAINT webhook_deliveries_organization_id_not_null NOT NULL,
    webhook_endpoint_id uuid CONSTRAINT webhook_deliveries_webhook_endpoint_id_not_null NOT NULL,
    webhook_event_id uuid CONSTRAINT webhook_deliveries_webhook_event_id_not_null NOT NULL,
    event_type text CONSTRAINT webhook_deliveries_event_type_not_null NOT NULL,
    entity_id uuid CONSTRAINT webhook_deliveries_entity_id_not_null NOT NULL,
    outbox_seq bigint CONSTRAINT webhook_deliveries_outbox_seq_not_null NOT NULL,
    status text DEFAULT 'PENDING'::text CONSTRAINT webhook_deliveries_status_not_null NOT NULL,
    attempt_count smallint DEFAULT 0 CONSTRAINT webhook_deliveries_attempt_count_not_null NOT NULL,
    max_attempts smallint DEFAULT 8 CONSTRAINT webhook_deliveries_max_attempts_not_null NOT NULL,
    next_attempt_at timestamp with time zone,
    last_attempt_at timestamp with time zone,
    delivered_at timestamp with time zone,
    last_response_status smallint,
    last_response_body text,
    last_error text,
    created_at timestamp with time zone CONSTRAINT webhook_deliveries_created_at_not_null NOT NULL,
    updated_at timestamp with time zone CONSTRAINT webhook_deliveries_updated_at_not_null NOT NULL,
    sending_until timestamp with time zone,
    CONSTRAINT webhook_deliveries_check CHECK (((attempt_count >= 0) AND (attempt_count <= max_attempts))),
    CONSTRAINT webhook_deliveries_check1 CHECK (((status <> 'PENDING'::text) OR (next_attempt_at IS NOT NULL))),
    CONSTRAINT webhook_deliveries_check2 CHECK (((status <> ALL (ARRAY['DELIVERED'::text, 'FAILED'::text])) OR (next_attempt_at IS NULL))),
    CONSTRAINT webhook_deliveries_check3 CHECK (((status = 'SENDING'::text) = (sending_until IS NOT NULL))),
    CONSTRAINT webhook_deliveries_status_check CHECK ((status = ANY (ARRAY['PENDING'::text, 'SENDING'::text, 'DELIVERED'::text, 'FAILED'::text])))
);
CREATE TABLE public.webhook_endpoints (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    url text NOT NULL,
    description text,
    enabled_events text[] NOT NULL,
    metadata json,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_secret_expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT webhook_endpoints_check CHECK (((previous_secret IS NULL) = (previous_secret_expires_at IS NULL))),
    CONSTRAINT webhook_endpoints_enabled_events_check CHECK ((cardinality(enabled_events) > 0)),
    CONSTRAINT webhook_endpoints_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'DISABLED'::text, 'ARCHIVED'::text])))
);
CREATE TABLE public.webhook_health (
    endpoint_id uuid NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    openings integer DEFAULT 0 NOT NULL,
    circuit_broken_until timestamp with time zone,
    rate_limited_until timestamp with time zone,
    last_attempt_at timestamp with time zone,
    CONSTRAINT webhook_health_check CHECK (((openings > 0) = (circuit_broken_until IS NOT NULL))),
    CONSTRAINT webhook_health_failures_check CHECK ((failures >= 0)),
    CONSTRAINT webhook_health_openings_check CHECK ((openings >= 0))
);
CREATE TABLE public.webhook_hours (
    endpoint_id uuid NOT NULL,
    hour timestamp with time zone NOT NULL,
    succeeded integer DEFAULT 0 NOT NULL,
    failed integer DEFAULT 0 NOT NULL
);
CREATE TABLE public.webhook_messages (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    type text NOT NULL,
    data json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    trace_parent text
)
PARTITION BY RANGE (created_at);
CREATE TABLE public.webhook_messages_other (
    id uuid CONSTRAINT webhook_messages_id_not_null NOT NULL,
    organization_id uuid CONSTRAINT webhook_messages_organization_id_not_null NOT NULL,
    type text CONSTRAINT webhook_messages_type_not_null NOT NULL,
    data json CONSTRAINT webhook_messages_data_not_null NOT NULL,
    created_at timestamp with time zone CONSTRAINT webhook_messages_created_at_not_null NOT NULL,
    trace_parent text
);
CREATE SEQUENCE public.webhook_outbox_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER TABLE ONLY public.event_outcomes ATTACH PARTITION public.event_outcomes_other DEFAULT;
ALTER TABLE ONLY public.events ATTACH PARTITION public.events_other DEFAULT;
ALTER TABLE ONLY public.rule_matches ATTACH PARTITION public.rule_matches_other DEFAULT;
ALTER TABLE ONLY public.state_history ATTACH PARTITION public.state_history_other DEFAULT;
ALTER TABLE ONLY public.webhook_deliveries ATTACH PARTITION public.webhook_deliveries_other DEFAULT;
ALTER TABLE ONLY public.webhook_messages ATTACH PARTITION public.webhook_messages_other DEFAULT;
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.automation_evaluations
    ADD CONSTRAINT automation_evaluations_pkey PRIMARY KEY (automation_id);
ALTER TABLE ONLY public.automation_subscriptions
    ADD CONSTRAINT automation_subscriptions_automation_id_participant_id_key UNIQUE (automation_id, participant_id);
ALTER TABLE ONLY public.automation_subscriptions
    ADD CONSTRAINT automation_subscriptions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.automations
    ADD CONSTRAINT automations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.balances
    ADD CONSTRAINT balances_pkey PRIMARY KEY (holder_id, asset_id, program_id);
ALTER TABLE ONLY public.budget_periods
    ADD CONSTRAINT budget_periods_pkey PRIMARY KEY (rule_id, asset_id, started_at);
ALTER TABLE ONLY public.deployment
    ADD CONSTRAINT deployment_pkey PRIMARY KEY (singleton);
ALTER TABLE ONLY public.enrollments
    ADD CONSTRAINT enrollments_pkey PRIMARY KEY (participant_id, program_id);
ALTER TABLE ONLY public.entry_seals
    ADD CONSTRAINT entry_seals_pkey PRIMARY KEY (organization_id, sequence_number);
ALTER TABLE ONLY public.event_identities
    ADD CONSTRAINT event_identities_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.event_outcomes
    ADD CONSTRAINT event_outcomes_pkey PRIMARY KEY (event_id, created_at);
ALTER TABLE ONLY public.event_outcomes_other
    ADD CONSTRAINT event_outcomes_other_pkey PRIMARY KEY (event_id, created_at);
ALTER TABLE ONLY public.event_queue
    ADD CONSTRAINT event_queue_pkey PRIMARY KEY (lane, queue_seq);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id, created_at);
ALTER TABLE ONLY public.events_other
    ADD CONSTRAINT events_other_pkey PRIMARY KEY (id, created_at);
ALTER TABLE ONLY public.expiry_notices
    ADD CONSTRAINT expiry_notices_pkey PRIMARY KEY (singleton);
ALTER TABLE ONLY public.fan_out_candidates
    ADD CONSTRAINT fan_out_candidates_pkey PRIMARY KEY (automation_id, occurrence, participant_id);
ALTER TABLE ONLY public.fulfillment_requests
    ADD CONSTRAINT fulfillment_requests_pkey PRIMARY KEY (redemption_id);
ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_pkey PRIMARY KEY (group_id, participant_id);
ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.holders
    ADD CONSTRAINT holders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (program_id, kind, key);
ALTER TABLE ONLY public.journal_entries
    ADD CONSTRAINT journal_entries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.lanes
    ADD CONSTRAINT lanes_pkey PRIMARY KEY (lane);
ALTER TABLE ONLY public.lots
    ADD CONSTRAINT lots_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.participants
    ADD CONSTRAINT participants_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.postings
    ADD CONSTRAINT postings_pkey PRIMARY KEY (entry_id, ordinal);
ALTER TABLE ONLY public.program_assets
    ADD CONSTRAINT program_assets_pkey PRIMARY KEY (program_id, asset_id);
ALTER TABLE ONLY public.program_states
    ADD CONSTRAINT program_states_pkey PRIMARY KEY (program_id);
ALTER TABLE ONLY public.programs
    ADD CONSTRAINT programs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rate_buckets
    ADD CONSTRAINT rate_buckets_pkey PRIMARY KEY (organization_id);
ALTER TABLE ONLY public.redemption_lots
    ADD CONSTRAINT redemption_lots_pkey PRIMARY KEY (redemption_id, ordinal);
ALTER TABLE ONLY public.redemption_reversals
    ADD CONSTRAINT redemption_reversals_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.redemptions
    ADD CONSTRAINT redemptions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.reward_units
    ADD CONSTRAINT reward_units_pkey PRIMARY KEY (reward_id, participant_id);
ALTER TABLE ONLY public.rewards
    ADD CONSTRAINT rewards_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rule_budgets
    ADD CONSTRAINT rule_budgets_pkey PRIMARY KEY (rule_id, asset_id);
ALTER TABLE ONLY public.rule_history
    ADD CONSTRAINT rule_history_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rule_matches
    ADD CONSTRAINT rule_matches_pkey PRIMARY KEY (rule_id, created_at, event_id);
ALTER TABLE ONLY public.rule_matches_other
    ADD CONSTRAINT rule_matches_other_pkey PRIMARY KEY (rule_id, created_at, event_id);
ALTER TABLE ONLY public.rule_sets
    ADD CONSTRAINT rule_sets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tier_history
    ADD CONSTRAINT tier_history_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tier_levels
    ADD CONSTRAINT tier_levels_key UNIQUE (tier_id, key);
ALTER TABLE ONLY public.tier_levels
    ADD CONSTRAINT tier_levels_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tier_levels
    ADD CONSTRAINT tier_levels_rank UNIQUE (tier_id, rank) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.tier_states
    ADD CONSTRAINT tier_states_pkey PRIMARY KEY (holder_id, tier_id);
ALTER TABLE ONLY public.tiers
    ADD CONSTRAINT tiers_key UNIQUE (program_id, key);
ALTER TABLE ONLY public.tiers
    ADD CONSTRAINT tiers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.unsealed_entries
    ADD CONSTRAINT unsealed_entries_pkey PRIMARY KEY (organization_id, created_at, entry_id);
ALTER TABLE ONLY public.wallets
    ADD CONSTRAINT wallets_pkey PRIMARY KEY (program_id, asset_id);
ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id, created_at);
ALTER TABLE ONLY public.webhook_deliveries_other
    ADD CONSTRAINT webhook_deliveries_other_pkey PRIMARY KEY (id, created_at);
ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_health
    ADD CONSTRAINT webhook_health_pkey PRIMARY KEY (endpoint_id);
ALTER TABLE ONLY public.webhook_hours
    ADD CONSTRAINT webhook_hours_pkey PRIMARY KEY (endpoint_id, hour);
ALTER TABLE ONLY public.webhook_messages
    ADD CONSTRAINT webhook_messages_pkey PRIMARY KEY (id, created_at);
ALTER TABLE ONLY public.webhook_messages_other
    ADD CONSTRAINT webhook_messages_other_pkey PRIMARY KEY (id, created_at);
CREATE INDEX api_keys_organization ON public.api_keys USING btree (organization_id, created_at);
CREATE INDEX assets_created ON public.assets USING btree (organization_id, created_at, id);
CREATE UNIQUE INDEX assets_symbol ON public.assets USING btree (organization_id, lower(symbol));
CREATE INDEX assets_with_notice ON public.assets USING btree (id) WHERE ((expiry_notice_days IS NOT NULL) AND (status <> 'ARCHIVED'::text));
CREATE INDEX automation_subscriptions_due ON public.automation_subscriptions USING btree (due_at, id) WHERE (due_at IS NOT NULL);
CREATE INDEX automation_subscriptions_due_of ON public.automation_subscriptions USING btree (automation_id, due_at, id) WHERE (due_at IS NOT NULL);
CREATE INDEX automation_subscriptions_listed ON public.automation_subscriptions USING btree (automation_id, created_at, id);
CREATE INDEX automation_subscriptions_watched ON public.automation_subscriptions USING btree (participant_id) WHERE ((is_met IS NOT NULL) AND (status = 'active'::text));
CREATE INDEX automations_due ON public.automations USING btree (due_at, id) WHERE (due_at IS NOT NULL);
CREATE INDEX automations_fan_outs ON public.automations USING btree (execution_at, id) WHERE (execution_status = ANY (ARRAY['pending'::text, 'executing'::text]));
CREATE INDEX automations_flows ON public.automations USING btree (flow_at NULLS FIRST, id) WHERE ((source = 'api'::text) AND (status <> 'archived'::text) AND ((trigger_type = 'cron'::text) OR (processed_at IS NULL)));
CREATE INDEX automations_listed ON public.automations USING btree (program_id, created_at, id) WHERE ((source = 'api'::text) OR ((processed_at IS NULL) AND (status <> 'archived'::text)));
CREATE UNIQUE INDEX automations_name ON public.automations USING btree (program_id, name) WHERE (source = 'api'::text);
CREATE INDEX automations_program ON public.automations USING btree (program_id, created_at, id);
CREATE INDEX balances_asset ON public.balances USING btree (asset_id);
CREATE INDEX balances_due ON public.balances USING btree (next_due_at) WHERE (next_due_at IS NOT NULL);
CREATE INDEX enrollments_changed ON public.enrollments USING brin (updated_at) WITH (pages_per_range='8', autosummarize='on');
CREATE INDEX enrollments_program ON public.enrollments USING btree (program_id, enrolled_at, participant_id);
CREATE UNIQUE INDEX entry_seals_entry ON public.entry_seals USING btree (entry_id);
CREATE INDEX event_outcomes_failed ON ONLY public.event_outcomes USING btree (organization_id, program_id, created_at, event_id) WHERE (status = 'FAILED'::text);
CREATE INDEX event_outcomes_other_organization_id_program_id_created_at__idx ON public.event_outcomes_other USING btree (organization_id, program_id, created_at, event_id) WHERE (status = 'FAILED'::text);
CREATE UNIQUE INDEX event_queue_event ON public.event_queue USING btree (event_id);
CREATE INDEX event_queue_waiting ON public.event_queue USING btree (order_key, queue_seq) WHERE (not_before IS NOT NULL);
CREATE INDEX events_created ON ONLY public.events USING btree (organization_id, created_at, id);
CREATE INDEX events_other_organization_id_created_at_id_idx ON public.events_other USING btree (organization_id, created_at, id);
CREATE INDEX events_participant ON ONLY public.events USING btree (participant_id, created_at, id);
CREATE INDEX events_other_participant_id_created_at_id_idx ON public.events_other USING btree (participant_id, created_at, id);
CREATE INDEX events_program ON ONLY public.events USING btree (program_id, created_at, id);
CREATE INDEX events_other_program_id_created_at_id_idx ON public.events_other USING btree (program_id, created_at, id);
CREATE INDEX events_recipient ON ONLY public.events USING btree (recipient_id, created_at, id) WHERE (recipient_id IS NOT NULL);
CREATE INDEX events_other_recipient_id_created_at_id_idx ON public.events_other USING btree (recipient_id, created_at, id) WHERE (recipient_id IS NOT NULL);
CREATE INDEX fulfillment_requests_due ON public.fulfillment_requests USING btree (next_attempt_at) WHERE (next_attempt_at IS NOT NULL);
CREATE INDEX group_members_joined ON public.group_members USING btree (group_id, joined_at, "position", participant_id);
CREATE INDEX group_members_participant ON public.group_members USING btree (participant_id, joined_at, group_id) WHERE (status = 'ACTIVE'::text);
CREATE INDEX groups_created ON public.groups USING btree (organization_id, created_at, id);
CREATE INDEX holders_changed ON public.holders USING brin (state_changed_at) WITH (pages_per_range='8', autosummarize='on');
CREATE INDEX holders_organization ON public.holders USING btree (organization_id, id);
CREATE INDEX holds_deadline ON public.holds USING btree (expires_at) WHERE ((remaining > (0)::numeric) AND (expires_at IS NOT NULL));
CREATE INDEX holds_open ON public.holds USING btree (holder_id, asset_id, pair_program_id, created_at, id) WHERE (remaining > (0)::numeric);
CREATE INDEX journal_entries_created ON public.journal_entries USING btree (organization_id, created_at, id);
CREATE INDEX journal_entries_event ON public.journal_entries USING btree (event_id) WHERE (event_id IS NOT NULL);
CREATE INDEX journal_entries_program ON public.journal_entries USING btree (program_id, created_at, id);
CREATE INDEX journal_entries_reference ON public.journal_entries USING btree (organization_id, reference_id, created_at, id) WHERE (reference_id IS NOT NULL);
CREATE INDEX journal_entries_rule ON public.journal_entries USING btree (rule_id, created_at, id) WHERE (rule_id IS NOT NULL);
CREATE INDEX journal_entries_type ON public.journal_entries USING btree (organization_id, action_type, created_at, id) WHERE (action_type <> 'CREDIT'::text);
CREATE INDEX lots_all ON public.lots USING btree (holder_id, asset_id, created_at, id) WHERE (amount > (0)::numeric);
CREATE INDEX lots_open ON public.lots USING btree (holder_id, asset_id, pair_program_id, created_at, id) WHERE (remaining > (0)::numeric);
CREATE INDEX lots_schedule ON public.lots USING btree (asset_id, expires_at) INCLUDE (program_id, remaining) WHERE (remaining > (0)::numeric);
CREATE INDEX lots_unannounced ON public.lots USING btree (asset_id, (((expires_at AT TIME ZONE 'UTC'::text))::date), holder_id) WHERE ((NOT is_announced) AND (status = ANY (ARRAY['DEFERRED'::text, 'AVAILABLE'::text])) AND (expires_at IS NOT NULL));
CREATE INDEX participants_changed ON public.participants USING brin (updated_at) WITH (pages_per_range='8', autosummarize='on');
CREATE INDEX participants_created ON public.participants USING btree (organization_id, created_at, id);
CREATE UNIQUE INDEX participants_external_id ON public.participants USING btree (organization_id, external_id);
CREATE INDEX participants_status ON public.participants USING btree (organization_id, status, created_at, id);
CREATE INDEX postings_account ON public.postings USING btree (entity_id, asset_id, account_seq) WHERE (entity_id IS NOT NULL);
CREATE INDEX postings_bucket ON public.postings USING btree (organization_id, bucket, created_at, entry_id) WHERE (bucket <> 'AVAILABLE'::text);
CREATE INDEX postings_entity ON public.postings USING btree (entity_id, created_at, entry_id, ordinal) WHERE (entity_id IS NOT NULL);
CREATE INDEX postings_pair ON public.postings USING btree (entity_id, asset_id, program_id, created_at, entry_id, ordinal) WHERE (entity_type = 'GROUP'::text);
CREATE INDEX postings_report ON public.postings USING btree (asset_id, program_id, created_at, entry_id) INCLUDE (action_type, entity_type, entity_id, bucket, amount) WHERE (entity_id IS NOT NULL);
CREATE INDEX program_assets_asset ON public.program_assets USING btree (asset_id, linked_at);
CREATE INDEX programs_created ON public.programs USING btree (organization_id, created_at, id);
CREATE INDEX programs_name ON public.programs USING btree (organization_id, name, created_at, id);
CREATE INDEX redemption_reversals_redemption ON public.redemption_reversals USING btree (redemption_id, created_at, id);
CREATE INDEX redemptions_deadline ON public.redemptions USING btree (fulfillment_expires_at) WHERE (fulfillment_status = 'PENDING'::text);
CREATE INDEX redemptions_flow ON public.redemptions USING btree (fulfillment_flow_at NULLS FIRST) WHERE (fulfillment_status = 'PENDING'::text);
CREATE INDEX redemptions_participant ON public.redemptions USING btree (participant_id, created_at, id);
CREATE INDEX redemptions_reward ON public.redemptions USING btree (reward_id, participant_id, created_at, id) WHERE (reward_id IS NOT NULL);
CREATE INDEX rewards_created ON public.rewards USING btree (program_id, created_at, id);
CREATE INDEX rewards_name ON public.rewards USING btree (program_id, name, created_at, id);
CREATE UNIQUE INDEX rewards_open_name ON public.rewards USING btree (program_id, name) WHERE (status <> 'ARCHIVED'::text);
CREATE INDEX rule_history_rule ON public.rule_history USING btree (rule_id, changed_at, id);
CREATE INDEX rule_sets_program ON public.rule_sets USING btree (program_id, id DESC);
CREATE UNIQUE INDEX rules_active_order ON public.rules USING btree (program_id, "order") WHERE (status = 'ACTIVE'::text);
CREATE INDEX rules_created ON public.rules USING btree (organization_id, created_at, id);
CREATE INDEX rules_program ON public.rules USING btree (program_id, "order", created_at, id);
CREATE INDEX state_history_entity ON ONLY public.state_history USING btree (entity_id, changed_at, id);
CREATE INDEX state_history_event ON ONLY public.state_history USING btree (event_id) WHERE (event_id IS NOT NULL);
CREATE INDEX state_history_other_entity_id_changed_at_id_idx ON public.state_history_other USING btree (entity_id, changed_at, id);
CREATE INDEX state_history_other_event_id_idx ON public.state_history_other USING btree (event_id) WHERE (event_id IS NOT NULL);
CREATE INDEX tier_history_changed ON public.tier_history USING brin (changed_at) WITH (pages_per_range='8', autosummarize='on');
CREATE INDEX tier_history_entity ON public.tier_history USING btree (entity_id, changed_at, id);
CREATE INDEX tier_states_due ON public.tier_states USING btree (tier_id, next_due_at, holder_id) WHERE (next_due_at IS NOT NULL);
CREATE INDEX tier_states_tier ON public.tier_states USING btree (tier_id, holder_id);
CREATE INDEX tiers_created ON public.tiers USING btree (program_id, created_at, id);
CREATE INDEX tiers_organization ON public.tiers USING btree (organization_id);
CREATE INDEX tiers_renewing ON public.tiers USING btree (organization_id) WHERE (renewed_through IS NOT NULL);
CREATE INDEX webhook_deliveries_again ON ONLY public.webhook_deliveries USING btree (webhook_endpoint_id, next_attempt_at) WHERE ((status = 'PENDING'::text) AND (attempt_count > 0));
CREATE INDEX webhook_deliveries_endpoint ON ONLY public.webhook_deliveries USING btree (webhook_endpoint_id, created_at, id);
CREATE INDEX webhook_deliveries_first ON ONLY public.webhook_deliveries USING btree (webhook_endpoint_id, outbox_seq) WHERE ((status = 'PENDING'::text) AND (attempt_count = 0));
CREATE INDEX webhook_deliveries_open ON ONLY public.webhook_deliveries USING btree (webhook_endpoint_id, created_at) WHERE (status = ANY (ARRAY['PENDING'::text, 'SENDING'::text]));
CREATE INDEX webhook_deliveries_other_webhook_endpoint_id_created_at_id_idx ON public.webhook_deliveries_other USING btree (webhook_endpoint_id, created_at, id);
CREATE INDEX webhook_deliveries_other_webhook_endpoint_id_created_at_idx ON public.webhook_deliveries_other USING btree (webhook_endpoint_id, created_at) WHERE (status = ANY (ARRAY['PENDING'::text, 'SENDING'::text]));
CREATE INDEX webhook_deliveries_test ON ONLY public.webhook_deliveries USING btree (webhook_endpoint_id) WHERE ((status = 'PENDING'::text) AND (event_type = 'webhook.test'::text));
CREATE INDEX webhook_deliveries_other_webhook_endpoint_id_idx ON public.webhook_deliveries_other USING btree (webhook_endpoint_id) WHERE ((status = 'PENDING'::text) AND (event_type = 'webhook.test'::text));
CREATE INDEX webhook_deliveries_other_webhook_endpoint_id_next_attempt_a_idx ON public.webhook_deliveries_other USING btree (webhook_endpoint_id, next_attempt_at) WHERE ((status = 'PENDING'::text) AND (attempt_count > 0));
CREATE INDEX webhook_deliveries_other_webhook_endpoint_id_outbox_seq_idx ON public.webhook_deliveries_other USING btree (webhook_endpoint_id, outbox_seq) WHERE ((status = 'PENDING'::text) AND (attempt_count = 0));
CREATE INDEX webhook_deliveries_sending ON ONLY public.webhook_deliveries USING btree (webhook_endpoint_id, sending_until) WHERE (status = 'SENDING'::text);
CREATE INDEX webhook_deliveries_other_webhook_endpoint_id_sending_until_idx ON public.webhook_deliveries_other USING btree (webhook_endpoint_id, sending_until) WHERE (status = 'SENDING'::text);
CREATE INDEX webhook_endpoints_active ON public.webhook_endpoints USING btree (organization_id) WHERE (status = 'ACTIVE'::text);
CREATE INDEX webhook_endpoints_created ON public.webhook_endpoints USING btree (organization_id, created_at, id);
ALTER INDEX public.event_outcomes_failed ATTACH PARTITION public.event_outcomes_other_organization_id_program_id_created_at__idx;
ALTER INDEX public.event_outcomes_pkey ATTACH PARTITION public.event_outcomes_other_pkey;
ALTER INDEX public.events_created ATTACH PARTITION public.events_other_organization_id_created_at_id_idx;
ALTER INDEX public.events_participant ATTACH PARTITION public.events_other_participant_id_created_at_id_idx;
ALTER INDEX public.events_pkey ATTACH PARTITION public.events_other_pkey;
ALTER INDEX public.events_program ATTACH PARTITION public.events_other_program_id_created_at_id_idx;
ALTER INDEX public.events_recipient ATTACH PARTITION public.events_other_recipient_id_created_at_id_idx;
ALTER INDEX public.rule_matches_pkey ATTACH PARTITION public.rule_matches_other_pkey;
ALTER INDEX public.state_history_entity ATTACH PARTITION public.state_history_other_entity_id_changed_at_id_idx;
ALTER INDEX public.state_history_event ATTACH PARTITION public.state_history_other_event_id_idx;
ALTER INDEX public.webhook_deliveries_pkey ATTACH PARTITION public.webhook_deliveries_other_pkey;
ALTER INDEX public.webhook_deliveries_endpoint ATTACH PARTITION public.webhook_deliveries_other_webhook_endpoint_id_created_at_id_idx;
ALTER INDEX public.webhook_deliveries_open ATTACH PARTITION public.webhook_deliveries_other_webhook_endpoint_id_created_at_idx;
ALTER INDEX public.webhook_deliveries_test ATTACH PARTITION public.webhook_deliveries_other_webhook_endpoint_id_idx;
ALTER INDEX public.webhook_deliveries_again ATTACH PARTITION public.webhook_deliveries_other_webhook_endpoint_id_next_attempt_a_idx;
ALTER INDEX public.webhook_deliveries_first ATTACH PARTITION public.webhook_deliveries_other_webhook_endpoint_id_outbox_seq_idx;
ALTER INDEX public.webhook_deliveries_sending ATTACH PARTITION public.webhook_deliveries_other_webhook_endpoint_id_sending_until_idx;
ALTER INDEX public.webhook_messages_pkey ATTACH PARTITION public.webhook_messages_other_pkey;
CREATE STATISTICS public.postings_settle ON (CASE WHEN action_type = 'SETTLE'::text THEN entry_id ELSE NULL::uuid END) FROM public.postings;
CREATE TRIGGER budget_periods_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.budget_periods FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER entry_seals_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.entry_seals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER journal_entries_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.journal_entries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER postings_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.postings FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER postings_zero_sum AFTER INSERT ON public.postings REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION public.require_zero_sum();
CREATE TRIGGER rewards_not_oversold BEFORE UPDATE OF redeemed_count ON public.rewards FOR EACH ROW WHEN (((new.redeemed_count > old.redeemed_count) AND (new.redeemed_count > new.max_total))) EXECUTE FUNCTION public.refuse_oversold();
CREATE TRIGGER rule_history_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.rule_history FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.automation_evaluations
    ADD CONSTRAINT automation_evaluations_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id);
ALTER TABLE ONLY public.automation_subscriptions
    ADD CONSTRAINT automation_subscriptions_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id);
ALTER TABLE ONLY public.fulfillment_requests
    ADD CONSTRAINT fulfillment_requests_redemption_id_fkey FOREIGN KEY (redemption_id) REFERENCES public.redemptions(id);
ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_group_id_fkey FOREIGN KEY (group_id) REFERENCES public.groups(id);
ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_participant_id_fkey FOREIGN KEY (participant_id) REFERENCES public.participants(id);
ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.program_assets
    ADD CONSTRAINT program_assets_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES public.assets(id);
ALTER TABLE ONLY public.program_assets
    ADD CONSTRAINT program_assets_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id);
ALTER TABLE ONLY public.program_states
    ADD CONSTRAINT program_states_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id);
ALTER TABLE ONLY public.programs
    ADD CONSTRAINT programs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.redemption_lots
    ADD CONSTRAINT redemption_lots_redemption_id_fkey FOREIGN KEY (redemption_id) REFERENCES public.redemptions(id);
ALTER TABLE ONLY public.redemption_reversals
    ADD CONSTRAINT redemption_reversals_redemption_id_fkey FOREIGN KEY (redemption_id) REFERENCES public.redemptions(id);
ALTER TABLE ONLY public.reward_units
    ADD CONSTRAINT reward_units_participant_id_fkey FOREIGN KEY (participant_id) REFERENCES public.participants(id);
ALTER TABLE ONLY public.reward_units
    ADD CONSTRAINT reward_units_reward_id_fkey FOREIGN KEY (reward_id) REFERENCES public.rewards(id);
ALTER TABLE ONLY public.rewards
    ADD CONSTRAINT rewards_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES public.assets(id);
ALTER TABLE ONLY public.rewards
    ADD CONSTRAINT rewards_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.rewards
    ADD CONSTRAINT rewards_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id);
ALTER TABLE ONLY public.rule_budgets
    ADD CONSTRAINT rule_budgets_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES public.assets(id);
ALTER TABLE ONLY public.rule_budgets
    ADD CONSTRAINT rule_budgets_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES public.rules(id);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id);
ALTER TABLE ONLY public.tier_levels
    ADD CONSTRAINT tier_levels_tier_id_fkey FOREIGN KEY (tier_id) REFERENCES public.tiers(id);
ALTER TABLE ONLY public.tiers
    ADD CONSTRAINT tiers_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.tiers
    ADD CONSTRAINT tiers_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id);
ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.webhook_health
    ADD CONSTRAINT webhook_health_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.webhook_endpoints(id);
ALTER TABLE ONLY public.webhook_hours
    ADD CONSTRAINT webhook_hours_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.webhook_endpoints(id);
