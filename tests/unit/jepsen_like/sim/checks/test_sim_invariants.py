"""Each invariant is caught when it is broken, and silent while it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import pytest

from jepsen_like.sim.checks.invariants import InvariantBroken, Invariants, WatchedProcess
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from replication.group import GroupObserver, ReplicatedGroup
from replication.raft.effects import Role
from replication.types import (
    GroupCreation,
    GroupId,
    HardState,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    ReplicaId,
    Term,
)
from streamlog.model.batch import draft_of_payload

GROUP = GroupId(7)


def frame(base: int, term: int, content: bytes) -> bytes:
    """A batch of one record at an offset."""
    draft = draft_of_payload(content, topic_id=1, partition=0, record_count=1, timestamp_ms=0)
    return draft.frame(base, term)


class FakeLog:
    """Entries of one offset each: (term, content)."""

    def __init__(self, node_id: int, term: int, entries: list[tuple[int, bytes]]) -> None:
        self.entries = entries
        self.hard_state = HardState(Term(term), None)
        self.start = LogPosition(Term(0), Offset(0))
        self.needs_install = False
        self.creation = GroupCreation(GROUP, Membership(()), ReplicaId(node_id), "partition")

    @property
    def end(self) -> LogPosition:
        term = self.entries[-1][0] if self.entries else 0
        return LogPosition(Term(term), Offset(len(self.entries)))

    def term_at(self, end: Offset) -> Term | None:
        if end > len(self.entries):
            return None
        return Term(self.entries[end - 1][0]) if end else Term(0)

    def read_nowait(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        return b"".join(
            frame(at, *self.entries[at]) for at in range(start, min(end, len(self.entries)))
        )


class FakeGroup:
    """A replica that does what the test says."""

    def __init__(self, node_id: int, term: int, entries: list[tuple[int, bytes]]) -> None:
        self.log = FakeLog(node_id, term, entries)
        self.creation = self.log.creation
        self.role = Role.FOLLOWER
        self.term = Term(term)
        self.commit_end = Offset(0)
        self.observers: list[GroupObserver] = []
        self.progress: dict[ReplicaId, Offset] = {}

    def add_observer(self, observer: GroupObserver) -> None:
        self.observers.append(observer)

    def replica_progress(self) -> Mapping[ReplicaId, Offset]:
        return self.progress

    def become(self, role: Role, term: int) -> None:
        self.role, self.term = role, Term(term)
        for observer in self.observers:
            observer.role_changed(role, Term(term), None)

    def commit(self, end: int) -> None:
        self.commit_end = Offset(end)
        for observer in self.observers:
            observer.committed(Offset(end))


class World:
    """Two nodes with a replica each."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(1)
        self.invariants = Invariants(Trace(self.scheduler))
        self.loops: dict[int, SimLoop] = {}
        self.groups: dict[int, FakeGroup] = {}
        self.lives = 0
        for node_id in (1, 2):
            self.start(node_id, FakeGroup(node_id, 1, [(1, b"a"), (1, b"b")]))

    def start(self, node_id: int, group: FakeGroup) -> None:
        """A new life."""
        self.lives += 1
        loop = self.scheduler.new_loop(f"n{node_id} {self.lives}")
        groups = {GROUP: cast("ReplicatedGroup", group)}
        process = WatchedProcess(NodeId(node_id), self.lives, SimDisk(), lambda: groups)
        self.loops[node_id], self.groups[node_id] = loop, group
        self.invariants.watch(loop, process)
        self.turn()

    def turn(self) -> None:
        """Every node had a turn."""
        for loop in self.loops.values():
            self.invariants.after_turn(loop)


def test_a_sound_history_is_silent() -> None:
    """Elections, commits in different steps, a restart: nothing is wrong."""
    world = World()
    one, two = world.groups[1], world.groups[2]
    one.become(Role.LEADER, 2)
    one.commit(1)
    one.commit(2)
    world.turn()
    two.commit(2)
    two.become(Role.FOLLOWER, 2)
    one.progress = {ReplicaId(1): Offset(2), ReplicaId(2): Offset(2)}
    world.turn()
    world.invariants.process_dies(world.loops[2])
    world.start(2, FakeGroup(2, 2, [(1, b"a"), (1, b"b"), (2, b"c")]))
    world.groups[2].become(Role.LEADER, 3)
    world.turn()
    world.invariants.settle()
    assert world.invariants.elections == 2
    assert sorted(world.invariants.leaders()) == [1, 2]


def two_leaders(world: World) -> None:
    world.groups[1].become(Role.LEADER, 2)
    world.turn()
    world.groups[2].become(Role.LEADER, 2)


def leads_again_after_restart(world: World) -> None:
    world.groups[1].become(Role.LEADER, 2)
    world.turn()
    world.invariants.process_dies(world.loops[1])
    world.start(1, FakeGroup(1, 2, [(1, b"a"), (1, b"b")]))
    world.groups[1].become(Role.LEADER, 2)


def term_falls(world: World) -> None:
    world.groups[1].become(Role.FOLLOWER, 3)
    world.groups[1].become(Role.FOLLOWER, 2)


def commit_moves_back(world: World) -> None:
    world.groups[1].commit(2)
    world.turn()
    world.groups[1].commit(1)


def incomplete_leader(world: World) -> None:
    world.groups[1].commit(2)
    world.turn()
    del world.groups[2].log.entries[1:]
    world.groups[2].become(Role.LEADER, 2)


def leader_with_another_term(world: World) -> None:
    world.groups[1].commit(2)
    world.turn()
    world.groups[2].log.entries[1] = (2, b"b")
    world.groups[2].become(Role.LEADER, 3)


def other_bytes(world: World) -> None:
    world.groups[2].log.entries[0] = (1, b"other")
    world.groups[1].commit(1)
    world.turn()
    world.groups[2].commit(2)
    world.groups[1].commit(2)


def commit_beyond_the_log(world: World) -> None:
    world.groups[1].commit(3)


def forgotten_fsync(world: World) -> None:
    world.groups[1].become(Role.LEADER, 2)
    world.groups[2].become(Role.FOLLOWER, 2)
    world.groups[1].progress = {ReplicaId(1): Offset(2), ReplicaId(2): Offset(2)}
    world.turn()
    world.invariants.process_dies(world.loops[2])
    world.start(2, FakeGroup(2, 2, [(1, b"a")]))


def forgotten_term(world: World) -> None:
    world.groups[1].become(Role.LEADER, 5)
    world.turn()
    world.invariants.process_dies(world.loops[1])
    world.start(1, FakeGroup(1, 4, [(1, b"a"), (1, b"b")]))


def test_a_belated_leader_of_an_older_term_is_sound() -> None:
    """Its votes were under way while a later term committed; only leaders of that term and of
    later ones must have what it committed."""
    world = World()
    world.groups[1].log.entries.append((5, b"c"))
    world.groups[1].become(Role.LEADER, 5)
    world.groups[1].commit(3)
    world.turn()
    world.groups[2].become(Role.LEADER, 4)
    world.turn()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (two_leaders, "leads term 2, which node 1 led"),
        (leads_again_after_restart, "leads term 2, which node 1 led"),
        (term_falls, "from term 3 to 2"),
        (commit_moves_back, "back from 2 to 1"),
        (incomplete_leader, "was committed; it has term None there"),
        (leader_with_another_term, "was committed; it has term 2 there"),
        (other_bytes, "other bytes below 1"),
        (commit_beyond_the_log, "beyond its log"),
        (forgotten_fsync, "had fsynced its log up to 2"),
        (forgotten_term, "led term 5 and recovered"),
    ],
)
def test_planted_violation_is_caught(break_it: Callable[[World], None], message: str) -> None:
    """Breaking one invariant raises, and says which."""
    world = World()

    def run() -> None:
        break_it(world)
        world.turn()

    with pytest.raises(InvariantBroken, match=message):
        run()
