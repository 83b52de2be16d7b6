"""One stream to a leader: which answers belong to which request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import cast

from streamlog.client.connections.backoff import Backoff
from streamlog.client.connections.connection import Connection
from streamlog.client.consume.fetch_stream import (
    FetchCall,
    FetchPolicy,
    FetchStream,
    PartitionFetch,
)
from streamlog.client.errors import ClientError
from streamlog.v1.log_service_pb2 import FetchRequest, FetchResponse


class Wire:
    """A connection and the only stream on it."""

    address = "node1:1"

    def __init__(self) -> None:
        self.sent: asyncio.Queue[FetchRequest] = asyncio.Queue()
        self.coming: asyncio.Queue[FetchResponse] = asyncio.Queue()

    async def stream(self, _: str) -> Wire:
        return self

    def forget_handshake(self) -> None:
        pass

    async def send(self, message: bytes) -> None:
        self.sent.put_nowait(FetchRequest.FromString(message))

    async def receive(self) -> bytes | None:
        return (await self.coming.get()).SerializeToString()

    def cancel(self) -> None:
        pass


class Owner:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[tuple[PartitionFetch, int]] = asyncio.Queue()

    def on_response(
        self, call: FetchCall, state: PartitionFetch, response: FetchResponse, size_bytes: int
    ) -> None:
        self.taken.put_nowait((state, response.next_offset))

    def on_stream_lost(self, states: Sequence[PartitionFetch], error: ClientError) -> None:
        raise AssertionError(error)

    def on_defect(self, error: BaseException) -> None:
        raise AssertionError(error)


def fetched_from(offset: int) -> PartitionFetch:
    state = PartitionFetch("events", 1, 0, Backoff(1, 1, random.Random(1)))
    state.fetch_offset = offset
    return state


async def test_an_answer_to_a_partition_that_came_back_is_not_taken_for_a_new_one() -> None:
    """A partition is taken away and given anew at another position while an answer is on its way:
    that answer is of the position before, and would skip records."""
    wire, owner = Wire(), Owner()
    policy = FetchPolicy(response_bytes=1, credit_bytes=100, min_bytes=0, max_wait_ms=0)
    stream = FetchStream(cast("Connection", wire), owner, policy)
    before, after = fetched_from(100), fetched_from(61)
    stream.add(before)
    asked = (await wire.sent.get()).partitions[0]
    stream.remove(before)
    stream.add(after)
    again = (await wire.sent.get()).partitions[0]
    assert again.offset == 61
    assert again.session_epoch > asked.session_epoch
    for epoch, next_offset in ((asked.session_epoch, 113), (again.session_epoch, 70)):
        wire.coming.put_nowait(
            FetchResponse(topic_id=1, partition=0, session_epoch=epoch, next_offset=next_offset)
        )
    assert await owner.taken.get() == (after, 70)
    await stream.close()
