-- Evaluations of filters look every few minutes for who has changed. These indexes keep the latest moment of each few pages, so
-- that a look reads only pages on which something has changed since; they don't keep updates from staying on their page.
CREATE INDEX holders_changed ON holders USING brin (state_changed_at) WITH (pages_per_range = 8, autosummarize = on);
CREATE INDEX participants_changed ON participants USING brin (updated_at) WITH (pages_per_range = 8, autosummarize = on);
CREATE INDEX enrollments_changed ON enrollments USING brin (updated_at) WITH (pages_per_range = 8, autosummarize = on);
CREATE INDEX tier_history_changed ON tier_history USING brin (changed_at) WITH (pages_per_range = 8, autosummarize = on);
