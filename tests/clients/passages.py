"""Passages to the nodes of a cluster, for whoever must know which node a program talks to, and stop
it in the middle of something without looking at a clock.

A program is given the addresses of the passages in place of those of the nodes. What it sends, and
what is sent to it, goes through a gate each: a gate that is shut after so many bytes leaves the
program waiting, and tells at which nodes. A node that is killed ends the connections through its
passage, as it would without one.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self

from tests.clients.running import wait_until

HOST: Final = "127.0.0.1"
CHUNK_BYTES: Final = 64 * 1024


class _Shut(Exception):
    """The connection is over while it waits at a gate."""


class _Connection:
    """Two sockets.

    Invariant: once one side ended, both are shut down, and nobody waits for them at a gate.
    """

    def __init__(self, node: int, program: socket.socket, server: socket.socket) -> None:
        self.node, self.program, self.server = node, program, server
        self.over = False
        self.passed = Counter[Gate]()
        """Bytes that came through a gate."""


class Gate:
    """For one direction of all connections together."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._left: int | None = None
        """Bytes that may pass; None: all."""
        self._waiting: list[_Connection] = []

    def shut_after(self, count: int) -> None:
        """So many bytes more may pass."""
        with self._changed:
            self._left = count
            self._changed.notify_all()

    def open(self) -> None:
        """Everything may pass."""
        with self._changed:
            self._left = None
            self._changed.notify_all()

    def await_held(self) -> int:
        """Wait until bytes are held back; returns the node that the program works with: of these
        connections that where most came through. On others only pings may wait."""
        wait_until(lambda: bool(self._held()), "the gate holds something back")
        return max(self._held(), key=lambda each: each.passed[self]).node

    def _held(self) -> list[_Connection]:
        with self._changed:
            return [each for each in self._waiting if not each.over]

    def take(self, count: int, connection: _Connection) -> int:
        """Wait until some of these bytes may pass; how many. Raises _Shut."""
        with self._changed:
            if self._left == 0:
                self._waiting.append(connection)
                self._changed.wait_for(lambda: self._left != 0 or connection.over)
                self._waiting.remove(connection)
            if connection.over:
                raise _Shut
            if self._left is not None:
                count = min(count, self._left)
                self._left -= count
            connection.passed[self] += count
            return count

    def end(self, connection: _Connection) -> None:
        """It does not wait here any more."""
        with self._changed:
            connection.over = True
            self._changed.notify_all()


class Passages:
    """One to each node.

    Invariant: all threads and sockets are gone when the `with` block is left.
    """

    def __init__(self, nodes: Mapping[int, str]) -> None:
        """`nodes`: addresses by node."""
        self.up, self.down = Gate(), Gate()
        """From the program to nodes, and back."""
        self._nodes = dict(nodes)
        self._listeners = {node: socket.create_server((HOST, 0)) for node in nodes}
        self._connections: list[_Connection] = []
        self._threads: list[threading.Thread] = []
        self._closing = False

    @property
    def bootstrap(self) -> str:
        """Addresses of all passages."""
        return ",".join(f"{HOST}:{each.getsockname()[1]}" for each in self._listeners.values())

    def __enter__(self) -> Self:
        acceptors = [
            threading.Thread(target=self._accept, args=(node, listener))
            for node, listener in self._listeners.items()
        ]
        self._threads += acceptors
        for thread in acceptors:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        for listener in self._listeners.values():
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads[: len(self._listeners)]:
            thread.join()
        for connection in self._connections:
            self._end(connection)
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            connection.program.close()
            connection.server.close()

    def _accept(self, node: int, listener: socket.socket) -> None:
        host, _, port = self._nodes[node].rpartition(":")
        while not self._closing:
            try:
                program, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((host, int(port)))
            except OSError:
                program.close()  # As if nobody listened: the node is dead.
                continue
            connection = _Connection(node, program, server)
            self._connections.append(connection)
            for source, sink, gate in ((program, server, self.up), (server, program, self.down)):
                thread = threading.Thread(target=self._pump, args=(source, sink, gate, connection))
                self._threads.append(thread)
                thread.start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, gate: Gate, connection: _Connection
    ) -> None:
        with suppress(OSError, _Shut):
            while data := source.recv(CHUNK_BYTES):
                rest = memoryview(data)
                while rest:
                    count = gate.take(len(rest), connection)
                    sink.sendall(rest[:count])
                    rest = rest[count:]
        self._end(connection)

    def _end(self, connection: _Connection) -> None:
        for gate in (self.up, self.down):
            gate.end(connection)
        for side in (connection.program, connection.server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
