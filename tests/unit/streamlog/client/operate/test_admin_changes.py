"""Changes of metadata whose outcome is unknown are told to the caller, never made a second time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from streamlog.client import Admin, ClientError
from streamlog.client.transport import (
    Channel,
    ClientStream,
    Environment,
    TransportError,
)
from streamlog.v1 import admin_service_pb2 as pb
from tests.fakes.fake_nodes import UNAVAILABLE, Clock, FakeCluster


@dataclass
class LosesAnswers:
    """Passes calls on to fake nodes, counts those that administer, and loses their answers."""

    cluster: FakeCluster
    lost_answers: int
    calls: list[str] = field(default_factory=list)

    def connect(self, address: str) -> Channel:
        return LossyChannel(self, self.cluster.connect(address))


@dataclass
class LossyChannel:
    """To one node."""

    network: LosesAnswers
    inner: Channel

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        if "AdminService" not in method:
            return await self.inner.unary(method, request, timeout_ms)
        self.network.calls.append(method.rpartition("/")[2])
        if len(self.network.calls) <= self.network.lost_answers:
            raise TransportError(UNAVAILABLE, "the connection broke")
        return pb.AlterTopicResponse(config={"retention.ms": "5"}).SerializeToString()

    def stream(self, method: str) -> ClientStream:
        return self.inner.stream(method)

    async def close(self) -> None:
        await self.inner.close()


def admin(network: LosesAnswers) -> Admin:
    return Admin("one:1,two:1", environment=Environment(network, Clock(), random.Random(1)))


async def test_a_change_of_settings_is_made_once() -> None:
    """Its answer got lost; the same call at another node might undo what somebody did since."""
    network = LosesAnswers(FakeCluster("one:1", "two:1"), lost_answers=1)
    async with admin(network) as client:
        with pytest.raises(ClientError) as caught:
            await client.alter_topic("t", config={"retention.ms": "5"})
    assert caught.value.indefinite
    assert network.calls == ["AlterTopic"]


async def test_a_question_is_asked_again() -> None:
    """What is validated only changes nothing, however often."""
    network = LosesAnswers(FakeCluster("one:1", "two:1"), lost_answers=1)
    async with admin(network) as client:
        told = await client.alter_topic("t", config={"retention.ms": "5"}, validate_only=True)
    assert told == {"retention.ms": "5"}
    assert network.calls == ["AlterTopic", "AlterTopic"]
