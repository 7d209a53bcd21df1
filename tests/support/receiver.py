"""A receiver of webhooks on a loopback port: it keeps what comes and answers by script."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Received:
    """One request; the names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic, compare=False)


@dataclass(frozen=True)
class Reply:
    """What to answer, `delay` seconds after the request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


Script = Callable[[Received], Reply]


def is_signed_by(received: Received, secret: str) -> bool:
    """Whether a receiver that uses the published library would accept it, now."""
    try:
        Webhook(secret).verify(received.body, dict(received.headers), json_parse=False)
    except WebhookVerificationError:
        return False
    return True


class Receiver:
    """What came so far, and how it is answered: with `replies` in turn, then with 200; or by `script` instead."""

    def __init__(self, url: str, replies: Sequence[Reply] = (), script: Script | None = None) -> None:
        self.url = url
        self.script = script
        self._replies = list(replies)
        self._received: list[Received] = []
        self._changed = threading.Condition()

    @property
    def received(self) -> list[Received]:
        with self._changed:
            return list(self._received)

    def answer_next(self, *replies: Reply) -> None:
        """Add replies to those in turn."""
        with self._changed:
            self._replies.extend(replies)

    def take(self, received: Received) -> Reply:
        """Keep a request and choose its reply."""
        with self._changed:
            self._received.append(received)
            self._changed.notify_all()
            turn = self._replies.pop(0) if self._replies else Reply()
        return turn if self.script is None else self.script(received)

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Received]:
        """The requests, once there are so many; AssertionError when they don't come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._received) >= count, timeout), (
                f"{len(self._received)} of {count} requests came"
            )
            return list(self._received)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.receiver.take(Received(self.command, self.path, headers, body))
        if reply.delay:
            time.sleep(reply.delay)
        # a client that hung up meanwhile is what some tests are about
        with contextlib.suppress(OSError):
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextlib.contextmanager
def receive(
    *replies: Reply, script: Script | None = None, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Receiver]:
    """A receiver on a free loopback port; with `tls` it speaks https."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        # the handshake belongs to the thread of the connection, not to the one that accepts
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver(f"{'http' if tls is None else 'https'}://{host}:{server.server_port}/hooks", replies, script)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"receiver": receiver})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
