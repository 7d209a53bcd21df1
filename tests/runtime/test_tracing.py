"""Traces: off by default, sent where the settings say, and nothing in them that isn't allowed."""

import pytest
from opentelemetry import trace

from runtime import tracing
from runtime.settings import Settings
from tests.support.collector import spans
from tests.support.receiver import receive

PRIVATE = "private-value"


@pytest.fixture(autouse=True)
def without_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.STANDARD:
        monkeypatch.delenv(name, raising=False)


def test_off_without_an_endpoint() -> None:
    with tracing.tracing(Settings(), "tests"):
        assert tracing.tracer() is None
        with tracing.span("work", parent="ignored") as nothing:
            assert nothing is None
        assert tracing.begin("work", parent=None) is None
        assert (tracing.trace_parent(), tracing.trace_id()) == (None, None)
        app, job = object(), object()
        assert tracing.traced_app(app) is app  # type: ignore[arg-type,comparison-overlap]
        assert tracing.carried(job) is job  # type: ignore[arg-type,comparison-overlap]


@pytest.mark.parametrize("variable", [None, *tracing.STANDARD])
def test_sent_where_the_settings_or_the_standard_variables_say(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with receive() as collector:
        base = collector.url.removesuffix("/hooks")
        if variable is not None:
            monkeypatch.setenv(variable, base + ("/v1/traces" if "TRACES" in variable else ""))
        with tracing.tracing(Settings(otlp_endpoint=None if variable else base), "tests"), tracing.span("work", lane=3):
            pass
        assert [request.path for request in collector.received] == ["/v1/traces"]
        [span] = spans(collector).values()
    assert (span.service, span.name, span.attributes) == ("tests", "work", {"openscrip.lane": 3})
    assert tracing.tracer() is None


def test_only_what_is_allowed_leaves_the_process() -> None:
    with receive() as collector:
        traced = tracing.tracing(Settings(otlp_endpoint=collector.url), "tests")
        with traced, pytest.raises(ValueError, match=PRIVATE), tracing.span("work"):
            current = trace.get_current_span()
            current.set_attributes({"http.url": PRIVATE, "db.statement": "SELECT 1", "net.peer.ip": PRIVATE})
            current.set_status(trace.Status(trace.StatusCode.ERROR, PRIVATE))
            current.add_event("seen", {"who": PRIVATE})
            raise ValueError(PRIVATE)
        [span] = spans(collector).values()
        assert PRIVATE.encode() not in collector.received[0].body
        assert b"ValueError" in collector.received[0].body
    assert span.attributes == {"db.statement": "SELECT 1"}


def test_what_is_stored_goes_on_as_parent_or_link() -> None:
    with receive() as collector:
        with tracing.tracing(Settings(otlp_endpoint=collector.url), "tests"):
            with tracing.span("request"):
                stored = tracing.trace_parent()
            with tracing.span("later", parent=stored, links=[stored, None]):
                pass
        found = {span.name: span for span in spans(collector).values()}
    assert found["later"].parent == found["request"].id
    assert found["later"].trace == found["request"].trace
    assert found["later"].links == (found["request"].id,)
