-- Redemptions, what each lot gave to them and got back, and their reversals (redemptions-rewards.md, 2 and 3).

CREATE TABLE redemptions (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    participant_id uuid NOT NULL,
    program_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    amount numeric(38, 18) NOT NULL CHECK (amount > 0),
    description text NOT NULL,
    -- catalog redemptions
    reward_id uuid,
    quantity integer CHECK (quantity > 0),
    unit_cost numeric(38, 18) CHECK (unit_cost > 0),
    reversed_amount numeric(38, 18) NOT NULL DEFAULT 0,
    reversed_quantity integer,
    status text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN reversed_amount = 0 THEN 'COMPLETED'
             WHEN reversed_amount < amount THEN 'PARTIALLY_REVERSED'
             ELSE 'FULLY_REVERSED' END) STORED,
    redemption_target_type text NOT NULL
        CHECK (redemption_target_type IN ('SYSTEM_REDEMPTION', 'SYSTEM_BREAKAGE', 'LEDGER_ENTITY')),
    redemption_target_entity_id uuid,
    entry_id uuid NOT NULL,
    fulfillment_status text CHECK (fulfillment_status IN ('PENDING', 'FULFILLED', 'FAILED')),
    fulfillment_expires_at timestamptz,
    fulfillment_note text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (reversed_amount >= 0 AND reversed_amount <= amount),
    CHECK ((quantity IS NULL) = (reversed_quantity IS NULL)),
    CHECK (reversed_quantity >= 0 AND reversed_quantity <= quantity),
    CHECK ((reward_id IS NULL) = (unit_cost IS NULL)),
    CHECK (quantity IS NULL OR reward_id IS NOT NULL),
    CHECK ((redemption_target_entity_id IS NOT NULL) = (redemption_target_type = 'LEDGER_ENTITY'))
);
CREATE INDEX redemptions_participant ON redemptions (participant_id, created_at, id);
CREATE INDEX redemptions_reward ON redemptions (reward_id, participant_id, created_at, id) WHERE reward_id IS NOT NULL;

-- What a redemption took from each lot, in the order of consumption, and what the lot got back since.
CREATE TABLE redemption_lots (
    redemption_id uuid NOT NULL REFERENCES redemptions (id),
    ordinal integer NOT NULL,
    lot_id uuid NOT NULL,
    amount numeric(38, 18) NOT NULL CHECK (amount > 0),
    restored numeric(38, 18) NOT NULL DEFAULT 0 CHECK (restored >= 0),
    PRIMARY KEY (redemption_id, ordinal),
    CHECK (restored <= amount)
);

CREATE TABLE redemption_reversals (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    redemption_id uuid NOT NULL REFERENCES redemptions (id),
    amount numeric(38, 18) NOT NULL CHECK (amount > 0),
    quantity integer CHECK (quantity > 0),
    reason text NOT NULL,
    entry_id uuid NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX redemption_reversals_redemption ON redemption_reversals (redemption_id, created_at, id);
