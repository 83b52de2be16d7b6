"""Clients that work under faults: producers, consumers, and the drain at the end.

They are processes of their own, each with its loop and its host, and use the client library as
applications do. They never crash: their history is the evidence.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from jepsen_like.checkers.history import Operation
from jepsen_like.sim.clients.client_adapter import client_environment
from jepsen_like.sim.clients.recorder import Recorder, make_value, name_of
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from streamlog.client.consume.consumer import Consumer
from streamlog.client.errors import ClientError, NotReady
from streamlog.client.operate.admin import Admin
from streamlog.client.produce.partition_queue import RecordMetadata
from streamlog.client.produce.producer import Producer
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Environment
from streamlog.model.errors import Reason

TOPIC: Final = "events"
ADMIN_PATIENCE_MS: Final = 60_000.0
POLL_MS: Final = 200
SMALL_BYTES: Final = 60
LARGE_BYTES: Final = (5_000, 40_000)
LARGE_PROBABILITY: Final = 0.02
PROBE_PAUSE_S: Final = 0.1
KEEP_EVERYTHING: Final = -1


@dataclass(slots=True)
class Client:
    """A client process."""

    name: str
    loop: SimLoop
    environment: Environment


@dataclass(slots=True)
class Workload:
    """All clients of a simulation."""

    scheduler: Scheduler
    fabric: Fabric
    trace: Trace
    options: SimOptions
    addresses: list[str]
    recorder: Recorder
    loops: list[SimLoop] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    """Answers that only a defect of a node explains."""
    working: bool = True
    """False: consumers end."""

    def client(self, name: str) -> Client:
        """A new client process."""
        loop = self.scheduler.new_loop(name)
        self.loops.append(loop)
        network = SimNetwork(self.fabric, name, loop)
        rng = self.scheduler.random(name)
        return Client(name, loop, client_environment(network, SimClock(loop), rng))

    def create_topic(self) -> asyncio.Task[None]:
        """Make the topic, as soon as the cluster can."""
        client = self.client("admin")
        return client.loop.create_task(self._create_topic(client))

    def start_producers(self) -> list[asyncio.Task[None]]:
        """They end when they have sent what they have to send."""
        rng = self.scheduler.random("producers")
        tasks = []
        for number in range(self.options.producers):
            idempotent = number == 0 or rng.random() < 0.6
            name = f"{'sure' if idempotent else 'plain'}{number}"
            client = self.client(name)
            work = self._produce(client, idempotent=idempotent)
            tasks.append(client.loop.create_task(work))
        return tasks

    def start_consumers(self) -> list[asyncio.Task[None]]:
        """They end when `working` is False."""
        tasks = []
        for number in range(self.options.consumers):
            client = self.client(f"consumer{number}")
            tasks.append(client.loop.create_task(self._consume(client)))
        return tasks

    def probe(self) -> asyncio.Task[None]:
        """Have the metadata decide something and a record taken by every partition, until each was
        acknowledged."""
        client = self.client("probe")
        return client.loop.create_task(self._probe(client))

    def drain(self) -> asyncio.Task[None]:
        """Read every partition from its start to its end."""
        client = self.client("drain")
        return client.loop.create_task(self._drain(client))

    def _bootstrap(self) -> str:
        return ",".join(self.addresses)

    # Administration.

    async def _create_topic(self, client: Client) -> None:
        options = self.options
        sizes = {
            "segment.bytes": options.segment_bytes,
            "retention.bytes": options.retention_bytes,
        }
        deadline_ms = client.environment.clock.monotonic_ms() + ADMIN_PATIENCE_MS
        async with Admin(self._bootstrap(), environment=client.environment) as admin:
            while True:
                try:
                    await admin.create_topic(
                        TOPIC,
                        partitions=self.options.partitions,
                        replication_factor=self.options.replication_factor,
                        config={name: str(size) for name, size in sizes.items() if size},
                    )
                except ClientError as error:
                    if error.reason == Reason.TOPIC_EXISTS.name:
                        break  # a try before this one got through
                    self._look_at(client.name, error)
                    self.trace.add(client.name, f"topic is not created: {error}")
                    if client.environment.clock.monotonic_ms() > deadline_ms:
                        raise
                    await asyncio.sleep(0.1)
                else:
                    break
        self.trace.add(client.name, "topic is created")

    # Producing.

    async def _produce(self, client: Client, *, idempotent: bool) -> None:
        options = self.options
        rng = self.scheduler.random(f"{client.name} load")
        producer = Producer(
            self._bootstrap(),
            linger_ms=rng.choice([0, 2, 20]),
            batch_bytes=rng.choice([500, 4_000, 256 * 1024]),
            compression=rng.choice(["zstd", "none"]),
            max_in_flight=rng.choice([1, 2, 5]),
            delivery_timeout_ms=rng.choice([500, 3_000, 30_000]),
            request_timeout_ms=rng.choice([1_000, 10_000]),
            buffer_bytes=rng.choice([64 * 1024, 64 * 1024 * 1024]),
            idempotence=idempotent,
            environment=client.environment,
        )
        await producer.start()
        numbers = [0] * options.partitions
        pause_s = options.record_pause_ms / 1000
        for _ in range(options.records_per_producer):
            partition_number = rng.randrange(options.partitions)
            number = numbers[partition_number]
            numbers[partition_number] += 1
            large = rng.random() < LARGE_PROBABILITY
            size = rng.randint(*LARGE_BYTES) if large else SMALL_BYTES
            name, value = make_value(client.name, partition_number, number, size)
            invoked = self.recorder.invoke(
                client.name,
                "send",
                partition_number,
                value=name,
                number=number,
                idempotent=idempotent,
            )
            await self._send(producer, invoked, value)
            if rng.random() < 0.5:  # bursts and pauses
                await asyncio.sleep(4 * pause_s * rng.random())
        await producer.close()

    async def _send(self, producer: Producer, invoked: Operation, value: bytes) -> None:
        """Hand one record over; its end is recorded when it is known."""
        while True:
            try:
                producer.send_nowait(
                    TOPIC,
                    value,
                    partition=invoked.partition,
                    on_delivery=partial(self._delivered, invoked),
                )
            except NotReady:
                try:
                    await producer.room()
                except ClientError as error:
                    self._look_at(invoked.process, error)
                    self.recorder.fail(invoked, f"not sent: {error}")
                    return
            except ClientError as error:
                self._look_at(invoked.process, error)
                self.recorder.fail(invoked, f"not sent: {error}")
                return
            else:
                return

    def _delivered(
        self, invoked: Operation, metadata: RecordMetadata | None, error: ClientError | None
    ) -> None:
        if error is None:
            assert metadata is not None
            self.recorder.ok(invoked, offset=metadata.offset)
            return
        self._look_at(invoked.process, error)
        if error.indefinite:
            self.recorder.info(invoked, str(error))
        else:
            self.recorder.fail(invoked, str(error))

    async def _probe(self, client: Client) -> None:
        async with (
            Producer(self._bootstrap(), linger_ms=0, environment=client.environment) as producer,
            Admin(self._bootstrap(), environment=client.environment) as admin,
            asyncio.TaskGroup() as probes,
        ):
            probes.create_task(self._probe_metadata(client, admin))
            for number in range(self.options.partitions):
                probes.create_task(self._probe_partition(client, producer, number))

    async def _probe_partition(
        self, client: Client, producer: Producer, partition_number: int
    ) -> None:
        for number in itertools.count():
            name, value = make_value(client.name, partition_number, number, SMALL_BYTES)
            invoked = self.recorder.invoke(
                client.name, "send", partition_number, value=name, number=number, idempotent=True
            )
            try:
                taken = await producer.send(TOPIC, value, partition=partition_number)
            except ClientError as error:
                self._delivered(invoked, None, error)
                self.trace.add(client.name, f"{partition_number} takes nothing: {error}")
                await asyncio.sleep(PROBE_PAUSE_S)
            else:
                self._delivered(invoked, taken, None)
                return

    async def _probe_metadata(self, client: Client, admin: Admin) -> None:
        """Ask for what is so already: it is decided, and told when a majority is behind it."""
        retention_bytes = self.options.retention_bytes or KEEP_EVERYTHING
        while True:
            try:
                await admin.alter_topic(TOPIC, config={"retention.bytes": str(retention_bytes)})
            except ClientError as error:
                self._look_at(client.name, error)
                self.trace.add(client.name, f"the metadata decides nothing: {error}")
                await asyncio.sleep(PROBE_PAUSE_S)
            else:
                return

    # Consuming.

    async def _consume(self, client: Client) -> None:
        rng = self.scheduler.random(f"{client.name} load")
        pairs = [(TOPIC, number) for number in range(self.options.partitions)]
        consumer = Consumer(
            self._bootstrap(), below_start="earliest", environment=client.environment
        )
        async with consumer:
            consumer.assign(pairs, start="earliest")
            for number in range(self.options.partitions):
                self._assigned(client.name, number, 0)
            positions = dict.fromkeys(range(self.options.partitions), 0)
            while self.working:
                try:
                    polled = await consumer.getmany(
                        max_records=rng.choice([1, 10, 1_000]), timeout_ms=POLL_MS
                    )
                except ClientError as error:
                    self._look_at(client.name, error)
                    self.trace.add(client.name, f"poll failed: {error}")
                    await asyncio.sleep(0.1)
                    continue
                for pair, records in polled.items():
                    invoked = self.recorder.invoke(client.name, "poll", pair.partition)
                    got = tuple((record.offset, name_of(record.value)) for record in records)
                    self.recorder.ok(invoked, records=got)
                    positions[pair.partition] = got[-1][0] + 1
                if rng.random() < 0.05:
                    number = rng.randrange(self.options.partitions)
                    offset = rng.randint(0, positions[number])
                    await consumer.seek((TOPIC, number), offset)
                    self._assigned(client.name, number, offset)
                await asyncio.sleep(0.05 * rng.random())

    def _assigned(self, process: str, number: int, offset: int) -> None:
        invoked = self.recorder.invoke(process, "assign", number)
        self.recorder.ok(invoked, offset=offset)

    async def _drain(self, client: Client) -> None:
        pairs = [TopicPartition(TOPIC, number) for number in range(self.options.partitions)]
        got: dict[int, list[tuple[int, str]]] = {n: [] for n in range(self.options.partitions)}
        invoked = [self.recorder.invoke(client.name, "drain", n) for _, n in pairs]
        async with Consumer(
            self._bootstrap(), below_start="earliest", environment=client.environment
        ) as consumer:
            consumer.assign(pairs, start="earliest")
            ends = await consumer.end_offsets(pairs)
            waiting = [pair for pair in pairs if ends[pair] > 0]
            while waiting:
                polled = await consumer.getmany(max_records=10_000, timeout_ms=POLL_MS)
                for where, records in polled.items():
                    got[where.partition].extend((r.offset, name_of(r.value)) for r in records)
                waiting = [p for p in waiting if await consumer.position(p) < ends[p]]
            starts = await consumer.beginning_offsets(pairs)
        for operation, pair in zip(invoked, pairs, strict=True):
            drained = tuple(got[operation.partition])
            self.recorder.ok(operation, offset=starts[pair], records=drained)

    def _look_at(self, who: str, error: ClientError) -> None:
        """Keep what no fault explains."""
        if error.reason == Reason.INTERNAL_ERROR.name:
            self.defects.append(f"{who} was told: {error}")
