"""Recording and sending traces by OTLP over HTTP.

What leaves the process is what `SHOWN` names: no parameter of a statement, no path, address, header or text of an exception.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SHOWN = frozenset(
    {
        "http.method",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "http.status_code",
        "db.system",
        "db.statement",
        "error.type",
        "exception.type",
        "temporalActivityID",
        "temporalRunID",
        "temporalWorkflowID",
    }
)
OWN = "openscrip."
FLUSH_MILLISECONDS = 5000

_providers: list[TracerProvider] = []


def provider(target: str, service: str) -> TracerProvider:
    """What records spans and sends them to a URL; without one where the standard variables say. The caller shuts it down."""
    # a client's baggage has no place in our requests to others
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    made = TracerProvider(resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(SafeExporter(OTLPSpanExporter(endpoint=target or None))))
    _providers[:] = [made]
    return made


def flush() -> None:
    """Send what was recorded so far; blocks for some seconds at most."""
    _providers[-1].force_flush(FLUSH_MILLISECONDS)


def trace_statements(connection: Any) -> None:
    """Give a psycopg connection a span for each statement."""
    PsycopgInstrumentor.instrument_connection(connection, tracer_provider=_providers[-1])


class SafeExporter(SpanExporter):
    """Hands spans on with what may be shown of them only."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([_shown(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _shown(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_allowed(span.attributes),
        events=[Event(event.name, _allowed(event.attributes), event.timestamp) for event in span.events],
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _allowed(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in SHOWN or name.startswith(OWN)}
