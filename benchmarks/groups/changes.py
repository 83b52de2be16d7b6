"""A member arrives, leaves cleanly, is killed, is frozen: how long until everybody reads again.

The group has some members in one process, which stay. The one that arrives, leaves or dies is a
process of its own. What is given to somebody gets a record at once; all other partitions get one
now and then, which shows that they were read all the time. In the end one record goes to every
partition: who does not deliver it fails the measurement.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.groups.members import COMMITS_FOR_S, MemberProcess
from benchmarks.groups.reading import Change, Reading

CANARIES_PER_S = 50
"""Records to partitions in turn, whatever happens."""
SETTLED_FOR_S = 1.0
"""A group is left alone for so long before something happens to it."""


class GroupSystem(Protocol):
    """How a system's groups are used. `benchmarks.clients.{module}` is a member process."""

    module: str

    def arguments(self, group: str, topic: str, names: str, count: int) -> list[object]:
        """Of a process with `count` members."""
        ...

    def produce(self, topic: str, partitions: Iterable[int]) -> None:
        """One record to each, now, without waiting; its value is the time in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Took:
    """What a change took."""

    seconds: float
    moved: int
    """Partitions that were given to somebody."""
    stayed_worst_s: float
    """The longest that a record took on its way in partitions that stayed where they were."""


@dataclass(slots=True)
class Figures:
    """Of one group, by change."""

    took: dict[str, list[Took]] = field(default_factory=dict)
    commits_per_s: float | None = None
    """Of all members together; None: not measured."""

    def add(self, what: str, took: Took) -> None:
        """One more."""
        self.took.setdefault(what, []).append(took)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to a group."""

    members: int
    partitions: int
    arrivals: int
    """A member arrives and leaves so often."""
    with_deaths: bool
    """One is killed, and one is frozen."""
    with_commits: bool
    """In the end all members commit for a while."""
    within_s: float = 60.0
    """Longer is a failure."""


class Watch:
    """Listens to members, and produces what shows that they read."""

    def __init__(self, system: GroupSystem, topic: str, partitions: int) -> None:
        self._system, self._topic = system, topic
        self.reading = Reading(partitions)
        self.committed: list[int] = []
        """Commits of each member that made some."""
        self._changed = asyncio.Event()

    def on_line(self, kind: str, at_s: float, rest: list[str]) -> None:
        """A line of a member process."""
        member, *numbers = rest
        match kind:
            case "assigned":
                needed = self.reading.assigned(member, [int(number) for number in numbers])
                self._system.produce(self._topic, needed)
            case "revoked":
                self.reading.revoked(member, [int(number) for number in numbers])
            case "committed":
                self.committed.append(int(numbers[0]))
            case "read":
                self.reading.read(member, int(numbers[0]), float(numbers[1]), at_s)
        self._changed.set()

    async def canaries(self) -> None:
        """Until it is cancelled."""
        for number in itertools.count():
            self._system.produce(self._topic, [number % self.reading.partitions])
            await asyncio.sleep(1 / CANARIES_PER_S)

    async def all_read(self, within_s: float, processes: Iterable[MemberProcess]) -> None:
        """Wait for it. Raises RuntimeError after `within_s`, or when a process ended."""
        try:
            async with asyncio.timeout(within_s):
                while not self.reading.all_read:
                    self._changed.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), 1.0)
                    for process in processes:
                        if process.has_ended:
                            raise RuntimeError(f"{process.name} ended: {process.words()}")
        except TimeoutError:
            words = "; ".join(process.words()[-500:] for process in processes)
            raise RuntimeError(
                f"not read again within {within_s:.0f} s: {self.reading.missing()} {words}"
            ) from None

    async def all_committed(self, members: int) -> None:
        """Wait until so many have told how often they committed."""
        async with asyncio.timeout(10 * COMMITS_FOR_S):
            while len(self.committed) < members:
                self._changed.clear()
                await self._changed.wait()

    async def everything_is_read(self, within_s: float, processes: list[MemberProcess]) -> None:
        """Show it: a record to each partition."""
        self.reading.begin(time.monotonic())
        self.reading.awaited.update(self.reading.owner)
        self._system.produce(self._topic, range(self.reading.partitions))
        await self.all_read(within_s, processes)


async def measure_changes(
    system: GroupSystem, group: str, topic: str, plan: Plan, directory: Path
) -> Figures:
    """All changes of the plan, one after the other, in one group."""
    figures = Figures()
    watch = Watch(system, topic, plan.partitions)
    names = itertools.count(1)
    log = directory / f"{group}.log"

    async def start(name: str, count: int) -> MemberProcess:
        arguments = system.arguments(group, topic, name, count)
        return await MemberProcess.start(name, system.module, arguments, log, watch.on_line)

    crowd = await start("crowd", plan.members)

    @asynccontextmanager
    async def one_more() -> AsyncIterator[MemberProcess]:
        """A member of its own process that has joined; its arrival is measured."""
        await asyncio.sleep(SETTLED_FOR_S)
        member = await start(f"single-{next(names)}", 1)
        try:
            part = plan.partitions // (plan.members + 1)
            # Lines that tell of the arrival may come before this one goes on: what they tell
            # must count already. When it began is corrected as soon as the member told.
            change = watch.reading.begin(time.monotonic(), joined=f"{member.name}-0", part=part)
            change.at_s = await member.tell("go")
            await watch.all_read(plan.within_s, [crowd, member])
            figures.add("arrives", _took(change))
            await watch.everything_is_read(plan.within_s, [crowd, member])
            await asyncio.sleep(SETTLED_FOR_S)
            yield member
        finally:
            await member.end()

    async def gone(what: str, change: Change) -> None:
        await watch.all_read(plan.within_s, [crowd])
        figures.add(what, _took(change))
        await watch.everything_is_read(plan.within_s, [crowd])

    canaries = asyncio.ensure_future(watch.canaries())
    try:
        watch.reading.begin(time.monotonic())
        await crowd.tell("go")
        await watch.all_read(plan.within_s, [crowd])
        await watch.everything_is_read(plan.within_s, [crowd])
        for _ in range(plan.arrivals):
            async with one_more() as member:
                change = watch.reading.begin(time.monotonic())
                change.at_s = await member.tell("leave")
                watch.reading.gone(f"{member.name}-0")
                await gone("leaves", change)
        deaths = {"is killed": signal.SIGKILL, "is frozen": signal.SIGSTOP}
        for what, number in deaths.items() if plan.with_deaths else ():
            async with one_more() as member:
                change = watch.reading.begin(time.monotonic())
                member.signal(number)
                watch.reading.gone(f"{member.name}-0")
                await gone(what, change)
        if plan.with_commits:
            await crowd.say("commit")
            await watch.all_committed(plan.members)
            figures.commits_per_s = sum(watch.committed) / COMMITS_FOR_S
    finally:
        canaries.cancel()
        await crowd.end()
    return figures


def _took(change: Change) -> Took:
    return Took(change.read_again_s - change.at_s, change.moved, change.stayed_worst_s)
