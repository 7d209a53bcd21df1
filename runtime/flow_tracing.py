"""Temporal's own OpenTelemetry spans, loaded only where traces are on."""

from typing import Any

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio.client import OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.contrib.opentelemetry import TracingInterceptor

from runtime import tracing

# Flows that belong to one request. The others serve many, for months: what they do has traces of its own.
OF_A_REQUEST = frozenset({"RedemptionWorkflow", "RedemptionReversalWorkflow", "FulfillmentWorkflow"})


class FlowTracing(TracingInterceptor):
    """Temporal's own spans, with the trace of a request only in flows that are of that request."""

    def __init__(self) -> None:
        super().__init__(tracing.tracer())
        # baggage of clients has no place in histories
        self.text_map_propagator = TraceContextTextMapPropagator()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Chosen(next, super().intercept_client(next))


class _Chosen(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, traced: OutboundInterceptor) -> None:
        super().__init__(next)
        self._traced = traced

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        chosen = self._traced if input.workflow in OF_A_REQUEST else self.next
        return await chosen.start_workflow(input)
