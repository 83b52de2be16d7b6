"""The wires between simulated hosts: delays, partitions, pauses, and what TCP makes of them.

A `Pipe` is one direction of one stream. It is first in, first out and loses nothing by itself:
what arrives while the way is blocked waits and is sent again some time after it opens (TCP
retransmission). Order between pipes is not kept. What ends a connection is decided above, in
`calls`; this module says when a side must conclude that the other one is gone (keepalive).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jepsen_like.sim.ports.scheduler import Scheduler

if TYPE_CHECKING:
    from jepsen_like.sim.ports.calls import Connection
    from jepsen_like.sim.ports.network import SimListener, SimNetwork

RETRANSMISSION_MS: Final = (0.0, 1_000.0)
"""Until TCP sends again what was not acknowledged."""
LOCAL_DELAY_MS: Final = 0.02
"""Between processes of one host, and from a process to itself."""


@dataclass(slots=True)
class NetworkConditions:
    """How good the network is; a nemesis changes it at any time. Ranges are (lowest, highest)."""

    delay_ms: tuple[float, float] = (0.1, 0.8)
    """Of one message, uniform."""
    spike_probability: float = 0.01
    """How often a message takes a delay from `spike_ms` instead."""
    spike_ms: tuple[float, float] = (2.0, 20.0)
    keepalive_ms: tuple[float, float] = (10_000.0, 15_000.0)
    """Silence after which a side gives a connection up."""
    connect_timeout_ms: float = 1_000.0
    reconnect_backoff_ms: tuple[float, float] = (100.0, 1_000.0)
    """After a failure to connect calls fail at once for the first time; it doubles up to the
    second."""
    retransmit_ms: tuple[float, float] = (0.0, 300.0)
    """After a blocked way opens, until what waited arrives."""
    window_bytes: int = 256 * 1024
    """Bytes of one direction of a stream that the receiver has not taken: `send` waits then."""
    send_yield_probability: float = 0.25
    """How often a `send` that need not wait yields to its loop all the same."""


@dataclass(slots=True)
class NetworkCounters:
    """What the network did."""

    messages: int = 0
    bytes: int = 0
    calls: int = 0
    connections: int = 0
    connects_failed: int = 0
    connections_broken: int = 0
    messages_lost: int = 0
    """That were under way when their connection broke, or were not read yet and went with it."""
    messages_overtaken: int = 0
    """By one that was sent later, on another stream between the same hosts."""


class Pipe:
    """One direction of a stream: what is transmitted arrives in order at `deliver`."""

    def __init__(
        self, fabric: Fabric, source: str, target: str, deliver: Callable[[object], None]
    ) -> None:
        self.source, self.target = source, target
        self._fabric = fabric
        self._deliver = deliver
        self._queue: deque[object] = deque()
        self._last_arrival = 0.0
        self._stalled = 0
        self._closed = False

    def transmit(self, item: object) -> None:
        """Put an item on the wire."""
        if self._closed:
            return
        fabric = self._fabric
        when = fabric.scheduler.now + fabric.delay(self.source, self.target)
        self._last_arrival = when = max(when, self._last_arrival)
        fabric.expect(self.source, self.target, when)
        self._queue.append(item)
        fabric.scheduler.call_at(when, self._arrive)

    def close(self) -> None:
        """Nothing arrives any more."""
        self._closed = True
        self._fabric.counters.messages_lost += len(self._queue)
        self._queue.clear()

    def _arrive(self) -> None:
        if self._closed:
            return
        if self._stalled or self._fabric.blocked(self.source, self.target):
            if not self._stalled:
                self._fabric.stall(self)
            self._stalled += 1
            return
        self._deliver(self._queue.popleft())

    def retransmit(self) -> None:
        """The way may be open again."""
        if self._closed:
            return
        if self._fabric.blocked(self.source, self.target):
            self._fabric.stall(self)
            return
        count, self._stalled = self._stalled, 0
        for _ in range(count):
            if self._queue:
                self._deliver(self._queue.popleft())


class Fabric:
    """All hosts, and the state of the ways between them."""

    def __init__(self, scheduler: Scheduler, conditions: NetworkConditions) -> None:
        self.scheduler = scheduler
        self.conditions = conditions
        self.counters = NetworkCounters()
        self._latest: dict[tuple[str, str], float] = {}
        """When the last message of those under way, or the last that came, arrives."""
        self.rng = scheduler.random("network")
        self.listeners: dict[tuple[str, int], SimListener] = {}
        self.processes: dict[str, SimNetwork] = {}
        """The process that runs on a host; None is down."""
        self.connections: dict[int, Connection] = {}
        self.on_handler_error: Callable[[str, str, BaseException], None] | None = None
        """Told of exceptions that a handler should not have let out: host, method, exception."""
        self._blocks: dict[tuple[str, str], int] = {}
        self._epochs: dict[tuple[str, str], int] = {}
        self._paused: dict[str, int] = {}
        self._pauses = 0
        self._stalled: dict[tuple[str, str], list[Pipe]] = {}
        self._connection_ids = 0

    def expect(self, source: str, target: str, when: float) -> None:
        """A message will arrive then."""
        way = source, target
        latest = self._latest.get(way, 0.0)
        if when < latest:
            self.counters.messages_overtaken += 1
        else:
            self._latest[way] = when

    def delay(self, source: str, target: str) -> float:
        """Seconds that one message takes."""
        if source == target:
            return LOCAL_DELAY_MS / 1000
        conditions, rng = self.conditions, self.rng
        drawn = rng.random()
        if conditions.spike_probability and drawn < conditions.spike_probability:
            low, high = conditions.spike_ms
            drawn = rng.random()
        else:
            low, high = conditions.delay_ms
        return (low + (high - low) * drawn) / 1000

    def draw(self, interval: tuple[float, float]) -> float:
        """Seconds, from a range in milliseconds."""
        low, high = interval
        return (low + (high - low) * self.rng.random()) / 1000

    # Blocked ways.

    def blocked(self, source: str, target: str) -> bool:
        """Nothing gets through this way now."""
        return bool(self._blocks) and (source, target) in self._blocks

    def unreachable(self, client: str, server: str) -> bool:
        """A question would get no answer."""
        return (
            self.blocked(client, server)
            or self.blocked(server, client)
            or client in self._paused
            or server in self._paused
        )

    def block(self, source: str, target: str) -> None:
        """Let nothing through one way, until `unblock` was called as often."""
        way = (source, target)
        if source == target:
            return
        self._blocks[way] = self._blocks.get(way, 0) + 1
        if self._blocks[way] == 1:
            self._epochs[way] = self._epochs.get(way, 0) + 1
            for connection in list(self.connections.values()):
                if way in {
                    (connection.client.host, connection.server.host),
                    (connection.server.host, connection.client.host),
                }:
                    self._watch_block(connection, way)

    def unblock(self, source: str, target: str) -> None:
        """Take one `block` back."""
        way = (source, target)
        count = self._blocks.get(way, 0)
        if count > 1:
            self._blocks[way] = count - 1
        elif count == 1:
            del self._blocks[way]
            for pipe in self._stalled.pop(way, []):
                delay = self.draw(self.conditions.retransmit_ms)
                self.scheduler.call_later(delay, pipe.retransmit)

    def unblock_all(self) -> None:
        """Heal every way."""
        for source, target in list(self._blocks):
            self._blocks[(source, target)] = 1
            self.unblock(source, target)

    def stall(self, pipe: Pipe) -> None:
        """Something waits for the way to open."""
        self._stalled.setdefault((pipe.source, pipe.target), []).append(pipe)

    def _watch_block(self, connection: Connection, way: tuple[str, str]) -> None:
        epoch = self._epochs[way]

        def still() -> bool:
            return way in self._blocks and self._epochs[way] == epoch

        self._watch(connection, still)

    def _watch(self, connection: Connection, still: Callable[[], bool]) -> None:
        """Each side gives the connection up when the silence lasts longer than its keepalive."""
        for at_client in (True, False):

            def check(at_client: bool = at_client) -> None:
                if still():
                    connection.break_side(at_client, "keepalive timed out")

            self.scheduler.call_later(self.draw(self.conditions.keepalive_ms), check)

    # Pauses and crashes of hosts.

    def pause(self, host: str) -> None:
        """The host's process answers nothing."""
        self._pauses += 1
        self._paused[host] = number = self._pauses
        for connection in list(self.connections.values()):
            if host in {connection.client.host, connection.server.host}:
                self._watch(connection, lambda: self._paused.get(host) == number)

    def resume(self, host: str) -> None:
        """It answers again."""
        self._paused.pop(host, None)

    def process_gone(self, process: SimNetwork, *, power_cut: bool) -> None:
        """A process died. Killed: its kernel resets the connections; a power cut: silence."""
        process.die()
        if self.processes.get(process.host) is process:
            del self.processes[process.host]
        self._paused.pop(process.host, None)
        for connection in list(self.connections.values()):
            for at_client in (True, False):
                mine = connection.client if at_client else connection.server
                if mine is process:
                    connection.side_gone(at_client, silent=power_cut)

    def process_began(self, process: SimNetwork) -> None:
        """A new process runs on a host: its kernel resets what the one before it left behind, as
        soon as the other side's retransmission gets there."""
        self.processes[process.host] = process
        for connection in list(self.connections.values()):
            if not connection.unanswered:
                continue
            if connection.server_gone and connection.server.host == process.host:
                connection.answer_for_the_dead(at_client=True, within_ms=RETRANSMISSION_MS)
            if connection.client_gone and connection.client.host == process.host:
                connection.answer_for_the_dead(at_client=False, within_ms=RETRANSMISSION_MS)

    def next_connection_id(self) -> int:
        """Unique in this run."""
        self._connection_ids += 1
        return self._connection_ids
