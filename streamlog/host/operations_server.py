"""Answers operators over HTTP on threads of its own, so that a loop which hangs shows as such.

A thread takes a request, asks the event loop for the answer, and waits for it a bounded time; a
loop that does not answer is told as 503 with the reason, which is what a liveness probe is for.

Bounds: CONNECTIONS_MAX connections at a time (more are closed at once), REQUEST_BYTES_MAX bytes of
a request, REQUEST_SECONDS for it to arrive and LOOP_SECONDS for the loop to answer, and
RESPONSE_SECONDS for the client to take the answer. A connection carries one request, so no client
keeps a thread longer than these together.

Rejected: a server on the event loop, which would need a parser of HTTP and could not tell of a
loop that hangs; the one of `prometheus_client`, which has none of the bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final, Protocol

CONNECTIONS_MAX: Final = 16
REQUEST_BYTES_MAX: Final = 8 * 1024
REQUEST_SECONDS: Final = 5.0
LOOP_SECONDS: Final = 5.0
RESPONSE_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05
"""How soon the listening thread sees that it shall end."""
METHODS: Final = ("GET", "HEAD")

_LOG = logging.getLogger(__name__)


class Answer(Protocol):
    """What is told to a client."""

    @property
    def status(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    @property
    def body(self) -> Callable[[], bytes]:
        """Called once, on a thread."""
        ...


Ask = Callable[[str], Awaitable[Answer | None]]
"""Answers a path, on the event loop; None when there is no such path."""


class OperationsServer:
    """An HTTP server for one node; started and stopped by the owner of the loop."""

    def __init__(self, address: tuple[str, int], ask: Ask) -> None:
        """Bind. Raises OSError with the errno of the bind.

        Args:
            address: host and port; port 0: one that the system chooses.
            ask: called on the loop that runs now, for each request.
        """
        self._server = _Server(address, ask, asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="operations", daemon=True
        )

    @property
    def port(self) -> int:
        """That is bound."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Take requests from now on."""
        self._thread.start()

    async def stop(self) -> None:
        """Take no more; requests under way end by themselves within their bounds."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    """Invariant: at most CONNECTIONS_MAX handlers run."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, address: tuple[str, int], ask: Ask, loop: asyncio.AbstractEventLoop) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.ask, self.loop = ask, loop
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would look its name up, and a resolver may take its time.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request
        # Clients that go away in the middle are no matter of the node's.
        _LOG.debug("operations_client_lost", exc_info=True, extra={"peer": client_address[0]})

    def answer(self, path: str) -> tuple[int, str, bytes] | None:
        """Ask the loop, for at most LOOP_SECONDS."""
        abandoned = threading.Event()
        asking = _asking(self.ask, path, abandoned)
        try:
            asked = asyncio.run_coroutine_threadsafe(asking, self.loop)
        except RuntimeError:
            asking.close()
            return _failed("the node has ended")
        try:
            answer = asked.result(LOOP_SECONDS)
        except TimeoutError:
            abandoned.set()
            asked.cancel()
            return _failed(f"the event loop did not answer within {LOOP_SECONDS:g} s")
        except CancelledError:
            return _failed("the node has ended")
        except Exception:
            _LOG.exception("operations_request_failed", extra={"path": path})
            return _failed("a defect of the node; see its log")
        return None if answer is None else (answer.status, answer.content_type, answer.body())


async def _asking(ask: Ask, path: str, abandoned: threading.Event) -> Answer | None:
    """A loop that hung must not begin its new life with all the probes that it missed."""
    return None if abandoned.is_set() else await ask(path)


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: _Server
    protocol_version = "HTTP/1.0"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        bounded = _BoundedInput(self.connection, time.monotonic() + REQUEST_SECONDS)
        self.rfile = io.BufferedReader(bounded, REQUEST_BYTES_MAX)

    def finish(self) -> None:
        super().finish()
        # A body that nobody read would make the kernel reset the connection, answer and all.
        self.connection.setblocking(False)
        with contextlib.suppress(OSError):
            self.connection.recv(REQUEST_BYTES_MAX)

    def parse_request(self) -> bool:
        """Also refuses methods, those that do not exist included, in the same way."""
        if not super().parse_request():
            return False
        if self.command not in METHODS:
            self._send(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "text/plain; charset=utf-8",
                f"{self.command[:20]} is not allowed: {', '.join(METHODS)}\n".encode(),
                allow=True,
            )
            return False
        return True

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        answer = self.server.answer(path)
        if answer is None:
            self._send(
                HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there is no such path\n"
            )
        else:
            self._send(*answer)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def _send(self, status: int, content_type: str, body: bytes, *, allow: bool = False) -> None:
        self.connection.settimeout(RESPONSE_SECONDS)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if allow:
            self.send_header("Allow", ", ".join(METHODS))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Says no more than it must."""
        return "streamlog"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is inherited
        """Probes come every second; nothing of them belongs into the log."""


class _BoundedInput(io.RawIOBase):
    """Bytes of a socket, up to a moment and a number."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline
        self._left = REQUEST_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0 or not self._left:
            raise TimeoutError("the request is too slow, or too large")
        self._connection.settimeout(seconds)
        with memoryview(buffer) as view:
            count = self._connection.recv_into(view[: self._left])
        self._left -= count
        return count


def _failed(reason: str) -> tuple[int, str, bytes]:
    body = json.dumps({"healthy": False, "ready": False, "reasons": [reason]}) + "\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, "application/json; charset=utf-8", body.encode()
