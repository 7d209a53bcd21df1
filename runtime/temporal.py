"""The connection to Temporal and the sandbox that workflows run in; the same for API, worker, tests and replayer."""

import dataclasses

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.service import RPCError
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from runtime.codec import AesGcmCodec
from runtime.settings import Settings

SEARCH_ATTRIBUTES = ("OpenScripOrganization", "OpenScripProgram", "OpenScripKind", "OpenScripStatus")
# One identity for our enums and data classes on both sides of the sandbox, and no second import of what these load.
PASSED_THROUGH = (
    "activities",
    "domain",
    "runtime",
    "workflows.contracts",
    "workflows.contracts_webhooks",
    "workflows.contracts_clock",
    "workflows.contracts_fulfillment",
    "workflows.contracts_hold",
    "workflows.contracts_reconcile",
    "workflows.contracts_redemption",
    "workflows.policies",
    "pydantic",
    "pydantic_core",
    "structlog",
)


def data_converter(settings: Settings) -> DataConverter:
    """Return the converter of every payload, with encryption when it is switched on."""
    if not settings.temporal_encrypt:
        return pydantic_data_converter
    return dataclasses.replace(pydantic_data_converter, payload_codec=AesGcmCodec(settings.require_secret_key()))


async def connect(settings: Settings, *, lazy: bool = False) -> Client:
    """Connect to Temporal, `lazy` only when the client is first used; RuntimeError when it can't be reached."""
    api_key = settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None
    return await Client.connect(
        settings.temporal_target,
        namespace=settings.temporal_namespace,
        tls=settings.temporal_tls or api_key is not None,
        api_key=api_key,
        data_converter=data_converter(settings),
        lazy=lazy,
    )


def sandbox_runner() -> SandboxedWorkflowRunner:
    """Return the runner that keeps workflow code deterministic, with our pure packages passed through."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))


async def ensure_search_attributes(client: Client) -> None:
    """Register the search attributes that aren't known yet; where that isn't allowed (Temporal Cloud) only warn."""
    operator = client.operator_service
    try:
        known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
        missing = [name for name in SEARCH_ATTRIBUTES if name not in known.custom_attributes]
        if missing:
            kinds = dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
            await operator.add_search_attributes(AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds))
    except RPCError as error:
        structlog.get_logger(__name__).warning("search_attributes_not_registered", wanted=SEARCH_ATTRIBUTES, reason=error.message)
