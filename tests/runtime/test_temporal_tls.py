"""Mutual TLS with Temporal, by settings: against a development server behind a proxy that wants a certificate of ours."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from runtime.embedded import EmbeddedTemporal
from runtime.settings import Settings, SettingsError, load_settings
from runtime.temporal import connect, deployment_config, tls_config
from tests.support.certificates import Authority

HOST = "temporal.example"


def relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_proxy(context: ssl.SSLContext, address: str) -> Iterator[str]:
    """Speaks TLS, and hands on what is in it."""
    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=hand_on, args=(accepted,), daemon=True).start()

        def hand_on(accepted: socket.socket) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(accepted, server_side=True) as secure,
                socket.create_connection((host, int(port))) as plain,
            ):
                back = threading.Thread(target=relay, args=(plain, secure), daemon=True)
                back.start()
                relay(secure, plain)
                back.join(5)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> dict[str, Path]:
    """What a client of the authority has."""
    certificate, key = authority.client_files("openscrip")
    return {"ca": authority.file(), "cert": certificate, "key": key}


@pytest.fixture(scope="module")
def address(temporal: EmbeddedTemporal, authority: Authority) -> Iterator[str]:
    """A server that wants a certificate of the same authority."""
    context = authority.server_context(HOST)
    context.load_verify_locations(authority.file())
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    with tls_proxy(context, temporal.address) as listening:
        yield listening


def settings(address: str, files: dict[str, Path], **changed: object) -> Settings:
    mutual = {"temporal_tls_ca": files["ca"], "temporal_tls_cert": files["cert"], "temporal_tls_key": files["key"]}
    return Settings(**{"temporal_address": address, "temporal_tls_server_name": HOST, **mutual, **changed})  # type: ignore[arg-type]


async def version(with_settings: Settings) -> str:
    client = await connect(with_settings)
    return (await client.workflow_service.get_system_info(GetSystemInfoRequest())).server_version


def test_a_certificate_opens_the_connection(address: str, files: dict[str, Path]) -> None:
    assert asyncio.run(version(settings(address, files)))


def test_without_a_certificate_it_stays_shut(address: str, files: dict[str, Path]) -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(version(settings(address, files, temporal_tls_cert=None, temporal_tls_key=None)))


def test_the_server_s_name_counts(address: str, files: dict[str, Path]) -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(version(settings(address, files, temporal_tls_server_name="other.example")))


def test_what_implies_tls() -> None:
    assert tls_config(Settings()) is False
    assert tls_config(Settings(temporal_tls=True)) is True
    assert tls_config(Settings(temporal_api_key=SecretStr("key"))) is True


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.pem can't be read: No such file"):
        tls_config(Settings(temporal_tls_ca=tmp_path / "nowhere.pem"))


@pytest.mark.parametrize(
    ("variable", "other"),
    [("TEMPORAL_TLS_CERT", "TEMPORAL_TLS_KEY"), ("WORKER_BUILD_ID", "WORKER_DEPLOYMENT")],
)
def test_what_belongs_together_is_set_together(variable: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"OPENSCRIP_{variable}", "one")
    with pytest.raises(SettingsError, match=f"OPENSCRIP_{other}.* must be set together|must be set together"):
        load_settings()


def test_workers_have_a_version_only_when_they_are_told() -> None:
    assert deployment_config(Settings()) is None
    config = deployment_config(Settings(worker_deployment="openscrip", worker_build_id="1.2"))
    assert config is not None
    assert (config.version.to_canonical_string(), config.use_worker_versioning) == ("openscrip.1.2", True)
