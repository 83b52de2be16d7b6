"""Calls of GroupService as bytes, without the client library: finds the coordinator and asks it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final, TypeVar

from google.protobuf.message import Message

from streamlog.client.errors import ClientError, ConnectionLost, from_transport
from streamlog.client.transport import Channel, Environment, TransportError
from streamlog.v1 import group_service_pb2 as pb

SERVICE: Final = "/streamlog.v1.GroupService/"
CALL_MS: Final = 3_000.0
PAUSE_S: Final = (0.02, 0.2)
"""Between two tries."""

AnswerT = TypeVar("AnswerT", bound=Message)


class CoordinatorCalls:
    """The nodes, as one process without a client library sees them."""

    def __init__(
        self, environment: Environment, addresses: Sequence[str], rng: random.Random
    ) -> None:
        self._environment, self._addresses, self._rng = environment, addresses, rng
        self._channels: dict[str, Channel] = {}

    async def find(self, group: str) -> Channel:
        """A channel to the coordinator, as some node knows it. Raises ClientError."""
        address = self._rng.choice(self._addresses)
        found = await self._ask(
            address,
            "FindCoordinator",
            pb.FindCoordinatorRequest(group=group),
            pb.FindCoordinatorResponse,
        )
        if not found.leader_address:
            raise ConnectionLost(f"{address} knows no coordinator of {group}", retriable=True)
        return self._channel(found.leader_address)

    async def call(
        self,
        group: str,
        method: str,
        request: Message,
        answer: type[AnswerT],
        patience_ms: float,
        *,
        again: bool = False,
    ) -> AnswerT:
        """Ask the coordinator until it answers; what may have taken effect is asked again only
        where `again` says that it does no harm.

        Raises ClientError: the refusal, or the last failure.
        """
        clock = self._environment.clock
        deadline_ms = clock.monotonic_ms() + patience_ms
        while True:
            try:
                channel = await self.find(group)
            except ClientError as error:
                if not error.retriable or clock.monotonic_ms() > deadline_ms:
                    error.indefinite = False  # the coordinator was not asked
                    raise
            else:
                try:
                    data = await channel.unary(SERVICE + method, _encoded(request), CALL_MS)
                except TransportError as failure:
                    told = from_transport(failure, "the coordinator")
                    late = clock.monotonic_ms() > deadline_ms
                    if (told.indefinite and not again) or not told.retriable or late:
                        raise told from None
                else:
                    return answer.FromString(data)
            await self.pause()

    async def pause(self) -> None:
        """A little while."""
        low, high = PAUSE_S
        await asyncio.sleep(low + (high - low) * self._rng.random())

    async def _ask(
        self, address: str, method: str, request: Message, answer: type[AnswerT]
    ) -> AnswerT:
        try:
            data = await self._channel(address).unary(SERVICE + method, _encoded(request), CALL_MS)
        except TransportError as failure:
            raise from_transport(failure, address) from None
        return answer.FromString(data)

    def _channel(self, address: str) -> Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._environment.connector.connect(address)
            self._channels[address] = channel
        return channel


def _encoded(request: Message) -> bytes:
    return request.SerializeToString(deterministic=True)
