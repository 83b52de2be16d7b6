"""Consumers of a group at three whole nodes, in virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from jepsen_like.sim.clients.client_adapter import client_environment
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.network import SimNetwork
from streamlog.client import Admin, ClientClosed, Consumer, ConsumerRecord, Producer, TopicPartition
from streamlog.client.transport import Environment
from tests.fakes.group_world import GROUP, SESSION_MS, GroupWorld, new_world


class Reader:
    """A consumer in a process of its own, with a task that reads, and a diary of its callbacks."""

    def __init__(self, world: ConsumerWorld, name: str, **options: Any) -> None:
        self.world, self.name = world, name
        self.loop: SimLoop = world.scheduler.new_loop(name)
        world.more_loops.append(self.loop)
        self.diary: list[tuple[str, list[int]]] = []
        self.records: list[ConsumerRecord] = []
        self.failures: list[BaseException] = []
        settings: dict[str, Any] = {
            "group": GROUP,
            "topics": ["orders"],
            "session_timeout_ms": SESSION_MS,
            "rebalance_timeout_ms": 20_000,
            "on_assigned": lambda pairs: self.note("assigned", pairs),
            "on_revoked": lambda pairs: self.note("revoked", pairs),
            "on_lost": lambda pairs: self.note("lost", pairs),
            **options,
        }
        self.consumer: Consumer = self.complete(self._make(settings))

    async def _make(self, settings: dict[str, Any]) -> Consumer:
        consumer = Consumer(
            self.world.bootstrap, environment=self.world.environment(self.loop), **settings
        )
        return await consumer.__aenter__()

    def note(self, what: str, pairs: list[TopicPartition]) -> None:
        self.diary.append((what, sorted(pair.partition for pair in pairs)))

    def complete(self, work: Any) -> Any:
        """The result of a call, in this process."""
        return self.world.scheduler.complete(self.loop.create_task(work), 120.0)

    @property
    def owned(self) -> list[int]:
        return sorted(pair.partition for pair in self.consumer.membership.assigned)

    def wait_for(self, *partitions: int) -> None:
        """Until it owns exactly these."""
        self.world.wait(lambda: self.owned == list(partitions))

    def get(self, count: int, *, timeout_ms: float = 60_000) -> list[ConsumerRecord]:
        """So many records, one by one; fewer when none came within the timeout."""

        async def work() -> list[ConsumerRecord]:
            found = [await self.consumer.getone(timeout_ms=timeout_ms) for _ in range(count)]
            return [record for record in found if record is not None]

        return self.complete(work())  # type: ignore[no-any-return]

    def get_together(self, count: int) -> list[ConsumerRecord]:
        """So many records, by one call, once they are there: all of them are in hand then."""
        self.world.run(1)
        found = self.complete(self.consumer.getmany(max_records=count))
        records = [record for some in found.values() for record in some]
        assert len(records) == count
        return records

    def start_reading(self) -> None:
        """Read and keep what comes, until the consumer is closed."""

        async def work() -> None:
            try:
                async for record in self.consumer:
                    self.records.append(record)
            except ClientClosed:
                pass
            except Exception as error:
                self.failures.append(error)

        self.task = self.loop.create_task(work())

    async def iterate(self) -> AsyncIterator[ConsumerRecord]:
        async for record in self.consumer:
            yield record

    async def one_by_one(self) -> AsyncIterator[ConsumerRecord]:
        while True:
            record = await self.consumer.getone()
            assert record is not None
            yield record

    async def resume(self, pair: TopicPartition) -> None:
        self.consumer.resume(pair)

    def lag_of(self) -> dict[int, int]:
        """By partition."""

        async def work() -> dict[int, int]:
            return {pair.partition: lag for pair, lag in self.consumer.lag().items()}

        return self.complete(work())  # type: ignore[no-any-return]

    def committed_after_close(self) -> dict[int, int]:
        """As somebody else sees it."""
        return Reader(self.world, f"{self.name}-after", topics=[]).committed()

    def committed(self) -> dict[int, int]:
        """Offsets of the group, by partition of the topic `orders`."""
        pairs = [TopicPartition("orders", number) for number in range(4)]
        found = self.complete(self.consumer.committed(pairs))
        return {pair.partition: at.offset for pair, at in found.items() if at is not None}

    def close(self, **options: Any) -> None:
        self.complete(self.consumer.close(**options))


class ConsumerWorld(GroupWorld):
    """With clients of the library."""

    @property
    def bootstrap(self) -> str:
        return ",".join(node.address for node in self.cluster.nodes.values())

    def environment(self, loop: SimLoop) -> Environment:
        self.clients = getattr(self, "clients", 0) + 1
        network = SimNetwork(self.fabric, f"client-{self.clients}", loop)
        return client_environment(network, SimClock(loop), random.Random(self.clients))

    def fill(self, topic: str, values: dict[int, list[bytes]]) -> None:
        """Store records, by partition."""

        async def work() -> None:
            async with Producer(
                self.bootstrap, environment=self.environment(self.loop)
            ) as producer:
                for partition, stored in values.items():
                    for value in stored:
                        await producer.send(topic, value, partition=partition)

        self.complete(work())

    def trim(self, topic: str, partition: int, offset: int) -> None:
        """Let go what is below the offset."""

        async def work() -> None:
            async with Admin(self.bootstrap, environment=self.environment(self.loop)) as admin:
                await admin.trim({(topic, partition): offset})

        self.complete(work())


@contextmanager
def new_consumer_world(**settings: Any) -> Iterator[ConsumerWorld]:
    """With a topic `orders` of 4 partitions."""
    with new_world(ConsumerWorld, **settings) as world:
        yield world
