"""Clients that contend for the end of one partition under faults: is what they were told linearizable?

Each appends single records where it thinks that the log ends (`expected_end_offset`); a refusal tells
it better. Now and then one goes without a condition, or asks for the end. They have a topic of their
own, because others' appends would fail nearly every condition, and a history of their own, which is
judged by the search of `jepsen_like/linearizability` when all is over.

The search takes no virtual time, and changes nothing of the run. Its time is bounded; where it comes
to no verdict, or can not be built (it is in Go), the outcome says so in its counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from jepsen_like.linearizability.operations import appends, to_json_lines
from jepsen_like.linearizability.search import GoMissing, SearchFailed, ready, search
from jepsen_like.sim.clients.client_adapter import client_environment
from jepsen_like.sim.clients.recorder import Recorder
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from streamlog.client.consume.consumer import Consumer
from streamlog.client.errors import ClientError, ConditionFailed
from streamlog.client.operate.admin import Admin
from streamlog.client.produce.producer import Producer
from streamlog.client.transport import Environment
from streamlog.model.errors import Reason

TOPIC: Final = "contended"
APPENDS_MAX: Final = 40
"""Of each appender: what the search copes with in milliseconds."""
BURST: Final = 5
"""Operations in quick succession, so that those of two appenders overlap."""
SEARCH_SECONDS_MAX: Final = 5.0
RETRY_S: Final = 0.1
POLL_MS: Final = 200


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the search says of the appends of a run."""

    operations: int = 0
    violations: tuple[str, ...] = ()
    unknown: int = 0
    """1: no verdict in time, or no search."""


class Contention:
    """The appenders of one simulation."""

    def __init__(
        self,
        scheduler: Scheduler,
        fabric: Fabric,
        options: SimOptions,
        addresses: list[str],
    ) -> None:
        self._scheduler, self._fabric, self._options = scheduler, fabric, options
        self._bootstrap = ",".join(addresses)
        self.recorder = Recorder(scheduler)
        """Of their own history."""
        self._working = True
        self._created = False
        self.loops: list[SimLoop] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.defects: list[str] = []
        """Answers that only a defect of a node explains."""

    def start(self) -> None:
        """Begin to append, as soon as the topic can be made."""
        for number in range(self._options.appenders):
            name = f"appender{number}"
            loop, environment = self._client(name)
            self.tasks.append(loop.create_task(self._append(name, environment)))

    def calm(self) -> None:
        """Appenders end."""
        self._working = False

    def drain(self) -> asyncio.Task[None] | None:
        """Read all that is there; None when there is no topic."""
        if not self._created:
            return None
        loop, environment = self._client("contended drain")
        return loop.create_task(self._drain(environment))

    def judge(self) -> Judgement:
        """Look for an order of the operations that explains what everybody was told."""
        operations = appends(self.recorder.history)
        if not operations:
            return Judgement()
        try:
            verdicts = search(ready(), "append", to_json_lines(operations), SEARCH_SECONDS_MAX)
        except (GoMissing, SearchFailed):
            return Judgement(len(operations), unknown=1)
        return Judgement(
            len(operations),
            tuple(f"not linearizable: {v}" for v in verdicts if v.result == "violated"),
            unknown=int(any(v.result == "unknown" for v in verdicts)),
        )

    def _client(self, name: str) -> tuple[SimLoop, Environment]:
        loop = self._scheduler.new_loop(name)
        self.loops.append(loop)
        network = SimNetwork(self._fabric, name, loop)
        rng = self._scheduler.random(name)
        return loop, client_environment(network, SimClock(loop), rng)

    async def _create(self, environment: Environment) -> None:
        async with Admin(self._bootstrap, environment=environment) as admin:
            while self._working and not self._created:
                try:
                    await admin.create_topic(
                        TOPIC,
                        partitions=1,
                        replication_factor=self._options.replication_factor,
                    )
                except ClientError as error:
                    self._look_at(error)
                    if error.reason != Reason.TOPIC_EXISTS.name:
                        await asyncio.sleep(RETRY_S)
                        continue
                self._created = True

    async def _append(self, name: str, environment: Environment) -> None:
        await self._create(environment)
        options, rng = self._options, self._scheduler.random(f"{name} load")
        count = min(APPENDS_MAX, options.records_per_producer)
        pause_s = options.load_ms / 1_000 / (count / BURST)
        producer = Producer(
            self._bootstrap,
            linger_ms=0,
            delivery_timeout_ms=rng.choice([300, 5_000]),
            request_timeout_ms=1_000,
            environment=environment,
        )
        end = 0
        async with producer, Admin(self._bootstrap, environment=environment) as admin:
            for number in range(count):
                if not self._working:
                    return
                if rng.random() < 0.1:
                    await self._ask_end(name, admin)
                expected = None if rng.random() < 0.1 else end
                end = await self._append_one(producer, f"{name}-{number}", expected, end)
                if number % BURST == BURST - 1:
                    await asyncio.sleep(2 * pause_s * rng.random())

    async def _append_one(
        self, producer: Producer, value: str, expected: int | None, end: int
    ) -> int:
        """Append; returns where the log is thought to end."""
        sent = self.recorder.invoke(
            value.rpartition("-")[0],
            "send",
            0,
            value=value,
            idempotent=True,
            expected=-1 if expected is None else expected,
        )
        try:
            stored = await producer.append_batch(
                TOPIC, 0, [value.encode()], expected_end_offset=expected
            )
        except ClientError as error:
            self._look_at(error)
            met = int(error.metadata["end_offset"]) if isinstance(error, ConditionFailed) else -1
            if error.indefinite:  # Even a refusal: an earlier attempt may have been stored.
                self.recorder.info(sent, str(error))
            else:
                self.recorder.fail(sent, str(error), end=met)
            return end if met < 0 else met
        self.recorder.ok(sent, offset=stored.offset)
        return stored.offset + 1

    async def _ask_end(self, name: str, admin: Admin) -> None:
        asked = self.recorder.invoke(name, "end", 0)
        try:
            found = await admin.list_offsets([(TOPIC, 0)], "latest")
        except ClientError as error:
            self._look_at(error)
            self.recorder.info(asked, str(error))
        else:
            (told,) = found.values()
            self.recorder.ok(asked, end=told.offset)

    async def _drain(self, environment: Environment) -> None:
        pair = (TOPIC, 0)
        invoked = self.recorder.invoke("drain", "drain", 0)
        got: list[tuple[int, str]] = []
        async with Consumer(self._bootstrap, environment=environment) as consumer:
            consumer.assign([pair], start="earliest")
            (end,) = (await consumer.end_offsets([pair])).values()
            while await consumer.position(pair) < end:
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    got.extend((r.offset, (r.value or b"").decode()) for r in records)
        self.recorder.ok(invoked, records=tuple(got), end=end)

    def _look_at(self, error: ClientError) -> None:
        """Keep what no fault explains."""
        if error.reason == Reason.INTERNAL_ERROR.name:
            self.defects.append(f"an appender was told: {error}")
