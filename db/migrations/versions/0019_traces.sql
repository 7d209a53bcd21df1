-- The span of the request that an event or a message came of, as W3C's traceparent; null where nothing is traced.
ALTER TABLE event_queue ADD COLUMN trace_parent text;
ALTER TABLE webhook_messages ADD COLUMN trace_parent text;
