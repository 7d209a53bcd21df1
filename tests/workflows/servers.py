"""Temporal servers with a special trait, from the packages of the development environment."""

import shutil
import sysconfig
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from runtime.embedded import SEARCH_ATTRIBUTES, temporal_binary
from runtime.settings import Settings
from runtime.temporal import data_converter
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS

SHORT_HISTORY = 25
ATTRIBUTES = (KIND, ORGANIZATION, PROGRAM, STATUS)


async def time_skipping() -> WorkflowEnvironment:
    """A server whose time jumps to the next timer while somebody waits for a result."""
    beside = Path(sysconfig.get_path("scripts")) / "temporal-test-server"
    binary = str(beside) if beside.is_file() else shutil.which("temporal-test-server")
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=binary, data_converter=data_converter(Settings())
    )
    # it can't list search attributes, so the product's own way of registering them doesn't work here
    wanted = dict.fromkeys((key.name for key in ATTRIBUTES), IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
    request = AddSearchAttributesRequest(namespace=environment.client.namespace, search_attributes=wanted)
    await environment.client.operator_service.add_search_attributes(request)
    return environment


async def with_short_histories() -> WorkflowEnvironment:
    """A development server that suggests to continue as new after `SHORT_HISTORY` events of history."""
    assert {key.name for key in ATTRIBUTES} == set(SEARCH_ATTRIBUTES)
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary(),
        data_converter=data_converter(Settings()),
        search_attributes=ATTRIBUTES,
        dev_server_extra_args=["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={SHORT_HISTORY}"],
        dev_server_log_level="error",
    )
