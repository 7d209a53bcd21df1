"""The spans of a batch's events: each below the request that sent it, linked to the batch that it shares with others."""

from collections.abc import Iterable
from uuid import UUID

from opentelemetry.trace import Span, get_current_span

from db.repositories.event_queue import QueuedEvent
from domain.processing.process import Outcome
from runtime import tracing


class EventTraces:
    """Begun when a batch is taken; only those that are ended, after the commit, have been there."""

    def __init__(self, queued: Iterable[QueuedEvent]) -> None:
        self._spans: dict[UUID, Span] = {}
        if tracing.tracer() is None:
            return
        batch = get_current_span()
        for item in queued:
            self._begin(item, batch)

    def _begin(self, item: QueuedEvent, batch: Span) -> None:
        if item.trace_parent is None:
            return
        event = item.event
        links = [tracing.trace_parent(batch)]
        ids = {"event_id": str(event.id), "organization_id": str(event.organization_id), "program_id": str(event.program_id)}
        span = tracing.begin("process event", parent=item.trace_parent, links=links, **ids)
        if span is not None:
            self._spans[event.id] = span
            batch.add_link(span.get_span_context())

    def of(self, event_id: UUID) -> str | None:
        """The span of an event, for what comes of it."""
        span = self._spans.get(event_id)
        return None if span is None else tracing.trace_parent(span)

    def end(self, outcomes: Iterable[Outcome]) -> None:
        """These events are processed, and committed."""
        for outcome in outcomes:
            span = self._spans.get(outcome.event.id)
            if span is not None:
                status = "COMPLETED" if outcome.error_code is None else "FAILED"
                span.set_attribute("openscrip.status", status)
                span.end()


NO_TRACES = EventTraces(())
