"""A replica whose log was lost may have lost a vote with it: it does not vote twice in a term."""

from __future__ import annotations

import pytest

from replication.raft.effects import PersistHardState
from replication.raft.events import LeaderHeard, LogInstalled
from replication.raft.replica import RaftReplica
from replication.types import HardState, LogPosition, Offset, ReplicaId, Term
from tests.scenarios.raft.raft_cluster import members

START = LogPosition(Term(0), Offset(0))
END = LogPosition(Term(4), Offset(9))
ONE, TWO = ReplicaId(1), ReplicaId(2)


@pytest.mark.parametrize("needs_install", [True, False])
def test_the_leader_that_sent_the_copy_has_its_vote(needs_install: bool) -> None:
    """After the copy the replica votes again; in the leader's term for nobody else, also after a
    restart, when it knows no leader. One that only lagged has forgotten nothing."""
    memberships = ((Offset(0), members([1, 2, 3])),)
    replica = RaftReplica(
        TWO, HardState(Term(3), None), START, START, (), memberships, needs_install
    )
    replica.step(LeaderHeard(ONE, Term(4)))
    installed = LogInstalled(START, END, ((Term(4), Offset(0)),), memberships)
    effects = replica.step(installed)
    persisted = [e.state for e in effects if isinstance(e, PersistHardState)]
    assert persisted == ([HardState(Term(4), ONE)] if needs_install else [])
    assert replica.vote == (ONE if needs_install else None)
