"""Prometheus metrics, by their documented names (docs/operations.md)."""

from prometheus_client import Counter, Histogram, start_http_server

from runtime.settings import Settings

_FAST = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

EVENTS_ACCEPTED = Counter("openscrip_events_accepted", "Events stored for the first time")
EVENTS_REPLAYED = Counter("openscrip_events_replayed", "Submissions answered with an event that was stored before")
EVENTS_PROCESSED = Counter("openscrip_events_processed", "Events processed, by what became of them", ["status"])
EVENT_LAG_SECONDS = Histogram(
    "openscrip_event_lag_seconds", "From acceptance to commit, oldest event of each batch", buckets=_FAST
)
EVENT_BATCH_SECONDS = Histogram("openscrip_event_batch_seconds", "Duration of one lane transaction", buckets=_FAST)
INGEST_GROUP_SIZE = Histogram(
    "openscrip_ingest_group_size", "Submissions stored by one transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
LANE_WAKES = Counter("openscrip_lane_wakes", "Wake signals sent to lanes, by result", ["result"])
SYSTEM_EVENTS = Counter("openscrip_system_events", "Events made by automations, by what made them", ["source"])
DUE_ENTRIES = Counter("openscrip_due_entries", "Due entries that the background wrote")
TIMER_CALLS = Counter("openscrip_timer_calls", "Calls that started, woke or told flows of due moments, by result", ["result"])
WEBHOOK_ATTEMPTS = Counter("openscrip_webhook_attempts", "Attempts to deliver messages, by what came of them", ["outcome"])
WEBHOOK_ATTEMPT_SECONDS = Histogram("openscrip_webhook_attempt_seconds", "Duration of one attempt", buckets=(*_FAST, 15.0))


def serve_metrics(settings: Settings) -> None:
    """Serve a worker's metrics where `OPENSCRIP_WORKER_METRICS_PORT` says; 0 serves none."""
    if settings.worker_metrics_port:
        start_http_server(settings.worker_metrics_port, addr=settings.api_host)
