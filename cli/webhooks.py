"""`openscrip webhooks listen`: a receiver on this machine that verifies what it gets and shows it, for trying things out."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from standardwebhooks import Webhook, WebhookVerificationError

from cli.local import local_settings
from runtime.processes import ServiceError
from runtime.settings import Settings

REQUEST_SECONDS = 10.0
MOST_BODY_BYTES = 1 << 20
SHOWN_CHARACTERS = 160
HINT = "start the server with OPENSCRIP_WEBHOOK_ALLOW_PRIVATE=1, which is for development only"


@dataclass(slots=True)
class Listener:
    """What came so far, and how it is shown and answered."""

    say: Callable[[str], None]
    secret: str | None = None
    status: int = 200
    seen: set[str] = field(default_factory=set)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Show one request; returns the status to answer: 401 for a signature that doesn't verify."""
        id_ = headers.get("webhook-id", "none")
        verdict, status = self._verify(headers, body), self.status
        again = " [yellow]again[/yellow]" if id_ in self.seen else ""
        self.seen.add(id_)
        if verdict is False:
            status = 401
        mark = {True: "[green]✓ verified[/green]", False: "[red]✗ signature refused[/red]", None: "[yellow]? unverified[/yellow]"}
        type_, data = _read(body)
        self.say(f"{datetime.now():%H:%M:%S}  [bold]{escape(type_)}[/bold]  {mark[verdict]}{again}  -> {status}")  # noqa: DTZ005
        self.say(f"          [dim]{escape(id_)}[/dim]  {escape(data)}")
        return status

    def _verify(self, headers: dict[str, str], body: bytes) -> bool | None:
        if self.secret is None:
            return None
        try:
            Webhook(self.secret).verify(body, headers, json_parse=False)
        except WebhookVerificationError:
            return False
        return True


def _read(body: bytes) -> tuple[str, str]:
    """Type and data of a message in short."""
    try:
        message = json.loads(body)
        type_, data = str(message["type"]), message["data"]
    except (ValueError, KeyError, TypeError):
        return "not a message", repr(body[:SHOWN_CHARACTERS])
    fields = data.items() if isinstance(data, dict) else [("data", data)]
    text = "  ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in fields)
    return type_, text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"


class _Handler(BaseHTTPRequestHandler):
    listener: Listener

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = 413 if length > MOST_BODY_BYTES else self.listener.take(headers, self.rfile.read(length))
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what came is shown already."""


def run(*, port: int, register: bool, secret: str | None, events: list[str], status: int) -> None:
    """Listen until Ctrl-C; with `register` the running server posts here meanwhile."""
    console = Console(highlight=False, soft_wrap=True)
    listener = Listener(console.print, secret, status)
    for number in (signal.SIGINT, signal.SIGTERM):
        # both, and also where a shell started it in the background without them: the endpoint must be deleted again
        signal.signal(number, signal.default_int_handler)
    with _serving(listener, port) as server, suppress(KeyboardInterrupt):
        url = f"http://127.0.0.1:{server.server_port}/"
        console.print(f"listening on [bold]{url}[/bold], Ctrl-C ends it")
        if not register:
            if secret is None:
                console.print("signatures aren't verified: name the endpoint's secret with --secret, or use --register")
            server.serve_forever(poll_interval=0.1)
            return
        with _registered(local_settings(), url, events) as made:
            listener.secret = made
            console.print(f"registered for {', '.join(events)}; deleted again at the end")
            server.serve_forever(poll_interval=0.1)


@contextmanager
def _serving(listener: Listener, port: int) -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (_Handler,), {"listener": listener})
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise ServiceError(f"port {port}: {error.strerror}, choose another one with --port") from None
    with server:
        yield server


@contextmanager
def _registered(settings: Settings, url: str, events: list[str]) -> Iterator[str]:
    """An endpoint of the demo key's organization for as long as this lasts; gives its secret."""
    headers = {"Authorization": f"Bearer {_api_key(settings)}"}
    with httpx.Client(base_url=settings.api_url, headers=headers, timeout=REQUEST_SECONDS, trust_env=False) as client:
        body = {"url": url, "enabled_events": events, "description": "openscrip webhooks listen"}
        made = _call(client, "POST", "/v1/webhook-endpoints", body)
        try:
            yield str(made["secret"])
        finally:
            _call(client, "DELETE", f"/v1/webhook-endpoints/{made['id']}")


def _api_key(settings: Settings) -> str:
    if settings.bootstrap_api_key is not None:
        return settings.bootstrap_api_key.get_secret_value()
    kept: Path = settings.data_dir / "demo.key"
    if not kept.is_file():
        raise ServiceError(
            f"there is no API key: run `openscrip up` first, which keeps one in {kept}, or set OPENSCRIP_BOOTSTRAP_API_KEY"
        )
    return kept.read_text().strip()


def _call(client: httpx.Client, method: str, path: str, body: object = None) -> dict[str, Any]:
    try:
        answer = client.request(method, path, json=body) if body is not None else client.request(method, path)
    except httpx.TransportError as error:
        raise ServiceError(f"{client.base_url}: no answer ({type(error).__name__}), is the server running?") from None
    if answer.is_success:
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found
    details = answer.json().get("details", {}) if answer.headers.get("content-type") == "application/json" else {}
    if details.get("field") == "url":
        raise ServiceError(f"the server doesn't post to this machine: {HINT}")
    raise ServiceError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
