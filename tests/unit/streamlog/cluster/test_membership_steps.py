"""The way of a group to other members, step by step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from replication.group import ReplicatedGroup
from replication.raft.effects import Role
from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.membership_steps import (
    ROUNDS_REMEMBERED,
    Change,
    Done,
    HandOver,
    RecentEnds,
    Step,
    Wait,
    next_step,
    take_step,
)


def replicas(*ids: int) -> tuple[Replica, ...]:
    return tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(n)) for n in ids)


def members(*voters: int, learners: tuple[int, ...] = (), version: int = 1) -> Membership:
    return Membership(replicas(*voters), (), replicas(*learners), version)


OLD = members(1, 2, 3, version=0)
JOINT = Membership(replicas(1, 2, 4), replicas(1, 2, 3), version=1)


@pytest.mark.parametrize(
    ("present", "target", "ready", "step"),
    [
        (members(1, 2, 3), members(1, 2, 3), (), Done()),
        (JOINT, members(1, 2, 4), (2, 4), Wait()),
        # Newcomers come in as learners; learners of an older wish go.
        (OLD, members(1, 2, 4), (2, 3), Change(members(1, 2, 3, learners=(4,)))),
        (
            members(1, 2, 3, learners=(5,)),
            members(1, 2, 4),
            (2, 3),
            Change(members(1, 2, 3, learners=(4,))),
        ),
        (members(1, 2, 3, learners=(4,)), members(1, 2, 4), (2, 3), Wait()),
        (members(1, 2, 3, learners=(4,)), members(1, 2, 4), (2, 4), Change(members(1, 2, 4))),
        # The leader goes: it hands over to one that stays, and waits for one that can.
        (members(1, 2, 3, learners=(4,)), members(2, 3, 4), (2, 4), HandOver(replicas(2))),
        (members(1, 2, 3), members(2, 3), (), Wait()),
        # Nobody stays: both for a while.
        (
            members(1, 2, 3, learners=(4, 5)),
            members(4, 5),
            (4, 5),
            Change(members(1, 4, 5)),
        ),
        (members(1, 4, 5), members(4, 5), (4, 5), HandOver(replicas(4, 5))),
        # A single replica moves.
        (members(1), members(2), (), Change(members(1, learners=(2,)))),
        (members(1, learners=(2,)), members(2), (2,), Change(members(1, 2))),
        (members(1, 2), members(2), (2,), HandOver(replicas(2))),
        # A voter that becomes a learner, as controllers do.
        (
            members(1, 2, 3, learners=(4,)),
            members(1, 2, 4, learners=(3,)),
            (2, 4),
            Change(members(1, 2, 4, learners=(3,))),
        ),
        (
            members(1, 2, learners=(3,)),
            members(3, learners=(1, 2)),
            (3,),
            Change(members(1, 3, learners=(2,))),
        ),
        # A newer wish for the same members is written down too.
        (members(1, 2, 3), members(1, 2, 3, version=2), (), Change(members(1, 2, 3, version=2))),
    ],
)
def test_the_next_step(
    present: Membership, target: Membership, ready: tuple[int, ...], step: Step
) -> None:
    """Replica 1 leads."""
    assert next_step(present, target, ReplicaId(1), lambda r: r.replica_id in ready) == step


def test_what_a_new_replica_must_have() -> None:
    """The end that the log had a second ago: at first, all of it; under steady writing it need not
    have what came in meanwhile; a log that nobody writes to, all of it again."""
    ends = RecentEnds()
    assert ends.note(Offset(100)) == 100
    under_load = [ends.note(Offset(100 + 10 * n)) for n in range(1, 10)]
    assert under_load == [100] * (ROUNDS_REMEMBERED - 1) + [110, 120, 130, 140, 150]
    for _ in range(ROUNDS_REMEMBERED):
        last = ends.note(Offset(190))
    assert last == 190


async def test_a_blank_replica_does_not_vote() -> None:
    """However short the log is: while it counted for the majority, nothing could be committed until
    it was copied to. It comes in as a learner, and votes when it has the log."""
    group = Led(members(1, version=0), end=50)
    target, ends = members(1, 2, 3), RecentEnds()
    live = {NodeId(n) for n in (1, 2, 3)}

    async def step() -> Membership:
        await take_step(cast("ReplicatedGroup", group), target, live, ends)
        return group.membership

    learners = members(1, learners=(2, 3))
    assert await step() == learners
    assert await step() == learners
    group.progress = {ReplicaId(1): 50, ReplicaId(2): 50, ReplicaId(3): 49}
    assert await step() == learners
    group.progress[ReplicaId(3)] = 50
    assert await step() == target


class Led:
    """The part of a group that its leader's steps look at; changes are committed at once."""

    role, established = Role.LEADER, True
    creation = SimpleNamespace(local_replica_id=ReplicaId(1))

    def __init__(self, membership: Membership, end: int) -> None:
        self.membership = membership
        self.progress: dict[ReplicaId, int] = {}
        self.log = SimpleNamespace(end=SimpleNamespace(end=Offset(end)))

    def replica_progress(self) -> dict[ReplicaId, int]:
        return self.progress

    async def change_membership(self, to: Membership) -> None:
        self.membership = to
