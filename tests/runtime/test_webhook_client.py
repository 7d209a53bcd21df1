"""Posting to webhooks, against real servers on loopback (webhooks.md 1.2, 4.1)."""

import contextlib
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.webhook_attempts import Answer
from domain.webhook_urls import UrlFlaw
from runtime.webhook_client import WebhookClient
from tests.support.certificates import Authority
from tests.support.receiver import Received, Receiver, Reply, receive

HERE = ["127.0.0.1"]
HEADERS = {"content-type": "application/json", "webhook-id": "m1", "webhook-signature": "v1,c2lnbmF0dXJl"}
BODY = b'{"confidential":true}'
TIMEOUT = "timeout: no answer within 0.5 seconds"

Conversation = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> WebhookClient:
    return WebhookClient(authority.client_context())


@contextlib.contextmanager
def talk(conversation: Conversation) -> Iterator[str]:
    """A server that leads one conversation over a bare socket; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    conversation(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://hooks.example:{listener.getsockname()[1]}/x"
    thread.join(timeout=5)


def hear(peer: socket.socket) -> bytes:
    heard = b""
    while not heard.endswith(BODY):
        heard += peer.recv(65536)
    return heard


def saying(answer: bytes) -> Conversation:
    def conversation(peer: socket.socket) -> None:
        hear(peer)
        peer.sendall(answer)

    return conversation


def dripping(first: bytes, drop: bytes) -> Conversation:
    def conversation(peer: socket.socket) -> None:
        hear(peer)
        peer.sendall(first)
        for _ in range(200):
            time.sleep(0.05)
            peer.sendall(drop)

    return conversation


def silent(peer: socket.socket) -> None:
    # ends when the client hangs up
    while peer.recv(65536):
        pass


def deaf(peer: socket.socket) -> None:
    time.sleep(1)


def reset(peer: socket.socket) -> None:
    peer.recv(10)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_request_to_the_byte(client: WebhookClient) -> None:
    taken: list[bytes] = []

    def conversation(peer: socket.socket) -> None:
        taken.append(hear(peer))
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with talk(conversation) as url:
        assert client.post(url + "?a=1&b=%20", HERE, HEADERS, BODY) == Answer(200, "ok")
    port = url.split(":")[2].removesuffix("/x")
    assert (
        b"".join(taken)
        == (
            f"POST /x?a=1&b=%20 HTTP/1.1\r\nHost: hooks.example:{port}\r\nConnection: close\r\nContent-Length: 21\r\n"
            "content-type: application/json\r\nwebhook-id: m1\r\nwebhook-signature: v1,c2lnbmF0dXJl\r\n\r\n"
        ).encode()
        + BODY
    )


@pytest.mark.parametrize(
    ("written", "path"), [("", "/"), ("/", "/"), ("?q", "/?q"), ("/a/../b//c%2F?x=/y?z", "/a/../b//c%2F?x=/y?z")]
)
def test_paths_go_as_they_were_written(client: WebhookClient, written: str, path: str) -> None:
    with receive() as receiver:
        assert client.post(receiver.url.removesuffix("/hooks") + written, HERE, HEADERS, BODY).status == 200
    assert [(each.path, each.body) for each in receiver.received] == [(path, BODY)]


def test_the_checked_address_counts_whatever_the_name_servers_say(client: WebhookClient, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    find = socket.getaddrinfo

    with receive(host="hooks.example") as receiver, receive() as trap:
        trap_port = int(trap.url.split(":")[2].removesuffix("/hooks"))

        def lie(host: str, port: int, *args: object, **kwargs: object) -> object:
            if host == "127.0.0.1":
                return find(host, port)
            looked_up.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", trap_port))]

        monkeypatch.setattr(socket, "getaddrinfo", lie)
        assert client.post(receiver.url, HERE, HEADERS, BODY).status == 200
        with socket.create_connection(("hooks.example", 1)) as misled:
            assert misled.getpeername()[1] == trap_port
    assert looked_up == ["hooks.example"]
    assert len(receiver.received) == 1
    assert receiver.received[0].headers["host"].startswith("hooks.example:")
    assert trap.received == []


def test_the_next_address_when_one_refuses(client: WebhookClient) -> None:
    with receive(host="hooks.example") as receiver:
        assert client.post(receiver.url, ["::1", "127.0.0.1"], HEADERS, BODY).status == 200
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://Hooks.Example", "hooks.example"),
        ("http://hooks.example.:80", "hooks.example"),
        ("http://hooks.example:/", "hooks.example"),
        ("http://[::1]", "[::1]"),
        ("http://hooks.example:443", "hooks.example:443"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_the_host_header(client: WebhookClient, monkeypatch: pytest.MonkeyPatch, origin: str, host: str) -> None:
    with receive() as receiver:
        port = int(receiver.url.split(":")[2].removesuffix("/hooks"))
        where = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [where])
        assert client.post(origin, HERE, HEADERS, BODY).status == 200
    assert receiver.received[0].headers["host"] == host


@pytest.mark.parametrize("addresses", [[], ["localhost"], ["127.0.0.1", "hooks.example"], ["127.1"]])
def test_only_addresses_are_connected_to(client: WebhookClient, addresses: list[str]) -> None:
    with receive() as receiver, pytest.raises(ValueError, match="address"):
        client.post(receiver.url, addresses, HEADERS, BODY)
    assert receiver.received == []


def test_a_url_without_a_sound_form_is_not_called(client: WebhookClient) -> None:
    with pytest.raises(UrlFlaw):
        client.post("http://user:word@hooks.example/", HERE, HEADERS, BODY)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(client: WebhookClient, status: int) -> None:
    with receive() as elsewhere, receive(Reply(status, b"moved", {"location": elsewhere.url})) as receiver:
        assert client.post(receiver.url, HERE, HEADERS, BODY) == Answer(status, "moved")
    assert len(receiver.received) == 1
    assert elsewhere.received == []


def test_proxies_of_the_environment_are_ignored(client: WebhookClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with receive() as proxy, receive() as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert client.post(receiver.url, HERE, HEADERS, BODY).status == 200
    assert len(receiver.received) == 1
    assert proxy.received == []


@pytest.mark.parametrize(
    "conversation",
    [
        silent,
        dripping(b"", b"H"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "bytes", "headers", "interim"],
)
def test_a_slow_answer_is_cut(client: WebhookClient, conversation: Conversation) -> None:
    began = time.monotonic()
    with talk(conversation) as url:
        answer = client.post(url, HERE, HEADERS, BODY, timeout_seconds=0.5)
        assert 0.4 < time.monotonic() - began < 2
    assert answer == Answer(error=TIMEOUT)


@pytest.mark.parametrize("head", [b"Content-Length: 1000\r\n\r\n", b"\r\n"], ids=["counted", "until the end"])
def test_a_slow_body_is_cut_and_its_status_kept(client: WebhookClient, head: bytes) -> None:
    began = time.monotonic()
    with talk(dripping(b"HTTP/1.1 200 OK\r\n" + head, b".")) as url:
        assert client.post(url, HERE, HEADERS, BODY, timeout_seconds=0.5) == Answer(200, error=TIMEOUT)
        assert 0.4 < time.monotonic() - began < 2


def test_who_reads_nothing_is_not_waited_for(client: WebhookClient) -> None:
    began = time.monotonic()
    with talk(deaf) as url:
        assert client.post(url, HERE, HEADERS, bytes(20_000_000), timeout_seconds=0.5) == Answer(error=TIMEOUT)
        assert time.monotonic() - began < 2


def test_a_handshake_that_never_ends_is_cut(client: WebhookClient) -> None:
    with talk(silent) as url:
        secure = url.replace("http:", "https:")
        assert client.post(secure, HERE, HEADERS, BODY, timeout_seconds=0.5) == Answer(error=TIMEOUT)


def test_slow_tls_is_cut(client: WebhookClient, authority: Authority) -> None:
    def handshake(peer: socket.socket) -> None:
        # a record of 16 KiB that never gets whole
        peer.sendall(b"\x16\x03\x03\x40\x00\x02")
        while True:
            time.sleep(0.05)
            peer.sendall(b"\x00")

    def body(peer: socket.socket) -> None:
        with authority.server_context("hooks.example").wrap_socket(peer, server_side=True) as secure:
            dripping(b"HTTP/1.1 200 OK\r\n\r\n", b".")(secure)

    for conversation, status in ((handshake, None), (body, 200)):
        began = time.monotonic()
        with talk(conversation) as url:
            answer = client.post(url.replace("http:", "https:"), HERE, HEADERS, BODY, timeout_seconds=0.5)
            assert time.monotonic() - began < 2
        assert answer == Answer(status, error=TIMEOUT)


def test_four_kilobytes_of_the_body_are_read(client: WebhookClient) -> None:
    body = bytes(range(65, 91)) * 400
    with receive(Reply(500, body), Reply(200, body[:4096]), Reply(200, body[:4097])) as receiver:
        answers = [client.post(receiver.url, HERE, HEADERS, BODY) for _ in range(3)]
    assert [answer.status for answer in answers] == [500, 200, 200]
    assert {answer.body for answer in answers} == {body[:4096].decode()}


def test_a_body_without_end_is_no_matter(client: WebhookClient) -> None:
    endless = dripping(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 4096, b"x" * 100)
    began = time.monotonic()
    with talk(endless) as url:
        assert client.post(url, HERE, HEADERS, BODY, timeout_seconds=10) == Answer(200, "x" * 4096)
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\xff\xfe!", "\ufffd\ufffd!"),
        (b"a\x00b", "a\ufffdb"),
        ("x".join("é" * 3).encode(), "éxéxé"),
        (b"x" * 4095 + "é".encode(), "x" * 4095 + "\ufffd"),
        (b"", ""),
    ],
)
def test_bodies_become_text_that_can_be_kept(client: WebhookClient, body: bytes, text: str) -> None:
    with receive(Reply(200, body)) as receiver:
        assert client.post(receiver.url, HERE, HEADERS, BODY) == Answer(200, text)


def test_packed_bodies_stay_packed(client: WebhookClient) -> None:
    with receive(Reply(200, b"no gzip", {"content-encoding": "gzip"})) as receiver:
        assert client.post(receiver.url, HERE, HEADERS, BODY) == Answer(200, "no gzip")


def test_what_the_receiver_asks_to_wait(client: WebhookClient) -> None:
    long = "9" * 500
    with receive(Reply(429, headers={"Retry-After": "60"}), Reply(503, headers={"RETRY-AFTER": long})) as receiver:
        assert client.post(receiver.url, HERE, HEADERS, BODY) == Answer(429, "", "60")
        assert client.post(receiver.url, HERE, HEADERS, BODY) == Answer(503, "", long[:100])


def test_nobody_listens(client: WebhookClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://hooks.example:{unused.getsockname()[1]}/"
        assert client.post(url, HERE, HEADERS, BODY) == Answer(error="network error: Connection refused")


@pytest.mark.parametrize("body", [BODY, bytes(3_000_000)], ids=["small", "large"])
def test_a_connection_that_is_reset(client: WebhookClient, body: bytes) -> None:
    with talk(reset) as url:
        answer = client.post(url, HERE, HEADERS, body)
    assert answer in [Answer(error=f"network error: {what}") for what in ("Connection reset by peer", "Broken pipe")]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00\x01\x02\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
def test_what_is_no_answer(client: WebhookClient, said: bytes) -> None:
    with talk(saying(said)) as url:
        answer = client.post(url, HERE, HEADERS, BODY)
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith(("protocol error: ", "network error: Connection reset by peer"))
    assert len(answer.error) < 250


def test_an_answer_that_breaks_off(client: WebhookClient) -> None:
    with talk(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")) as url:
        answer = client.post(url, HERE, HEADERS, BODY)
    assert answer.status == 200
    assert answer.error is not None
    assert answer.error.startswith("protocol error: peer closed connection")


def test_an_answer_that_comes_before_all_was_read(client: WebhookClient) -> None:
    def conversation(peer: socket.socket) -> None:
        peer.recv(100)
        peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        silent(peer)

    with talk(conversation) as url:
        assert client.post(url, HERE, HEADERS, bytes(3_000_000)).status == 413


def test_tls_with_the_name_of_the_host(client: WebhookClient, authority: Authority) -> None:
    names: list[str | None] = []
    context = authority.server_context("hooks.example")
    context.sni_callback = lambda connection, name, of: names.append(name)
    with receive(tls=context, host="hooks.example") as receiver:
        assert client.post(receiver.url, HERE, HEADERS, BODY).status == 200
        assert client.post(receiver.url.replace("hooks.example", "HOOKS.Example."), HERE, HEADERS, BODY).status == 200
    assert names == ["hooks.example"] * 2
    assert {each.headers["host"] for each in receiver.received} == {receiver.url.split("/")[2]}


def refused(client: WebhookClient, context: ssl.SSLContext, host: str = "hooks.example") -> tuple[Answer, Receiver]:
    with receive(tls=context, host=host) as receiver:
        return client.post(receiver.url, HERE, HEADERS, BODY), receiver


def test_a_certificate_for_another_host_is_refused(client: WebhookClient, authority: Authority) -> None:
    answer, receiver = refused(client, authority.server_context("other.example"))
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith("certificate refused: Hostname mismatch")
    assert receiver.received == []


def test_a_certificate_for_a_name_is_none_for_the_address(client: WebhookClient, authority: Authority) -> None:
    answer, receiver = refused(client, authority.server_context("hooks.example"), host="127.0.0.1")
    assert answer.error is not None
    assert answer.error.startswith("certificate refused: IP address mismatch")
    assert receiver.received == []


def test_a_certificate_that_has_expired_is_refused(client: WebhookClient, authority: Authority) -> None:
    answer, receiver = refused(client, authority.server_context("hooks.example", expired=True))
    assert answer.error == "certificate refused: certificate has expired"
    assert receiver.received == []


def test_a_certificate_of_an_unknown_authority_is_refused(client: WebhookClient, tmp_path: Path) -> None:
    answer, receiver = refused(client, Authority(tmp_path).server_context("hooks.example"))
    assert answer.error is not None
    assert answer.error.startswith("certificate refused: ")
    assert receiver.received == []


def test_by_default_only_public_authorities_are_trusted(authority: Authority) -> None:
    answer, receiver = refused(WebhookClient(), authority.server_context("hooks.example"))
    assert answer.error is not None
    assert answer.error.startswith("certificate refused: ")
    assert receiver.received == []


def test_who_speaks_no_tls(client: WebhookClient) -> None:
    def conversation(peer: socket.socket) -> None:
        peer.recv(10)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        silent(peer)

    with talk(conversation) as url:
        answer = client.post(url.replace("http:", "https:"), HERE, HEADERS, BODY)
    assert answer.error is not None
    assert answer.error.startswith("TLS failed: ")


def test_connections_are_limited(authority: Authority) -> None:
    few = WebhookClient(authority.client_context(), max_connections=2)
    lock, open_now, most = threading.Lock(), [0], [0]

    def count(received: Received) -> Reply:
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        time.sleep(0.1)
        with lock:
            open_now[0] -= 1
        return Reply()

    with receive(script=count) as receiver:
        posts = [threading.Thread(target=few.post, args=(receiver.url, HERE, HEADERS, BODY)) for _ in range(6)]
        for post in posts:
            post.start()
        for post in posts:
            post.join(timeout=10)
    assert len(receiver.received) == 6
    assert most == [2]


def test_slots_come_back_after_failures(authority: Authority) -> None:
    one = WebhookClient(authority.client_context(), max_connections=1)
    for _ in range(3):
        with talk(reset) as url:
            assert one.post(url, HERE, HEADERS, BODY).error is not None
    with receive() as receiver:
        assert one.post(receiver.url, HERE, HEADERS, BODY).status == 200


def test_nothing_of_a_message_is_logged(client: WebhookClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receive(Reply(200, b"private answer")) as receiver:
        client.post(receiver.url, HERE, HEADERS, BODY)
    with talk(reset) as url:
        client.post(url, HERE, HEADERS, BODY)
    assert not [word for word in ("confidential", "c2lnbmF0dXJl", "private answer") if word in caplog.text]
