"""Prometheus metrics, by their documented names (docs/operations.md)."""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from runtime.settings import Settings

_FAST = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

EVENTS_ACCEPTED = Counter("openscrip_events_accepted", "Events stored for the first time")
EVENTS_REPLAYED = Counter("openscrip_events_replayed", "Submissions answered with an event that was stored before")
EVENTS_PROCESSED = Counter("openscrip_events_processed", "Events processed, by what became of them", ["status"])
EVENT_LAG_SECONDS = Histogram(
    "openscrip_event_lag_seconds", "From acceptance to commit, oldest event of each batch", buckets=_FAST
)
EVENT_POSTED_SECONDS = Histogram(
    "openscrip_event_accepted_to_posted_seconds", "From acceptance to commit, each event of each batch", buckets=_FAST
)
EVENT_BATCH_SIZE = Histogram(
    "openscrip_event_batch_size", "Events processed by one lane transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200)
)
EVENT_BATCH_SECONDS = Histogram("openscrip_event_batch_seconds", "Duration of one lane transaction", buckets=_FAST)
INGEST_GROUP_SIZE = Histogram(
    "openscrip_ingest_group_size", "Submissions stored by one transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
LANE_WAKES = Counter("openscrip_lane_wakes", "Wake signals sent to lanes, by result", ["result"])
LANE_BACKLOG = Gauge("openscrip_lane_backlog", "Events that wait in a lane, counted up to 10000", ["lane"])
LANE_OLDEST_SECONDS = Gauge(
    "openscrip_lane_oldest_seconds", "Age of the first event that waits in a lane, 0 without one", ["lane"]
)
REDEMPTIONS = Counter("openscrip_redemptions", "Requests to redeem or reverse, by how they were answered", ["kind", "result"])
REDEMPTION_SECONDS = Histogram("openscrip_redemption_seconds", "Duration of such a request", ["kind"], buckets=_FAST)
FAN_OUTS = Counter("openscrip_fan_outs", "Fan-outs and broadcasts that have ended, by how", ["state"])
RECONCILIATIONS = Counter("openscrip_reconciliations", "Runs of the reconciliation that came to their end")
RECONCILE_FLOWS = Counter("openscrip_reconcile_flows", "Flows that it made sure of, by kind", ["kind"])
RECONCILE_FAILED = Counter("openscrip_reconcile_failed", "Flows that it couldn't start")
INVARIANT_VIOLATIONS = Gauge(
    "openscrip_invariant_violations", "Rows that break an invariant of the books, as of the last look of this process", ["check"]
)
RECONCILE_TIMESTAMP = Gauge("openscrip_reconcile_timestamp_seconds", "When this process last reconciled, in Unix time")
SYSTEM_EVENTS = Counter("openscrip_system_events", "Events made by automations, by what made them", ["source"])
DUE_ENTRIES = Counter("openscrip_due_entries", "Due entries that the background wrote")
TIMER_CALLS = Counter("openscrip_timer_calls", "Calls that started, woke or told flows of due moments, by result", ["result"])
ENTRIES_SEALED = Counter("openscrip_entries_sealed", "Journal entries that got their place in a chain of hashes")
SEALING_LAG_SECONDS = Gauge("openscrip_sealing_lag_seconds", "For how long the oldest unsealed entry has waited, 0 without one")
UNSEALED_ENTRIES = Gauge("openscrip_unsealed_entries", "Entries that wait for their seal, counted up to 10000")
WEBHOOK_ATTEMPTS = Counter("openscrip_webhook_attempts", "Attempts to deliver messages, by what came of them", ["outcome"])
WEBHOOK_ATTEMPT_SECONDS = Histogram("openscrip_webhook_attempt_seconds", "Duration of one attempt", buckets=(*_FAST, 15.0))
WEBHOOK_OLDEST_SECONDS = Gauge(
    "openscrip_webhook_oldest_seconds", "How long the message that has been due longest waits, without blocked endpoints"
)
WEBHOOK_ENDPOINTS_BLOCKED = Gauge(
    "openscrip_webhook_endpoints_blocked", "Endpoints that aren't sent to for now, by reason", ["reason"]
)
CONNECTIONS_USED = Gauge("openscrip_database_connections_used", "Connections in use, by pool of this process", ["pool"])
CONNECTIONS_MAX = Gauge("openscrip_database_connections_max", "Connections a pool of this process may open", ["pool"])


def watch_pool(name: str, used: Callable[[], int], size: Callable[[], int]) -> None:
    """Export a pool of this process under a name; both are asked at each scrape."""
    CONNECTIONS_USED.labels(name).set_function(used)
    CONNECTIONS_MAX.labels(name).set_function(size)


def serve_metrics(settings: Settings) -> None:
    """Serve a worker's metrics where `OPENSCRIP_WORKER_METRICS_PORT` says; 0 serves none."""
    if settings.worker_metrics_port:
        start_http_server(settings.worker_metrics_port, addr=settings.api_host)
