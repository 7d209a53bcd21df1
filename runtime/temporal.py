"""The connection to Temporal and the sandbox that workflows run in; the same for API, worker, tests and replayer."""

import dataclasses
from pathlib import Path

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.service import RPCError, TLSConfig
from temporalio.worker import WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from runtime.codec import AesGcmCodec
from runtime.flow_context import interceptors
from runtime.settings import Settings, SettingsError

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
    "opentelemetry",
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
        tls=tls_config(settings),
        api_key=api_key,
        data_converter=data_converter(settings),
        interceptors=interceptors(),
        lazy=lazy,
    )


def tls_config(settings: Settings) -> TLSConfig | bool:
    """How the connection to Temporal is encrypted; SettingsError when a file can't be read."""
    files = (settings.temporal_tls_ca, settings.temporal_tls_cert, settings.temporal_tls_key)
    if not any(files) and settings.temporal_tls_server_name is None:
        return settings.temporal_tls or settings.temporal_api_key is not None
    authority, certificate, key = (None if file is None else _pem(file) for file in files)
    return TLSConfig(
        server_root_ca_cert=authority,
        domain=settings.temporal_tls_server_name,
        client_cert=certificate,
        client_private_key=key,
    )


def _pem(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from None


def deployment_config(settings: Settings) -> WorkerDeploymentConfig | None:
    """What a worker says of its version; None without versioning. Running flows go on with the version that is current."""
    if settings.worker_deployment is None or settings.worker_build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment, settings.worker_build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


async def promote(client: Client, settings: Settings) -> None:
    """Make the version of the settings the current one: flows go to its workers from now on. RPCError, SettingsError."""
    if settings.worker_deployment is None or settings.worker_build_id is None:
        raise SettingsError("OPENSCRIP_WORKER_DEPLOYMENT and OPENSCRIP_WORKER_BUILD_ID must be set")
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=settings.worker_deployment, build_id=settings.worker_build_id
    )
    await client.workflow_service.set_worker_deployment_current_version(request)


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
