"""The API as it is deployed: `openscrip serve` in a process of its own, without Temporal unless an address is given."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from runtime.processes import free_port, spawn
from tests.cli.stack import ROOT

START_SECONDS = 30.0
STOP_SECONDS = 20.0


@contextlib.contextmanager
def serve_process(database_url: str, folder: Path, temporal_address: str = "127.0.0.1:1") -> Iterator[str]:
    """Run the API on a free loopback port until the block ends; yields the base URL. Its data and log lie in `folder`."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
    own = {
        "OPENSCRIP_DATABASE_URL": database_url,
        "OPENSCRIP_TEMPORAL_ADDRESS": temporal_address,
        "OPENSCRIP_DATA_DIR": str(folder / "data"),
        "OPENSCRIP_RATE_LIMIT": "off",
    }
    command = [sys.executable, "-m", "cli", "serve", "--port", str(port)]
    child = spawn("api", command, folder / f"api-{port}.log", env=inherited | own, cwd=ROOT)
    try:
        url = f"http://127.0.0.1:{port}"
        child.wait_ready(lambda: _is_alive(url), START_SECONDS)
        yield url
    finally:
        child.stop(STOP_SECONDS)


def _is_alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).is_success
    except httpx.TransportError:
        return False
