"""A collector of traces: what came by OTLP over HTTP, decoded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.receiver import Receiver


@dataclass(frozen=True)
class Seen:
    """One span; ids in hex, `parent` empty for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, Any]
    links: tuple[str, ...]


def spans(receiver: Receiver) -> dict[str, Seen]:
    """Every span that came so far, by its id."""
    return {span.id: span for request in receiver.received for span in _decoded(request.body)}


def _decoded(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                links = tuple(link.span_id.hex() for link in span.links)
                yield Seen(service, span.name, *ids, _values(span.attributes), links)


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}


def chain(found: Mapping[str, Seen], span: Seen) -> list[str]:
    """The names of a span and of those above it, itself first; a parent that hasn't come ends it with "?"."""
    names = [span.name]
    while span.parent:
        above = found.get(span.parent)
        if above is None:
            return [*names, "?"]
        assert above.trace == span.trace
        span = above
        names.append(span.name)
    return names
