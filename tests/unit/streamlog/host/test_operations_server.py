"""Answers over HTTP, to clients of every kind, from a loop that may hang."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse

import pytest

from streamlog.host import operations_server
from streamlog.host.operations_server import OperationsServer

HOST = "127.0.0.1"
PATIENCE_S = 60
"""Far more than an answer takes on a busy machine."""


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: Callable[[], bytes]


class Node:
    """Answers two paths, and remembers which threads wrote the bodies."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.threads: list[str] = []
        self.error: Exception | None = None

    async def answer(self, path: str) -> Answer | None:
        self.asked.append(path)
        if self.error is not None:
            raise self.error
        if path == "/readyz":
            return Answer(503, "application/json", lambda: b"{}")
        return Answer(200, "text/plain", self._body) if path == "/metrics" else None

    def _body(self) -> bytes:
        self.threads.append(threading.current_thread().name)
        return b"one 1\n"


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
async def server(node: Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OperationsServer]:
    """It waits long enough for tests on a busy machine, unless one says otherwise."""
    for bound in ("REQUEST_SECONDS", "LOOP_SECONDS", "RESPONSE_SECONDS"):
        monkeypatch.setattr(operations_server, bound, float(PATIENCE_S))
    made = OperationsServer((HOST, 0), node.answer)
    made.start()
    yield made
    await made.stop()


def request(
    server: OperationsServer, method: str, path: str, body: bytes | None = None
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(HOST, server.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def raw(server: OperationsServer, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send the parts, and read until the server closes; empty when it gave no answer."""
    with socket.create_connection((HOST, server.port), timeout=PATIENCE_S) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_s)
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        except ConnectionError:
            return b""
        return answer


async def test_answers_come_from_the_loop_and_bodies_from_a_thread(
    server: OperationsServer, node: Node
) -> None:
    """Status, type and length are as the node says; a query does not count; HEAD has no body."""
    response, body = await asyncio.to_thread(request, server, "GET", "/metrics?format=x")
    assert (response.status, body) == (200, b"one 1\n")
    assert response.headers["Content-Type"] == "text/plain"
    assert response.headers["Content-Length"] == "6"
    response, body = await asyncio.to_thread(request, server, "HEAD", "/metrics")
    assert (response.status, response.headers["Content-Length"], body) == (200, "6", b"")
    response, body = await asyncio.to_thread(request, server, "GET", "/readyz")
    assert (response.status, body) == (503, b"{}")
    assert node.asked == ["/metrics", "/metrics", "/readyz"]
    assert threading.current_thread().name not in node.threads


@pytest.mark.parametrize("path", ["/", "/metrics/", "/Metrics", "/../metrics", "/%6detrics"])
async def test_other_paths_are_not_found(server: OperationsServer, path: str) -> None:
    """Paths are taken as they are."""
    response, _ = await asyncio.to_thread(request, server, "GET", path)
    assert response.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_other_methods_are_not_allowed(
    server: OperationsServer, node: Node, method: str
) -> None:
    """Known or not, with a body or without, on any path; the answer says which are allowed."""
    response, _ = await asyncio.to_thread(request, server, method, "/metrics", b"x" * 1_000)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert node.asked == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 1_300 + b"\r\n",
        b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["empty", "no path", "version", "tls", "http2", "headers", "long path"],
)
async def test_what_is_no_request_is_refused(
    server: OperationsServer, node: Node, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of HTTP or the end of the connection; the node is not asked, and the next client is
    served."""
    monkeypatch.setattr(operations_server, "REQUEST_SECONDS", 0.3)
    answer = await asyncio.to_thread(raw, server, sent)
    assert b" 200 " not in answer
    assert node.asked == []
    monkeypatch.setattr(operations_server, "REQUEST_SECONDS", float(PATIENCE_S))
    response, _ = await asyncio.to_thread(request, server, "GET", "/metrics")
    assert response.status == 200


async def test_a_loop_that_hangs_is_told(
    server: OperationsServer, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is blocked, as by a defect: 503 with the reason, in bounded time; afterwards it is
    well again."""
    monkeypatch.setattr(operations_server, "LOOP_SECONDS", 0.1)
    answers: list[tuple[int, bytes]] = []

    def probe() -> None:
        response, body = request(server, "GET", "/healthz")
        answers.append((response.status, body))

    prober = threading.Thread(target=probe)
    prober.start()
    prober.join(PATIENCE_S)  # The loop does nothing else meanwhile.
    ((status, body),) = answers
    assert status == 503
    assert json.loads(body)["reasons"] == ["the event loop did not answer within 0.1 s"]
    monkeypatch.setattr(operations_server, "LOOP_SECONDS", float(PATIENCE_S))
    response, _ = await asyncio.to_thread(request, server, "GET", "/metrics")
    assert response.status == 200
    assert node.asked == ["/metrics"]


async def test_a_defect_is_told_without_its_details(
    server: OperationsServer, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """503, and the traceback goes to the log only."""
    node.error = ValueError("secret")
    response, body = await asyncio.to_thread(request, server, "GET", "/metrics")
    assert response.status == 503
    assert b"secret" not in body
    told = [each for each in caplog.records if each.name == operations_server.__name__]
    assert [record.getMessage() for record in told] == ["operations_request_failed"]


@pytest.mark.parametrize("sent", [[], [b"GET /metrics HTTP/1.0\r\n"], [b" "] * 200])
async def test_a_slow_client_is_let_go(
    server: OperationsServer, monkeypatch: pytest.MonkeyPatch, sent: list[bytes]
) -> None:
    """Silence, half a request, or a byte now and then do not keep a thread: the whole request has
    one deadline."""
    monkeypatch.setattr(operations_server, "REQUEST_SECONDS", 0.3)
    assert (
        await asyncio.wait_for(asyncio.to_thread(raw, server, *sent, pause_s=0.05), PATIENCE_S)
        == b""
    )


async def test_connections_are_bounded(server: OperationsServer) -> None:
    """Clients that say nothing take every place; one more is turned away at once; when they go,
    or their time is up, others are served."""
    silent = [
        socket.create_connection((HOST, server.port), timeout=PATIENCE_S)
        for _ in range(operations_server.CONNECTIONS_MAX)
    ]

    def turned_away() -> bool:
        return raw(server, b"GET /metrics HTTP/1.0\r\n\r\n") == b""

    while not await asyncio.to_thread(turned_away):
        await asyncio.sleep(0.01)  # Not all of them were accepted yet.
    for connection in silent:
        connection.close()
    while await asyncio.to_thread(turned_away):
        await asyncio.sleep(0.01)


async def test_an_address_in_use_is_refused(server: OperationsServer, node: Node) -> None:
    """At once, with the errno of the bind."""
    with pytest.raises(OSError, match="in use"):
        OperationsServer((HOST, server.port), node.answer)


async def test_after_the_stop_nobody_listens(node: Node) -> None:
    """Its port is free, and the stop does not take long; a server that never began stops too."""
    server = OperationsServer((HOST, 0), node.answer)
    server.start()
    port = server.port
    await server.stop()
    again = OperationsServer((HOST, port), node.answer)
    await again.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=PATIENCE_S)
