"""The four ports: everything that touches the world goes through one of them.

Real ones live in `streamlog/host/` (asyncio, threads, gRPC); simulated ones in
`jepsen_like/sim/`. Node code may use asyncio's own primitives (futures, queues, `sleep`,
`call_later`): the simulator's loop gives them virtual time. It never touches a thread, an
executor, a socket, a wall clock or a random source except through these.

Rejected: one port per class. Four are few enough to simulate whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Clock(Protocol):
    """Time as this node sees it."""

    def monotonic_ms(self) -> float:
        """Milliseconds that never go back; the loop's own time."""
        ...

    def wall_ms(self) -> int:
        """Unix milliseconds; may jump. For timestamps only, never for decisions."""
        ...


class Random(Protocol):
    """Randomness; `random.Random` fits."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Uniform in [0, 2^k)."""
        ...


class File(Protocol):
    """One open file. Operations of one file are carried out in the order of the calls.

    Every failure raises OSError. After a failed `sync` or durable write the file must not be
    used again: the caller stops serving what it holds.
    """

    @property
    def path(self) -> str:
        """As it was opened."""
        ...

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        """Bytes that are at hand without waiting; None when the disk would be asked.

        Fewer than `length` only at the end of the file.
        """
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer than `length` only at the end of the file."""
        ...

    async def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Write all the buffers one after the other, into the page cache."""
        ...

    async def write_durable(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Write all the buffers with one call that returns when they are on the disk.

        Runs on the thread that is dedicated to this file's journal (see `Disk.open`).
        """
        ...

    async def sync(self) -> None:
        """fdatasync: what was written, and the file's size, are on the disk."""
        ...

    async def truncate(self, size: int) -> None:
        """Cut or extend to `size` bytes."""
        ...

    async def size(self) -> int:
        """Bytes in the file."""
        ...

    async def close(self) -> None:
        """Give the descriptor back; waits for operations under way."""
        ...


class Disk(Protocol):
    """The data directory. Paths are relative to it and use "/".

    Directory operations (create, rename, remove) survive a crash only after `sync_directory`.
    Every failure raises OSError with the usual errno.
    """

    async def open(
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> File:
        """Open a file; `create` makes it and fails when it exists.

        `journal` gives the file's writes a thread of their own, shared by all journal files.
        """
        ...

    async def list_directory(self, path: str) -> Sequence[str]:
        """Names in a directory, sorted; empty when there is no such directory."""
        ...

    async def make_directory(self, path: str) -> None:
        """Make a directory and its parents; nothing happens when it exists."""
        ...

    async def rename(self, source: str, target: str) -> None:
        """Move a file or directory, replacing a file at the target."""
        ...

    async def remove(self, path: str) -> None:
        """Remove a file."""
        ...

    async def remove_tree(self, path: str) -> None:
        """Remove a directory with all it holds; nothing happens when there is none."""
        ...

    async def sync_directory(self, path: str) -> None:
        """Make creations, renames and removals in the directory durable."""
        ...

    async def free_bytes(self) -> int:
        """Space left for this process."""
        ...

    async def lock(self) -> None:
        """Take the data directory for this process; OSError(EAGAIN) when another has it."""
        ...


class StatusCode(IntEnum):
    """google.rpc.Code numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CallFailed(Exception):
    """A call ended with a status other than OK.

    A handler raises it to end a call so; a caller gets it. `details` is a serialized
    google.rpc.Status (the `grpc-status-details-bin` trailer), or empty.
    """

    def __init__(self, code: StatusCode, message: str, details: bytes = b"") -> None:
        self.code, self.message, self.details = code, message, details
        super().__init__(f"{code.name}: {message}")


class ServerStream(Protocol):
    """The server's side of one streaming call."""

    @property
    def peer(self) -> str:
        """Who calls, for logs."""
        ...

    async def receive(self) -> bytes | None:
        """The next message; None when the client has no more. Raises CallFailed when it broke.

        A cancelled wait gives the call up: a message may be lost with it.
        """
        ...

    async def send(self, message: bytes) -> None:
        """Send; returns when the transport has taken it (flow control). One sender at a time."""
        ...


UnaryHandler = Callable[[bytes], Awaitable[bytes]]
StreamHandler = Callable[[ServerStream], Awaitable[None]]
"""Returning ends the call with OK, raising CallFailed with its status; a call that the client
gives up is cancelled (asyncio.CancelledError)."""


@dataclass(frozen=True, slots=True)
class Service:
    """Handlers by method name of one gRPC service, e.g. "streamlog.v1.LogService"."""

    name: str
    unary: Mapping[str, UnaryHandler]
    streams: Mapping[str, StreamHandler]


class ClientStream(Protocol):
    """The client's side of one streaming call."""

    async def send(self, message: bytes) -> None:
        """Send; returns when the transport has taken it (flow control). One sender at a time.

        Cancelling it gives the call up.
        """
        ...

    async def receive(self) -> bytes | None:
        """The next message; None when the server ended with OK. Raises CallFailed otherwise.

        A cancelled wait gives the call up: a message may be lost with it.
        """
        ...

    async def done_sending(self) -> None:
        """Half-close: no more messages from here."""
        ...

    def cancel(self) -> None:
        """Give the call up."""
        ...


class Channel(Protocol):
    """A connection to one address; connects lazily, and again after a loss."""

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        """Call "/package.Service/Method". Raises CallFailed."""
        ...

    def stream(self, method: str) -> ClientStream:
        """Open a call; a failure to connect shows in the first send or receive."""
        ...

    async def close(self) -> None:
        """End all calls."""
        ...


class Listener(Protocol):
    """A bound server."""

    @property
    def address(self) -> str:
        """host:port that was bound, with the port the system chose for port 0."""
        ...

    async def close(self, grace_ms: float) -> None:
        """Take no new calls; cancel those that outlast the grace."""
        ...


class Network(Protocol):
    """Calls between processes, as gRPC has them: unary and streams of bytes messages."""

    async def listen(self, address: str, services: Sequence[Service]) -> Listener:
        """Bind and serve. OSError(EADDRINUSE) when the port is taken."""
        ...

    def connect(self, address: str) -> Channel:
        """A channel; nothing is sent yet."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """All of the world that a node sees."""

    clock: Clock
    disk: Disk
    network: Network
    random: Random
