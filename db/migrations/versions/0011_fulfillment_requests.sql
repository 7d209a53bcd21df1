-- What a reward's webhook is asked for each redemption of it, and how far its attempts are (redemptions-rewards.md, 5.3).
-- body: the bytes posted at every attempt; both are gone when no further attempt will be made. sending_until: somebody makes
-- an attempt at this moment, by the real clock; when it has passed, whoever it was is dead or given up, and it is made again.
CREATE TABLE fulfillment_requests (
    redemption_id   uuid PRIMARY KEY REFERENCES redemptions,
    organization_id uuid NOT NULL,
    body            bytea,
    next_attempt_at timestamptz,
    sending_until   timestamptz,
    attempt_count   smallint NOT NULL DEFAULT 0 CHECK (attempt_count BETWEEN 0 AND 8),
    last_attempt_at timestamptz,
    last_response_status smallint,
    last_error      text,
    CONSTRAINT fulfillment_requests_open CHECK ((body IS NULL) = (next_attempt_at IS NULL))
);
CREATE INDEX fulfillment_requests_due ON fulfillment_requests (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
