"""How long assignors and decisions take: prints a table, asserts nothing.

Run: .venv/bin/python -m tests.properties.consumer_groups.assignor_speed
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

from consumer_groups.assignors import ASSIGNORS, Subscriber
from consumer_groups.commands import (
    AcknowledgeRevocation,
    Command,
    CommitOffsets,
    Join,
    Leave,
    OffsetToCommit,
    StoreOffsets,
)
from consumer_groups.coordinator import queries
from consumer_groups.coordinator.machine import CoordinatorMachine
from consumer_groups.coordinator.state import CoordinatorState
from consumer_groups.types import (
    GroupName,
    MemberId,
    MemberInfo,
    Position,
    Subscription,
    TopicCatalog,
    TopicId,
    TopicView,
)

GROUP = GroupName("speed")
ROUNDS = 10_000


def milliseconds(work: Callable[[], object], repeat: int = 5) -> float:
    """The best of some runs."""
    best = float("inf")
    for _ in range(repeat):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best * 1_000


def repeat(work: Callable[[], object]) -> None:
    """ROUNDS times."""
    for _ in range(ROUNDS):
        work()


def assignors() -> None:
    """From nothing, when a member joins, and with differing subscriptions."""
    for members, topics, partitions in ((10, 10, 100), (100, 10, 100), (1_000, 100, 100)):
        counts = {TopicId(t): partitions for t in range(topics)}
        everything = tuple(counts)
        alike = [Subscriber(MemberId(f"m{n:04}"), everything) for n in range(members)]
        draw = random.Random(1)
        different = [
            Subscriber(s.member_id, tuple(sorted(draw.sample(everything, topics // 2))))
            for s in alike
        ]
        for name, assignor in ASSIGNORS.items():
            before = assignor.assign(alike[1:], counts, {})
            times = (
                milliseconds(partial(assignor.assign, alike, counts, {})),
                milliseconds(partial(assignor.assign, alike, counts, before)),
                milliseconds(partial(assignor.assign, different, counts, {}), 2),
            )
            print(
                f"{name:7} {members:5} members {topics * partitions:6} partitions: new"
                f" {times[0]:8.2f} ms, one joins {times[1]:8.2f} ms, different subscriptions"
                f" {times[2]:8.2f} ms"
            )


class Coordinator:
    """Runs commands and says how long each part took."""

    def __init__(self) -> None:
        self.machine = CoordinatorMachine()
        self.state: CoordinatorState = self.machine.initial()

    def run(self, command: Command) -> tuple[float, float, float, int]:
        """Milliseconds to decide, encode, replay; bytes of the records."""
        begin = time.perf_counter()
        decision = self.machine.decide(self.state, command)
        decided = time.perf_counter()
        encoded = [self.machine.encode(record) for record in decision.records]
        written = time.perf_counter()
        for record in decision.records:
            self.state = self.machine.replay(self.state, record, 0)
        end = time.perf_counter()
        return (
            (decided - begin) * 1_000,
            (written - decided) * 1_000,
            (end - written) * 1_000,
            sum(map(len, encoded)),
        )

    def settle(self) -> None:
        """Everybody gives up what it is asked for."""
        for member_id, member in self.state.groups[GROUP].members.items():
            if member.revoking:
                self.run(
                    AcknowledgeRevocation(GROUP, member_id, member.epoch, tuple(member.revoking))
                )


def decisions() -> None:
    """Joins, leaves, commits and heartbeats in groups of three sizes."""
    for members, topics, partitions in ((10, 10, 100), (100, 10, 100), (500, 100, 100)):
        views = [TopicView(TopicId(t), f"t{t}", partitions) for t in range(topics)]
        catalog = TopicCatalog.of(1, views)
        wanted = Subscription.to(*(view.name for view in views))
        coordinator = Coordinator()
        for number in range(members):
            info = MemberInfo(MemberId(f"m{number:04}"), wanted)
            joined = coordinator.run(Join(GROUP, info, catalog, 1))
            coordinator.settle()
        left = coordinator.run(Leave(GROUP, MemberId("m0001"), 1))
        member_id = MemberId("m0002")
        member = coordinator.state.groups[GROUP].members[member_id]
        positions = tuple(OffsetToCommit(p, Position(5)) for p in member.owned)
        committed = coordinator.run(CommitOffsets(GROUP, member_id, member.epoch, positions, 1))
        everything = tuple(
            OffsetToCommit(p, Position(5)) for view in views for p in view.partitions()
        )
        stored = coordinator.run(StoreOffsets(GroupName("other"), everything, catalog, 1))
        beat = partial(
            queries.heartbeat,
            coordinator.state,
            GROUP,
            member_id,
            member.epoch,
            len(member.owned),
        )
        heartbeats = milliseconds(partial(repeat, beat))
        print(f"{members} members, {topics * partitions} partitions: decide, encode, replay, size")
        for what, (decide, encode, replay, size) in (
            ("join", joined),
            ("leave", left),
            (f"commit {len(positions)}", committed),
            (f"store {len(everything)}", stored),
        ):
            print(f"  {what:12} {decide:7.2f} {encode:7.2f} {replay:7.2f} ms {size:7} bytes")
        print(f"  heartbeat    {heartbeats * 1_000 / ROUNDS:7.2f} us")


def snapshots() -> None:
    """A coordinator full of positions."""
    machine = CoordinatorMachine()
    state = machine.initial()
    views = [TopicView(TopicId(t), f"t{t}", 100) for t in range(10)]
    catalog = TopicCatalog.of(1, views)
    everything = tuple(OffsetToCommit(p, Position(5)) for view in views for p in view.partitions())
    for number in range(100):
        command = StoreOffsets(GroupName(f"g{number}"), everything, catalog, 1)
        for record in machine.decide(state, command).records:
            state = machine.replay(state, record, 0)
    data = machine.snapshot(state)
    print(
        f"snapshot of {state.commit_count} positions: {len(data)} bytes, taken in"
        f" {milliseconds(lambda: machine.snapshot(state), 2):.0f} ms, restored in"
        f" {milliseconds(lambda: machine.restore(data), 2):.0f} ms"
    )


if __name__ == "__main__":
    assignors()
    decisions()
    snapshots()
