"""What activities and flows carry along: their ids in log lines, and the trace of the request that started them."""

from typing import Any

import structlog
from temporalio import activity
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput
from temporalio.worker import Interceptor as WorkerInterceptor

from runtime import tracing


class LogContext(ClientInterceptor, WorkerInterceptor):
    """Every line that an activity logs names the activity, its attempt and its flow."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _LoggedActivity(next)


class _LoggedActivity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        # the task of the activity has a context of its own: nothing has to be taken back
        structlog.contextvars.bind_contextvars(workflow_id=info.workflow_id, activity=info.activity_type, attempt=info.attempt)
        return await self.next.execute_activity(input)


def interceptors() -> list[ClientInterceptor]:
    """Those of a client, and so of its workers."""
    if tracing.tracer() is None:
        return [LogContext()]
    from runtime.flow_tracing import FlowTracing

    return [LogContext(), FlowTracing()]
