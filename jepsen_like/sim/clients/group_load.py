"""Consumer groups as load: members that come and go.

Each member is a process of its own. What is done to it (`group_faults`) is done from outside, as to
a node: it is told to go, falls silent, stands still, dies. Some die and come back under the same
instance id. `group_operator` looks and meddles.

Invariant: `processes` holds all members' processes that have not ended.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

from jepsen_like.sim.clients.client_adapter import client_environment
from jepsen_like.sim.clients.coordinator_calls import CoordinatorCalls
from jepsen_like.sim.clients.group_member import PATTERN, TOPIC, GroupMember, Temper
from jepsen_like.sim.clients.group_tap import GroupTap
from jepsen_like.sim.clients.library_member import LibraryMember
from jepsen_like.sim.clients.raw_member import RawMember
from jepsen_like.sim.clients.recorder import Recorder
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from streamlog.client.transport import Environment

JOIN_WITHIN_S: Final = 1.0
AWAY_S: Final = (0.0, 1.5)
"""How long a member that went stays away."""
STATIC_SHARE: Final = 0.4
RUDE_SHARE: Final = 0.4


@dataclass(slots=True)
class ClientProcess:
    """A process and what it sees of the world."""

    name: str
    loop: SimLoop
    network: SimNetwork
    environment: Environment
    tap: GroupTap


@dataclass(slots=True)
class MemberProcess:
    """A process that is a member of a group."""

    process: ClientProcess
    number: int
    temper: Temper
    member: GroupMember
    task: asyncio.Task[None]
    frozen: bool = False

    @property
    def member_id(self) -> str:
        """Of its present life in the group."""
        return self.member.member_id


@dataclass(slots=True)
class GroupLoad:
    """All groups of a simulation."""

    scheduler: Scheduler
    fabric: Fabric
    trace: Trace
    options: SimOptions
    addresses: list[str]
    recorder: Recorder
    loops: list[SimLoop] = field(default_factory=list)
    processes: list[MemberProcess] = field(default_factory=list)
    active: bool = False
    """Members that go come back."""
    topic_id: int = 0
    """Of the topic that is read, once a member was told of it."""
    closed: dict[str, None] = field(default_factory=dict)
    """Groups that nobody joins at present."""
    _lives: int = 0
    _ended: list[GroupMember] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the groups with members."""
        return [f"group{number}" for number in range(self.options.groups)]

    @property
    def defects(self) -> list[str]:
        """Answers that only a defect of a node explains."""
        members = [*self._ended, *(each.member for each in self.processes)]
        return [defect for member in members for defect in member.defects]

    # The course of things.

    def start(self) -> None:
        """Members begin to join."""
        if not self.options.groups:
            return
        self.active = True
        rng = self.scheduler.random("members")
        for group in self.names:
            for number in range(self.options.members):
                self._join_later(group, number, self._temper(group, number, rng), rng)

    def calm(self) -> None:
        """From now on nothing is done to members, and who is away stays away."""
        self.active = False
        for each in self.processes:
            self.thaw(each)
            each.member.hung_until_ms = float("-inf")

    def go(self) -> list[asyncio.Task[None]]:
        """Everybody leaves; ends when they have."""
        for each in self.processes:
            each.member.going = True
        return [each.task for each in self.processes]

    def living(self, group: str) -> list[MemberProcess]:
        """Processes of the group's members."""
        return [each for each in self.processes if each.temper.group == group]

    # Members.

    def _temper(self, group: str, number: int, rng: random.Random) -> Temper:
        options = self.options
        by_pattern = rng.random() < 0.3
        return Temper(
            group=group,
            topics=() if by_pattern else (TOPIC,),
            pattern=PATTERN if by_pattern else "",
            instance_id=f"{group}-{number}" if rng.random() < STATIC_SHARE else "",
            assignor=rng.choice(["", "", "sticky", "range"]),
            session_ms=options.session_ms,
            rebalance_ms=options.rebalance_ms,
            tick_ms=rng.choice([60.0, 120.0, 250.0]),
            rude=rng.random() < RUDE_SHARE,
            library=rng.random() < options.library_share,
        )

    def _join_later(self, group: str, number: int, temper: Temper, rng: random.Random) -> None:
        self.scheduler.call_later(
            JOIN_WITHIN_S * rng.random(), lambda: self._join(group, number, temper)
        )

    def _join(self, group: str, number: int, temper: Temper) -> None:
        if not self.active:
            return
        if group in self.closed:
            self._come_back(number, temper)
            return
        self._lives += 1
        process = self.process(f"{group}m{number}.{self._lives}", reads=temper.library)
        member = self._member(process, temper)
        task = process.loop.create_task(member.run())
        joined = MemberProcess(process, number, temper, member, task)
        self.processes.append(joined)
        task.add_done_callback(lambda _: self._left(joined))

    def _member(self, process: ClientProcess, temper: Temper) -> GroupMember:
        rng = self.scheduler.random(f"{process.name} load")
        if temper.library:
            bootstrap = ",".join(self.addresses)
            return LibraryMember(temper, bootstrap, process.environment, process.tap, rng)
        return RawMember(temper, self.calls(process), process.tap, rng)

    def _left(self, each: MemberProcess) -> None:
        """It left by itself, or broke."""
        if each not in self.processes:
            return
        self._forget(each)
        if not each.task.cancelled() and (error := each.task.exception()) is not None:
            each.member.defects.append(f"{each.process.name} failed: {error!r}")
        self._come_back(each.number, each.temper)

    def _forget(self, each: MemberProcess) -> None:
        self.processes.remove(each)
        self._ended.append(each.member)

    def _come_back(self, number: int, temper: Temper) -> None:
        """Somebody takes its place, after a while."""
        low, high = AWAY_S
        away_s = low + (high - low) * self.scheduler.random(f"away {self._lives}").random()
        self.scheduler.call_later(away_s, lambda: self._join(temper.group, number, temper))

    # What is done to members.

    def freeze(self, each: MemberProcess, seconds: float) -> None:
        """SIGSTOP, for so long."""
        each.frozen = True
        self.scheduler.pause(each.process.loop)
        self.fabric.pause(each.process.name)
        self.trace.add(each.process.name, f"is frozen for {seconds * 1000:.0f} ms")
        self.scheduler.call_later(seconds, lambda: self.thaw(each))

    def thaw(self, each: MemberProcess) -> None:
        """SIGCONT."""
        if each.frozen and each in self.processes:
            each.frozen = False
            self.fabric.resume(each.process.name)
            self.scheduler.resume(each.process.loop)
            self.trace.add(each.process.name, "goes on")

    def crash(self, each: MemberProcess, *, silent: bool) -> None:
        """The process ends, and its host tells the nodes or does not."""
        self._forget(each)
        process = each.process
        self.scheduler.drop(process.loop)
        self.scheduler.bury([each])
        self.fabric.process_gone(process.network, power_cut=silent)
        self.trace.add(process.name, "dies silently" if silent else "dies")
        self._come_back(each.number, each.temper)

    # Processes.

    def process(self, name: str, *, reads: bool = False) -> ClientProcess:
        """A new one; `reads`: what it is granted."""
        loop = self.scheduler.new_loop(name)
        self.loops.append(loop)
        network = SimNetwork(self.fabric, name, loop)
        clock = SimClock(loop)
        tap = GroupTap(name, self.recorder, clock, reads=reads)
        environment = client_environment(network, clock, self.scheduler.random(name), tap)
        return ClientProcess(name, loop, network, environment, tap)

    def calls(self, process: ClientProcess) -> CoordinatorCalls:
        """Calls of a process without a library."""
        rng = self.scheduler.random(f"{process.name} calls")
        return CoordinatorCalls(process.environment, self.addresses, rng)

    def known_topic_id(self) -> int:
        """Of the topic that is read; 0: no member was told of it yet."""
        if not self.topic_id:
            found = (each.process.tap.topic_id for each in self.processes)
            self.topic_id = next((topic_id for topic_id in found if topic_id), 0)
        return self.topic_id
