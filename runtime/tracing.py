"""OpenTelemetry traces, off unless an OTLP endpoint is set: then every call here costs a look at one variable.

What records and sends them is loaded only where they are on. `runtime/trace_export.py` says what leaves the process.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, TraceState

from runtime.settings import Settings

__all__ = ["SpanKind"]

# Where the standard says that a collector may be named.
STANDARD = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
OWN = "openscrip."
UNTRACED_URLS = "/healthz,/readyz,/metrics"
MOST_LINKS = 128

T = TypeVar("T")
ASGI = Callable[..., Awaitable[None]]

_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: trace.Tracer | None = None


def endpoint(settings: Settings) -> str | None:
    """Where traces go: the setting's URL with the standard path; empty: as the standard variables say; None: nowhere."""
    if settings.otlp_endpoint is not None:
        return settings.otlp_endpoint.rstrip("/") + "/v1/traces"
    return "" if any(os.environ.get(name) for name in STANDARD) else None


@contextmanager
def tracing(settings: Settings, service: str) -> Iterator[None]:
    """Trace this process while the block runs, if there is somewhere to send traces to; what is left is sent at its end."""
    global _tracer  # noqa: PLW0603 - one per process, like the standard's own
    target = endpoint(settings)
    if target is None:
        yield
        return
    from runtime import trace_export

    provider = trace_export.provider(target, os.environ.get("OTEL_SERVICE_NAME") or service)
    _tracer = provider.get_tracer("openscrip")
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


def flush() -> None:
    """Send what was recorded so far, for a process that may not come to its end."""
    if _tracer is not None:
        from runtime import trace_export

        trace_export.flush()


def tracer() -> trace.Tracer | None:
    """The tracer of this process; None while it isn't traced."""
    return _tracer


def span(
    name: str,
    *,
    parent: str | None = None,
    links: Sequence[str | None] = (),
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: str | float,
) -> AbstractContextManager[object]:
    """A span around a block, below the current one or `parent`; names of attributes get the product's prefix."""
    if _tracer is None:
        return _NOTHING
    return _tracer.start_as_current_span(
        name, _context(parent), kind, _own(attributes), _links(links), set_status_on_exception=True
    )


def begin(name: str, *, parent: str | None, links: Sequence[str | None] = (), **attributes: str | float) -> Span | None:
    """A span that the caller ends; it isn't the current one. One that is never ended was never there."""
    return (
        None if _tracer is None else _tracer.start_span(name, _context(parent), attributes=_own(attributes), links=_links(links))
    )


def trace_parent(of: Span | None = None) -> str | None:
    """The current span, or the given one, as W3C's `traceparent`; None when there is nothing that is traced."""
    if _tracer is None:
        return None
    context = (of or trace.get_current_span()).get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def trace_id() -> str | None:
    """The id of the current trace, for logs; None without one."""
    parent = trace_parent()
    return None if parent is None else parent[3:35]


def carried(job: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """The job, which whoever runs it later runs below the present span."""
    parent = trace_parent()
    if parent is None:
        return job

    async def below() -> T:
        with trace.use_span(NonRecordingSpan(_span_context(parent))):
            return await job()

    return below


def name_request(method: str, route: str, status: int, **attributes: str) -> None:
    """Call the span of a request by its route, which a path with its ids isn't."""
    if _tracer is not None:
        current = trace.get_current_span()
        current.update_name(f"{method} {route}")
        current.set_attributes({"http.route": route, "http.response.status_code": status, **_own(attributes)})


def note(**attributes: str | float) -> None:
    """Add attributes to the current span."""
    if _tracer is not None:
        trace.get_current_span().set_attributes(_own(attributes))


def traced_app(app: ASGI) -> ASGI:
    """The application with a span for each request, below the client's own if it names one; itself while nothing is traced."""
    if _tracer is None:
        return app
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    middleware: ASGI = OpenTelemetryMiddleware(
        app,
        excluded_urls=UNTRACED_URLS,
        default_span_details=lambda scope: (scope["method"], {}),
        tracer=_tracer,
        exclude_spans=["receive", "send"],
    )
    return middleware


def trace_statements(connection: Any) -> None:
    """Give a new psycopg connection a span for each statement: its text, which never holds a value."""
    if _tracer is not None:
        from runtime import trace_export

        trace_export.trace_statements(connection)


def _own(attributes: Mapping[str, str | float]) -> dict[str, str | float]:
    return {OWN + name: value for name, value in attributes.items()}


def _context(parent: str | None) -> Context | None:
    return None if parent is None else trace.set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())


def _links(links: Sequence[str | None]) -> list[Link]:
    return [Link(_span_context(link)) for link in links[:MOST_LINKS] if link is not None]


def _span_context(parent: str) -> SpanContext:
    _, trace_id, span_id, _ = parent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(TraceFlags.SAMPLED), TraceState())
