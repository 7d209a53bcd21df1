"""`openscrip webhooks listen`, for real: it registers itself, verifies what comes, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.webhooks import Listener
from tests.cli.stack import ROOT
from tests.support.client import Tenant
from tests.support.stack import Stack, poll


def listening(stack: Stack, key: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    api = urlsplit(stack.base_url)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
    own = {
        "OPENSCRIP_API_HOST": str(api.hostname),
        "OPENSCRIP_API_PORT": str(api.port),
        "OPENSCRIP_BOOTSTRAP_API_KEY": key,
        "OPENSCRIP_DATA_DIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "webhooks", "listen", "--port", "0", *arguments],
        cwd=ROOT,
        env=inherited | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def listener(stack: Stack, tenant: Tenant, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with listening(stack, tenant.key, tmp_path, "--register") as process:
        yield process
        process.kill()


def test_registers_verifies_and_goes(listener: subprocess.Popen[str], tenant: Tenant) -> None:
    [endpoint] = poll(lambda: tenant.get("/v1/webhook-endpoints")["data"], 30) or []
    assert endpoint["enabled_events"] == ["*"]
    assert listener.stdout is not None
    for line in listener.stdout:
        if line.startswith("registered"):
            break
    tried = tenant.post(f"/v1/webhook-endpoints/{endpoint['id']}/test", status=201)
    assert (tried["status"], tried["last_response_status"], tried["max_attempts"]) == ("DELIVERED", 200, 1)
    shown, data = listener.stdout.readline(), listener.stdout.readline()
    assert "webhook.test  ✓ verified  -> 200" in shown
    assert tried["webhook_event_id"] in data
    listener.send_signal(signal.SIGINT)
    assert listener.wait(timeout=20) == 0
    assert tenant.get("/v1/webhook-endpoints")["data"] == []


def test_a_wrong_key_is_one_line(stack: Stack, tmp_path: Path) -> None:
    process = listening(stack, "sk_wrong", tmp_path, "--register")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "401" in output.splitlines()[-1]


def test_what_isnt_signed_is_refused() -> None:
    said: list[str] = []
    mine = Listener(said.append, secret="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    assert mine.take({"webhook-id": "1"}, b'{"type": "x", "data": {"a": 1}}') == 401
    assert "signature refused" in said[0]
    assert Listener(said.append, status=503).take({}, b"\xff") == 503
    assert "not a message" in said[-2]
