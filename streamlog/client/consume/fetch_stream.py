"""The Fetch stream to one leader: positions and credit out, batches in.

The node sends what is committed as it commits, within the credit; credit comes back as the
application takes what arrived. So at most `credit_bytes` (and one response) a leader wait here.

Invariant: credit granted on a call minus bytes received on it is what the node may still send;
a response gives its bytes back once, when it is taken or dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from streamlog.client.connections.backoff import Backoff
from streamlog.client.connections.connection import LOG_SERVICE, Connection
from streamlog.client.errors import ClientError, ConnectionLost, from_transport
from streamlog.client.tasks import Tasks
from streamlog.client.transport import ClientStream, TransportError
from streamlog.model.errors import UNAVAILABLE
from streamlog.v1.log_service_pb2 import (
    FetchPartition,
    FetchRemoval,
    FetchRequest,
    FetchResponse,
)

CREDIT_PARTS: Final = 4
"""Credit goes back when a quarter of it was taken, not with every response."""


class FetchPolicy:
    """How much to ask for at once; bytes and milliseconds."""

    def __init__(
        self, *, response_bytes: int, credit_bytes: int, min_bytes: int, max_wait_ms: int
    ) -> None:
        self.response_bytes = response_bytes
        self.credit_bytes = credit_bytes
        self.min_bytes = min_bytes
        self.max_wait_ms = max_wait_ms


class PartitionFetch:
    """Where a partition is read.

    Invariant: no two requests of a stream have the same `session_epoch`, so that an answer to an
    older one is told from those to this one, also when the partition was removed and came back with
    another state; `generation` grows when the application moves
    the position, so that what was fetched before is dropped.
    """

    __slots__ = (
        "backoff",
        "blocked",
        "corrupt_count",
        "fetch_offset",
        "generation",
        "high_watermark",
        "partition",
        "paused",
        "position",
        "session_epoch",
        "stream",
        "topic",
        "topic_id",
    )

    def __init__(self, topic: str, topic_id: int, partition: int, backoff: Backoff) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.partition = partition
        self.backoff = backoff
        self.position: int | None = None
        """Next offset to deliver."""
        self.fetch_offset = 0
        """Next offset to fetch."""
        self.high_watermark: int | None = None
        self.generation = 0
        self.session_epoch = 0
        self.stream: FetchStream | None = None
        self.paused = False
        self.blocked: asyncio.TimerHandle | None = None
        self.corrupt_count = 0


class FetchOwner(Protocol):
    """What a stream tells its owner."""

    def on_response(
        self, call: FetchCall, state: PartitionFetch, response: FetchResponse, size_bytes: int
    ) -> None:
        """Batches, or an error, of a partition that is on this stream."""
        ...

    def on_stream_lost(self, states: Sequence[PartitionFetch], error: ClientError) -> None:
        """These partitions are on no stream any more."""
        ...

    def on_defect(self, error: BaseException) -> None:
        """A task of the stream ended in a way that nobody foresaw."""
        ...


class FetchCall:
    """One call, with the credit that is owed to it."""

    def __init__(self, call: ClientStream, wake: asyncio.Event, credit_bytes: int) -> None:
        self.call = call
        self.lost = False
        self._wake = wake
        self._credit_bytes = credit_bytes
        self._owed_bytes = credit_bytes

    def give_back(self, size_bytes: int) -> None:
        """A response was taken or dropped."""
        self._owed_bytes += size_bytes
        if self._owed_bytes * CREDIT_PARTS >= self._credit_bytes and not self.lost:
            self._wake.set()

    def take_credit(self) -> int:
        """Credit to grant now; 0 while it is too little to be worth a message."""
        if self._owed_bytes * CREDIT_PARTS < self._credit_bytes:
            return 0
        owed, self._owed_bytes = self._owed_bytes, 0
        return owed


class FetchStream:
    """The consumer's way to one leader."""

    def __init__(self, connection: Connection, owner: FetchOwner, policy: FetchPolicy) -> None:
        self.address = connection.address
        self._connection = connection
        self._owner = owner
        self._policy = policy
        self._states: dict[tuple[int, int], PartitionFetch] = {}
        self._added: dict[tuple[int, int], None] = {}
        self._removed: dict[tuple[int, int], None] = {}
        self._session_epochs = 0
        self._wake = asyncio.Event()
        self._call: FetchCall | None = None
        self._tasks = Tasks(owner.on_defect)
        self._tasks.start(self._send_loop())

    def add(self, state: PartitionFetch) -> None:
        """Fetch the partition from its `fetch_offset` on; moves it when it is here already."""
        key = (state.topic_id, state.partition)
        self._session_epochs += 1
        state.session_epoch = self._session_epochs
        state.stream = self
        self._states[key] = state
        self._added[key] = None
        self._removed.pop(key, None)
        self._wake.set()

    def remove(self, state: PartitionFetch) -> None:
        """Fetch the partition no more."""
        key = (state.topic_id, state.partition)
        if self._states.get(key) is state:
            del self._states[key]
            state.stream = None
            self._added.pop(key, None)
            self._removed[key] = None
            self._wake.set()

    async def close(self) -> None:
        """Cancel the call and the tasks."""
        self._tasks.cancel()
        if self._call is not None:
            self._call.call.cancel()
        await self._tasks.close()

    async def _send_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._call is None and not self._states:
                continue
            call = await self._opened()
            if call is None:
                continue
            request = self._request(call)
            if request is None:
                continue
            try:
                await call.call.send(request.SerializeToString())
            except TransportError as error:
                self._lose(call, from_transport(error, self.address))

    async def _opened(self) -> FetchCall | None:
        if self._call is not None:
            return self._call
        try:
            stream = await self._connection.stream(LOG_SERVICE + "Fetch")
        except ClientError as error:
            self._drop_all(error)
            return None
        call = self._call = FetchCall(stream, self._wake, self._policy.credit_bytes)
        self._removed.clear()
        self._added = dict.fromkeys(self._states)
        self._tasks.start(self._receive_loop(call))
        return call

    def _request(self, call: FetchCall) -> FetchRequest | None:
        added, self._added = self._added, {}
        removed, self._removed = self._removed, {}
        credit_bytes = call.take_credit()
        if not (added or removed or credit_bytes):
            return None
        request = FetchRequest(credit_bytes=credit_bytes)
        for topic_id, partition in removed:
            request.removals.append(FetchRemoval(topic_id=topic_id, partition=partition))
        for key in added:
            state = self._states[key]
            request.partitions.append(
                FetchPartition(
                    topic_id=state.topic_id,
                    partition=state.partition,
                    offset=state.fetch_offset,
                    session_epoch=state.session_epoch,
                    max_bytes=self._policy.response_bytes,
                )
            )
        if added:
            request.min_bytes = self._policy.min_bytes
            request.max_wait_ms = self._policy.max_wait_ms
        return request

    async def _receive_loop(self, call: FetchCall) -> None:
        error: ClientError
        try:
            while True:
                message = await call.call.receive()
                if message is None:
                    error = ConnectionLost(
                        f"{self.address} ended the stream", code=UNAVAILABLE, retriable=True
                    )
                    break
                self._take(call, FetchResponse.FromString(message), len(message))
        except TransportError as failure:
            error = from_transport(failure, self.address)
        except DecodeError:
            call.call.cancel()
            error = ConnectionLost(
                f"{self.address} sent bytes that are no FetchResponse",
                code=UNAVAILABLE,
                retriable=True,
            )
        self._lose(call, error)

    def _take(self, call: FetchCall, response: FetchResponse, size_bytes: int) -> None:
        key = (response.topic_id, response.partition)
        state = self._states.get(key)
        if call.lost or state is None or state.session_epoch != response.session_epoch:
            call.give_back(size_bytes)
            return
        if response.HasField("error"):
            del self._states[key]  # the node dropped it
            self._added.pop(key, None)
            state.stream = None
        self._owner.on_response(call, state, response, size_bytes)

    def _lose(self, call: FetchCall, error: ClientError) -> None:
        if call.lost:
            return
        call.lost = True
        if self._call is call:
            self._call = None
        self._connection.forget_handshake()
        self._drop_all(error)

    def _drop_all(self, error: ClientError) -> None:
        states, self._states = list(self._states.values()), {}
        self._added.clear()
        self._removed.clear()
        for state in states:
            state.stream = None
        if states:
            self._owner.on_stream_lost(states, error)
