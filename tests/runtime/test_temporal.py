"""The connection to Temporal: converter, encryption, search attributes."""

import asyncio
import base64
from collections.abc import Iterator
from decimal import Decimal

import pytest
from cryptography.exceptions import InvalidTag
from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest

from runtime.codec import AesGcmCodec
from runtime.embedded import EmbeddedTemporal
from runtime.settings import Settings
from runtime.temporal import SEARCH_ATTRIBUTES, connect, data_converter, ensure_search_attributes

SECRET = base64.b64encode(bytes(32)).decode()


class Payment(BaseModel):
    amount: Decimal


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTemporal]:
    with EmbeddedTemporal(tmp_path_factory.mktemp("temporal"), headless=True, in_memory=True) as running:
        yield running


def test_registers_search_attributes_where_they_are_missing(server: EmbeddedTemporal) -> None:
    async def session() -> set[str]:
        default = await connect(Settings(temporal_address=server.address))
        await default.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace="other", workflow_execution_retention_period=Duration(seconds=86400))
        )
        client = await connect(Settings(temporal_address=server.address, temporal_namespace="other"))
        for _ in range(2):
            await ensure_search_attributes(client)
        listed = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="other"))
        return set(listed.custom_attributes)

    assert set(SEARCH_ATTRIBUTES) <= asyncio.run(session())


def test_warns_where_registering_is_refused(server: EmbeddedTemporal, capsys: pytest.CaptureFixture[str]) -> None:
    async def session() -> None:
        client = await connect(Settings(temporal_address=server.address, temporal_namespace="unknown"))
        await ensure_search_attributes(client)

    asyncio.run(session())
    assert "search_attributes_not_registered" in capsys.readouterr().out


@pytest.mark.parametrize("encrypt", [False, True])
def test_amounts_pass_unchanged(encrypt: bool) -> None:
    converter = data_converter(Settings(temporal_encrypt=encrypt, secret_key=SECRET))
    sent = Payment(amount=Decimal("12345678901234567890.123456789012345678"))

    async def there_and_back() -> tuple[bytes, list[Payment]]:
        payloads = await converter.encode([sent])
        return payloads[0].data, await converter.decode(payloads, [Payment])

    data, received = asyncio.run(there_and_back())
    assert received == [sent]
    assert (b"1234567890" in data) is not encrypt


def test_another_key_opens_nothing() -> None:
    async def attempt() -> None:
        converter = data_converter(Settings(temporal_encrypt=True, secret_key=SECRET))
        await AesGcmCodec(b"another key, of thirty-two bytes").decode(await converter.encode(["free text"]))

    with pytest.raises(InvalidTag):
        asyncio.run(attempt())
