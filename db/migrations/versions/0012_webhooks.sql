-- How an endpoint's attempts go, apart from the endpoint: it changes with every attempt, while those who record messages read
-- endpoints. Its row is the lock under which deliveries of the endpoint are claimed and marked.
-- failures: attempts in a row that failed. openings: how often the circuit opened without a success in between.
CREATE TABLE webhook_health (
    endpoint_id         uuid PRIMARY KEY REFERENCES webhook_endpoints,
    failures            integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    openings            integer NOT NULL DEFAULT 0 CHECK (openings >= 0),
    circuit_broken_until timestamptz,
    rate_limited_until  timestamptz,
    last_attempt_at     timestamptz,
    CHECK ((openings > 0) = (circuit_broken_until IS NOT NULL))
);
INSERT INTO webhook_health (endpoint_id) SELECT id FROM webhook_endpoints;

-- Attempts per endpoint and UTC hour of the product's clock.
CREATE TABLE webhook_hours (
    endpoint_id  uuid NOT NULL REFERENCES webhook_endpoints,
    hour         timestamptz NOT NULL,
    succeeded    integer NOT NULL DEFAULT 0,
    failed       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (endpoint_id, hour)
);

-- sending_until: by the real clock. Who claims a delivery writes it and finds it again when marking what came of the attempt;
-- when it has passed, whoever it was is dead, and the delivery PENDING again.
ALTER TABLE webhook_deliveries
    ADD COLUMN sending_until timestamptz,
    ADD CHECK ((status = 'SENDING') = (sending_until IS NOT NULL));
DROP INDEX webhook_deliveries_open;
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (webhook_endpoint_id, created_at)
    WHERE status IN ('PENDING', 'SENDING');
CREATE INDEX webhook_deliveries_first ON webhook_deliveries (webhook_endpoint_id, outbox_seq)
    WHERE status = 'PENDING' AND attempt_count = 0;
CREATE INDEX webhook_deliveries_again ON webhook_deliveries (webhook_endpoint_id, next_attempt_at)
    WHERE status = 'PENDING' AND attempt_count > 0;
CREATE INDEX webhook_deliveries_sending ON webhook_deliveries (webhook_endpoint_id, sending_until) WHERE status = 'SENDING';
-- Messages that somebody tries an endpoint with don't wait for the others.
CREATE INDEX webhook_deliveries_test ON webhook_deliveries (webhook_endpoint_id)
    WHERE status = 'PENDING' AND event_type = 'webhook.test';
