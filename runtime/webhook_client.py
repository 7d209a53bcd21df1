"""Posting to webhooks: to the very addresses that were checked, once, within a time limit (webhooks.md 1.2, 4.1).

It stands on the transport beneath httpx, whose client would add what a webhook must not have: proxies of the environment,
redirects, cookies and unpacking. Sockets have deadlines, so a thread is held no longer than the limit.
"""

import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address

import httpcore
import httpx

from domain.webhook_attempts import Answer
from domain.webhook_urls import Target, parse_target

TIMEOUT_SECONDS = 15.0
MOST_BODY_BYTES = 4096
MOST_HEADER_LENGTH = 100
MOST_ERROR_LENGTH = 200
MOST_CONNECTIONS = 64

_DEFAULT_PORTS = {"https": 443, "http": 80}


class _Deadline:
    """The moment at which an attempt ends, whatever it is at."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds left; TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Stream(httpcore.NetworkStream):
    """A connection whose operations all end at one deadline: limits of each by itself don't stop slow drips."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket = connected
        self._deadline = deadline
        self._broken: OSError | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline counts
        self._socket.settimeout(self._deadline.left())
        found = self._socket.recv(max_bytes)
        if not found and self._broken is not None:
            raise self._broken
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline counts
        rest = memoryview(buffer)
        try:
            while rest:
                self._socket.settimeout(self._deadline.left())
                rest = rest[self._socket.send(rest) :]
        except TimeoutError:
            raise
        except OSError as error:
            # who hangs up while we write may have answered already: this error lets the transport look
            self._broken = error
            raise httpcore.WriteError from error

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True, slots=True)
class _Call:
    """An attempt to be made; `addresses` are literal ones."""

    target: Target
    addresses: Sequence[str]
    request: httpcore.Request


class WebhookClient:
    """Makes attempts on the caller's thread, at most `max_connections` at once; each has a connection of its own.

    A connection that is kept would be to the address of an earlier check. `context` says whom TLS trusts; by default those
    whom httpx does, SSL_CERT_FILE and SSL_CERT_DIR included.
    """

    def __init__(self, context: ssl.SSLContext | None = None, max_connections: int = MOST_CONNECTIONS) -> None:
        self._context = context or httpx.create_ssl_context()
        self._slots = threading.BoundedSemaphore(max_connections)

    def post(
        self,
        url: str,
        addresses: Sequence[str],
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Answer:
        """The answer of the URL's host at the first of its `addresses` that lets us connect; blocks.

        The caller has checked the addresses. The time begins when a connection is free. Whatever goes wrong on the way is
        the Answer's `error`; UrlFlaw or ValueError only for what no check lets pass.
        """
        call = _prepare(url, addresses, headers, body)
        with self._slots:
            return self._attempt(call, timeout_seconds)

    def _attempt(self, call: _Call, timeout_seconds: float) -> Answer:
        status: int | None = None
        deadline = _Deadline(timeout_seconds)
        try:
            with closing(_Stream(self._connect(call, deadline), deadline)) as stream:
                connection = httpcore.HTTP11Connection(call.request.url.origin, stream)
                response = connection.handle_request(call.request)
                status = response.status
                return Answer(status, _read_text(response), _retry_after(response))
        except TimeoutError:
            return Answer(status, error=f"timeout: no answer within {timeout_seconds:g} seconds")
        except (OSError, httpcore.ProtocolError) as error:
            return Answer(status, error=_describe(error))

    def _connect(self, call: _Call, deadline: _Deadline) -> socket.socket:
        connected = _open(call.addresses, call.target.port, deadline)
        try:
            # the answer to many small writes isn't waited for
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if call.target.scheme == "http":
                return connected
            connected.settimeout(deadline.left())
            return self._context.wrap_socket(connected, server_hostname=call.target.host)
        except BaseException:
            connected.close()
            raise


def _open(addresses: Sequence[str], port: int, deadline: _Deadline) -> socket.socket:
    """Connect to the first address that lets us; one that is silent leaves time for the others."""
    for index, address in enumerate(addresses[:-1]):
        try:
            return socket.create_connection((address, port), deadline.left() / (len(addresses) - index))
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), deadline.left())


def _prepare(url: str, addresses: Sequence[str], headers: Mapping[str, str], body: bytes) -> _Call:
    # whether private addresses may be called was decided with the addresses
    target = parse_target(url, is_private_allowed=True)
    if not addresses:
        raise ValueError("no address")
    # what is no literal address would be resolved a second time
    literal = [str(ip_address(address)) for address in addresses]
    host = f"[{target.host}]" if ":" in target.host else target.host
    authority = host if target.port == _DEFAULT_PORTS[target.scheme] else f"{host}:{target.port}"
    request = httpcore.Request(
        "POST",
        httpcore.URL(scheme=target.scheme, host=host, port=target.port, target=_path(url)),
        headers=[("Host", authority), ("Connection", "close"), ("Content-Length", str(len(body))), *headers.items()],
        content=body,
    )
    return _Call(target, literal, request)


def _path(url: str) -> str:
    """Path and query as they were written."""
    rest = url.partition("://")[2]
    begin = min((at for mark in "/?" if (at := rest.find(mark)) >= 0), default=len(rest))
    path = rest[begin:]
    return path if path.startswith("/") else "/" + path


def _read_text(response: httpcore.Response) -> str:
    """The first bytes of the body, not unpacked; the rest is never read."""
    kept = b""
    for part in response.iter_stream():
        kept += part
        if len(kept) >= MOST_BODY_BYTES:
            break
    # Postgres keeps no NUL
    return kept[:MOST_BODY_BYTES].decode(errors="replace").replace("\x00", "\ufffd")


def _retry_after(response: httpcore.Response) -> str | None:
    found = (value for name, value in response.headers if name.lower() == b"retry-after")
    value = next(found, None)
    return None if value is None else value[:MOST_HEADER_LENGTH].decode("latin-1")


def _describe(error: Exception) -> str:
    """What went wrong, with nothing of the request."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'connection closed'}"
    if isinstance(error, OSError):
        return f"network error: {error.strerror or type(error).__name__}"
    # what the transport says of the peer; of us it could say what we sent
    return f"protocol error: {str(error)[:MOST_ERROR_LENGTH] if isinstance(error, httpcore.RemoteProtocolError) else 'ours'}"
