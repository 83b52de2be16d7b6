"""A member of a consumer group as applications make one: the client library's Consumer, and a handler.

It reads in every way that the library has, works on records for a while, and writes down what it
was handed and what it is through with. What is checked here is what the library promises for
itself: it hands out nothing of a partition that it has given up or lost, and nothing while its
session may have run out, not even when the process stood still in the middle of a batch.

Invariant: `_through` is where the application is in each partition that it was handed records of,
under the grant of that time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jepsen_like.sim.clients.group_member import PATTERN, TOPIC, Temper
from jepsen_like.sim.clients.group_tap import GroupTap, Part
from jepsen_like.sim.clients.recorder import name_of
from streamlog.client.consume.consumer import Consumer
from streamlog.client.errors import ClientDefect, ClientError
from streamlog.client.records import ConsumerRecord
from streamlog.client.transport import Environment
from streamlog.model.errors import Reason

POLL_MS: Final = 200
WORK_S: Final = 0.02
"""On a handful of records, at most."""
AGAIN_S: Final = 0.2
"""After an error."""
CLOCK_SLACK_MS: Final = 1.0


@dataclass(slots=True)
class _Through:
    member: str
    grant: int
    start: int
    """It is through with what lies below, and has not told so yet of what it has in hand."""
    end: int


class LibraryMember:
    """`group_member.GroupMember`."""

    def __init__(
        self,
        temper: Temper,
        bootstrap: str,
        environment: Environment,
        tap: GroupTap,
        rng: random.Random,
    ) -> None:
        self.going = False
        self.hung_until_ms = float("-inf")
        self.defects: list[str] = []
        self._temper, self._bootstrap, self._environment = temper, bootstrap, environment
        self._tap, self._rng = tap, rng
        self._by_pattern = bool(temper.pattern)
        self._subscribe_due = False
        self._in_hand: dict[int, _Through] = {}
        self._positions: dict[tuple[str, int, int], int] = {}
        """By member id, partition and grant."""

    @property
    def member_id(self) -> str:
        """As it joined last."""
        part = self._tap.part
        return "" if part is None else part.member_id

    def change_subscription(self) -> None:
        """See GroupMember."""
        self._by_pattern = not self._by_pattern
        self._subscribe_due = True

    async def run(self) -> None:
        """One consumer after the other, until it is told to go."""
        while not self.going:
            try:
                async with self._consumer() as consumer:
                    await self._consume(consumer)
                    self._in_hand_is_done()
            except ClientError as error:
                self._look_at(error)
                await asyncio.sleep(AGAIN_S)

    def _consumer(self) -> Consumer:
        temper, rng = self._temper, self._rng
        self._subscribe_due = False
        self._automatic = rng.random() < 0.6
        self._way = rng.choice(["many", "many", "one", "iterate"])
        return Consumer(
            self._bootstrap,
            group=temper.group,
            topics=() if self._by_pattern else (TOPIC,),
            pattern=PATTERN if self._by_pattern else "",
            instance_id=temper.instance_id,
            assignor=temper.assignor,
            session_timeout_ms=temper.session_ms,
            rebalance_timeout_ms=temper.rebalance_ms,
            auto_commit_ms=rng.choice([100, 500]) if self._automatic else None,
            max_wait_ms=POLL_MS,
            environment=self._environment,
        )

    async def _consume(self, consumer: Consumer) -> None:
        """Until it is told to go, or the consumer is of no use any more."""
        while not self.going:
            try:
                if self._subscribe_due:
                    self._subscribe_due = False
                    await consumer.subscribe(
                        topics=[] if self._by_pattern else [TOPIC],
                        pattern=PATTERN if self._by_pattern else "",
                    )
                await self._read(consumer)
                if not self._automatic:
                    await self._commit(consumer)
            except ClientError as error:
                self._look_at(error)
                if error.fatal or not error.retriable:
                    return
                await asyncio.sleep(AGAIN_S)

    async def _read(self, consumer: Consumer) -> None:
        """A handful of records, in one of the ways there are."""
        rng = self._rng
        self._in_hand_is_done()
        if self._way == "many":
            polled = await consumer.getmany(
                max_records=rng.choice([1, 10, 1_000]), timeout_ms=POLL_MS
            )
            for pair, records in polled.items():
                self._handed(pair.partition, records)
        elif self._way == "one":
            record = await consumer.getone(timeout_ms=POLL_MS)
            if record is not None:
                self._handed(record.partition, [record])
        else:
            taken = rng.choice([1, 10, 50])
            records_of_one = await consumer.next_records(timeout_ms=POLL_MS)
            for record in records_of_one or ():
                self._in_hand_is_done()
                self._handed(record.partition, [record])
                taken -= 1
                if taken <= 0:
                    break
            else:
                self._in_hand_is_done()  # who asks for one more is through with the last one
        await self._work()

    async def _work(self) -> None:
        """Be about what is in hand."""
        await asyncio.sleep(WORK_S * self._rng.random())
        while (left_ms := self.hung_until_ms - self._now_ms()) > 0:
            await asyncio.sleep(left_ms / 1000)

    async def _commit(self, consumer: Consumer) -> None:
        """What is through, now or by and by; what is in hand only after it was worked on."""
        chance = self._rng.random()
        if chance < 0.3:
            self._in_hand_is_done()
            await consumer.commit()
        elif chance < 0.6:
            self._in_hand_is_done()
            consumer.commit_nowait()

    # What is written down.

    def _handed(self, number: int, records: Sequence[ConsumerRecord]) -> None:
        tap, part = self._tap, self._tap.part
        assert part is not None
        got = tuple((record.offset, name_of(record.value)) for record in records)
        grant = part.held.get(number, part.revoking.get(number, 0))
        tap.recorder.happened(
            tap.process,
            "poll",
            number,
            records=got,
            group=part.group,
            member=part.member_id,
            grant=grant,
        )
        self._judge(part, number, grant)
        known = self._positions.get((part.member_id, number, grant))
        start = part.starts.get(number, 0) if known is None else known
        self._in_hand[number] = _Through(part.member_id, grant, start, got[-1][0] + 1)

    def _judge(self, part: Part, number: int, grant: int) -> None:
        who = f"{self._tap.process} ({part.member_id})"
        if not grant:
            self.defects.append(f"{who} handed out records of {number}, which it does not own")
        unconfirmed_ms = part.unconfirmed_ms(self._now_ms())
        if unconfirmed_ms > part.session_timeout_ms + CLOCK_SLACK_MS:
            self.defects.append(
                f"{who} handed out records of {number} when nothing had confirmed its session for"
                f" {unconfirmed_ms:.0f} of {part.session_timeout_ms} ms"
            )

    def _in_hand_is_done(self) -> None:
        in_hand, self._in_hand = self._in_hand, {}
        for number, through in in_hand.items():
            self._positions[through.member, number, through.grant] = through.end
            self._tap.recorder.happened(
                self._tap.process,
                "done",
                number,
                offset=through.start,
                end=through.end,
                group=self._temper.group,
                member=through.member,
                grant=through.grant,
            )

    def _look_at(self, error: ClientError) -> None:
        if isinstance(error, ClientDefect) or error.reason == Reason.INTERNAL_ERROR.name:
            self.defects.append(f"{self._tap.process} was told: {error!r}")

    def _now_ms(self) -> float:
        return self._environment.clock.monotonic_ms()
