"""A replica that may have forgotten its votes takes part no more, until it is forced to."""

from __future__ import annotations

import pytest

from replication.errors import InvariantViolation
from replication.raft.effects import AppendControl, PersistHardState, Role, RoleChanged, Send
from replication.raft.eras import era_of
from replication.raft.events import (
    ElectionTimeout,
    ForceMembership,
    LeaderHeard,
    LogInstalled,
    MessageReceived,
    WriteCompleted,
)
from replication.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    LeadershipProbe,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from replication.raft.replica import RaftReplica
from replication.types import HardState, LogPosition, Offset, ReplicaId, Term
from tests.scenarios.raft.raft_cluster import members

START = LogPosition(Term(0), Offset(0))
END = LogPosition(Term(2), Offset(5))
ONE, THREE = ReplicaId(1), ReplicaId(3)


@pytest.fixture
def lost() -> RaftReplica:
    """Replica 3 of 1, 2, 3, with what is left of its log."""
    return RaftReplica(
        THREE,
        HardState(Term(2), None),
        START,
        END,
        ((Term(2), Offset(0)),),
        ((Offset(0), members([1, 2, 3])),),
        lost=True,
    )


@pytest.mark.parametrize("pre_vote", [True, False])
def test_it_gives_no_vote(lost: RaftReplica, pre_vote: bool) -> None:
    """However long the candidate's log is; it learns the term, and nothing more."""
    last = LogPosition(Term(8), Offset(99))
    effects = lost.step(MessageReceived(VoteRequest(ONE, THREE, Term(9), last, pre_vote, False)))
    answers = [e.message for e in effects if isinstance(e, Send)]
    assert [a.granted for a in answers if isinstance(a, VoteResponse)] == [False]
    assert lost.vote is None


def test_it_does_not_campaign(lost: RaftReplica) -> None:
    """Neither by itself nor when a leader asks it to."""
    assert lost.step(ElectionTimeout()) == []
    effects = lost.step(MessageReceived(TimeoutNow(ONE, THREE, Term(3))))
    assert not any(isinstance(e, RoleChanged) and e.role is not Role.FOLLOWER for e in effects)


def test_it_acknowledges_and_confirms_nothing(lost: RaftReplica) -> None:
    """Not even entries that connect to what it has."""
    append = AppendEntries(ONE, THREE, Term(2), END, Offset(5), Offset(0))
    (answer,) = (e.message for e in lost.step(MessageReceived(append)) if isinstance(e, Send))
    assert isinstance(answer, AppendEntriesResponse)
    assert (answer.accepted, answer.needs_install) == (False, True)
    probe = LeadershipProbe(ONE, THREE, Term(2), 1)
    assert not [e for e in lost.step(MessageReceived(probe)) if isinstance(e, Send)]


def test_a_copy_does_not_bring_it_back(lost: RaftReplica) -> None:
    """The driver refuses copies; one that came would be a defect."""
    lost.step(LeaderHeard(ONE, Term(4)))
    memberships = ((Offset(0), members([1, 2, 3])),)
    with pytest.raises(InvariantViolation, match="a lost replica took a copy"):
        lost.step(LogInstalled(START, END, ((Term(2), Offset(0)),), memberships))


def test_an_operator_brings_it_back_in_a_new_era(lost: RaftReplica) -> None:
    """In that it has never voted; it leads alone, with what is left of its log."""
    effects = lost.step(ForceMembership((THREE,)))
    writes = [e.write for e in effects if isinstance(e, PersistHardState | AppendControl)]
    roles = [
        e.role
        for write in writes
        for e in lost.step(WriteCompleted(write))
        if isinstance(e, RoleChanged)
    ]
    assert roles == [Role.LEADER]
    assert era_of(lost.term) == 1
    assert (lost.lost, lost.needs_install) == (False, False)


def test_nothing_is_forced_of_which_nothing_is_left() -> None:
    """There is no log to go on with."""
    memberships = ((Offset(0), members([3])),)
    blank = RaftReplica(THREE, HardState(Term(2), None), START, START, (), memberships, lost=True)
    assert blank.force_refusal((THREE,)) == "nothing of its log is left"
