-- The rewards catalog (redemptions-rewards.md, 1). is_sold_out: the server set OUT_OF_STOCK and lifts it when stock is back.
CREATE TABLE rewards (
    id                  uuid PRIMARY KEY,
    organization_id     uuid NOT NULL REFERENCES organizations,
    program_id          uuid NOT NULL REFERENCES programs,
    asset_id            uuid NOT NULL REFERENCES assets,
    name                text NOT NULL,
    description         text,
    category            text,
    redemption_type     text NOT NULL CHECK (redemption_type IN ('UNIT_BASED', 'AMOUNT_BASED')),
    unit_cost           numeric(38, 18) NOT NULL CHECK (unit_cost > 0),
    max_total           integer CHECK (max_total > 0),
    max_per_participant integer CHECK (max_per_participant > 0),
    redeemed_count      bigint NOT NULL DEFAULT 0 CHECK (redeemed_count >= 0),
    status              text NOT NULL CHECK (status IN ('DRAFT', 'ACTIVE', 'OUT_OF_STOCK', 'ARCHIVED')),
    is_sold_out         boolean NOT NULL DEFAULT false,
    available_from      timestamptz,
    available_until     timestamptz,
    -- json keeps every digit and the order of the keys
    metadata            json NOT NULL,
    fulfillment_type    text NOT NULL CHECK (fulfillment_type IN ('none', 'manual', 'webhook')),
    fulfillment_url     text,
    fulfillment_timeout text,
    -- encrypted; what it means is known only with OPENSCRIP_SECRET_KEY
    fulfillment_secret  bytea,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    CONSTRAINT rewards_units_only CHECK (redemption_type = 'UNIT_BASED'
        OR (max_total IS NULL AND max_per_participant IS NULL AND redeemed_count = 0)),
    CONSTRAINT rewards_active_has_stock CHECK (status <> 'ACTIVE' OR max_total IS NULL OR redeemed_count < max_total),
    CONSTRAINT rewards_sold_out CHECK (NOT is_sold_out
        OR (status = 'OUT_OF_STOCK' AND max_total IS NOT NULL AND redeemed_count >= max_total)),
    CONSTRAINT rewards_window CHECK (available_from < available_until),
    CONSTRAINT rewards_webhook CHECK ((fulfillment_type = 'webhook') = (fulfillment_url IS NOT NULL)
        AND (fulfillment_type = 'webhook') = (fulfillment_secret IS NOT NULL)),
    CONSTRAINT rewards_timeout CHECK (CASE fulfillment_type WHEN 'none' THEN fulfillment_timeout IS NULL
        WHEN 'webhook' THEN fulfillment_timeout IS NOT NULL ELSE true END)
);
CREATE UNIQUE INDEX rewards_open_name ON rewards (program_id, name) WHERE status <> 'ARCHIVED';
CREATE INDEX rewards_created ON rewards (program_id, created_at, id);
CREATE INDEX rewards_name ON rewards (program_id, name, created_at, id);

-- max_total may be lowered below what was redeemed, so no CHECK can hold the two together; what can't be is to redeem more.
CREATE FUNCTION refuse_oversold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'reward % would be oversold', NEW.id USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER rewards_not_oversold BEFORE UPDATE OF redeemed_count ON rewards FOR EACH ROW
    WHEN (NEW.redeemed_count > OLD.redeemed_count AND NEW.redeemed_count > NEW.max_total)
    EXECUTE FUNCTION refuse_oversold();

-- What a participant has of a UNIT_BASED reward: units redeemed minus units reversed; written under the reward's lock.
CREATE TABLE reward_units (
    reward_id      uuid NOT NULL REFERENCES rewards,
    participant_id uuid NOT NULL REFERENCES participants,
    units          bigint NOT NULL CHECK (units >= 0),
    PRIMARY KEY (reward_id, participant_id)
);
