-- Lots that expire soon are announced once (webhooks.md, 5.13). The mark stays for ever, and lots that are split off inherit it.
ALTER TABLE lots ADD COLUMN is_announced boolean NOT NULL DEFAULT false;

-- What is still to announce, by the UTC day of its expiry: a midnight reads the days within an asset's reach, holder by holder.
CREATE INDEX lots_unannounced ON lots (asset_id, ((expires_at AT TIME ZONE 'UTC')::date), holder_id)
    WHERE NOT is_announced AND status IN ('DEFERRED', 'AVAILABLE') AND expires_at IS NOT NULL;
CREATE INDEX assets_with_notice ON assets (id) WHERE expiry_notice_days IS NOT NULL AND status <> 'ARCHIVED';

-- One row for the deployment: the latest midnight (UTC) whose notices are all written, and, while one is being worked through,
-- that midnight and the holder's day that was written last. Who announces locks it first, so each is written once.
CREATE TABLE expiry_notices (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    done_through  timestamptz NOT NULL,
    midnight      timestamptz,
    asset_id      uuid,
    day           date,
    holder_id     uuid,
    CHECK (midnight IS NULL OR (asset_id IS NOT NULL AND day IS NOT NULL AND holder_id IS NOT NULL))
);
INSERT INTO expiry_notices (done_through) VALUES (date_trunc('day', openscrip_now(), 'UTC'));
