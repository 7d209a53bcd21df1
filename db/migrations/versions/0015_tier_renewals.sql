-- A new lifecycle concerns everybody who holds a level, and who has a counter that it rolls over. It is in force with the change
-- of the tier; the rows of its holders follow page by page. lifecycle_number counts the lifecycles of a tier, and says of a
-- holder's row under which of them it was written: what an older one left there is read as the present one has it.
-- renewed_through is the last holder of the page that was renewed last, NULL when all are; renewal_passes how often everybody
-- was looked at, below zero while somebody was left out. A second pass finds those whose events were being processed when the
-- tier changed.
ALTER TABLE tiers
    ADD COLUMN lifecycle_number integer NOT NULL DEFAULT 0,
    ADD COLUMN renewed_through uuid,
    ADD COLUMN renewal_passes integer NOT NULL DEFAULT 0;
ALTER TABLE tier_states ADD COLUMN lifecycle_number integer NOT NULL DEFAULT 0;
CREATE INDEX tiers_renewing ON tiers (organization_id) WHERE renewed_through IS NOT NULL;
-- Pages of an organization's holders.
CREATE INDEX holders_organization ON holders (organization_id, id);
