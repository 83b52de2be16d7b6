"""The way of a group to other members, step by step."""

from __future__ import annotations

import pytest

from replication.types import DirectoryId, Membership, NodeId, Replica, ReplicaId
from streamlog.cluster.membership_steps import Change, Done, HandOver, Step, Wait, next_step


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
