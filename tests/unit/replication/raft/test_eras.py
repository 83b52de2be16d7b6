"""Eras of terms: where they lie, and when a replica does not begin a new one."""

from __future__ import annotations

import pytest

from replication.raft.effects import (
    AppendControl,
    MembershipChangeRejected,
    PersistHardState,
    Role,
    Send,
)
from replication.raft.eras import ERA_BITS, era_of, first_term_after
from replication.raft.events import (
    ForceMembership,
    LeaderAnnounced,
    LeaderHeard,
    MessageReceived,
    WriteCompleted,
)
from replication.raft.messages import AppendEntries, AppendEntriesResponse, VoteRequest
from replication.raft.replica import RaftReplica
from replication.types import (
    HardState,
    LogPosition,
    Membership,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)
from tests.scenarios.raft.raft_cluster import members

START = LogPosition(Term(0), Offset(0))
ONE, TWO, THREE = ReplicaId(1), ReplicaId(2), ReplicaId(3)


def core(
    *, end: int = 5, term: int = 2, start: int = 0, needs_install: bool = False
) -> RaftReplica:
    """Replica 3 of 1, 2, 3 with a log of one term."""
    begin = LogPosition(Term(1 if start else 0), Offset(start))
    return RaftReplica(
        THREE,
        HardState(Term(term), None),
        begin,
        LogPosition(Term(2), Offset(end)) if end > start else begin,
        [(Term(2), Offset(start))],
        [(Offset(start), members([1, 2, 3]))],
        needs_install,
    )


def test_the_first_term_of_an_era() -> None:
    """It is above every term of the era before, and differs by the replica that begins it."""
    assert era_of(Term(0)) == era_of(Term((1 << ERA_BITS) - 1)) == 0
    first = first_term_after(Term(17), ONE)
    assert first > (1 << ERA_BITS)
    assert era_of(first) == 1
    assert first != first_term_after(Term(17), TWO)
    assert era_of(first_term_after(first, THREE)) == 2


def test_term_vote_and_entry_are_written_first() -> None:
    """Nothing is sent, and the own vote does not count, before both writes are durable."""
    replica = core()
    effects = replica.step(ForceMembership((THREE,)))
    assert [type(e) for e in effects if isinstance(e, PersistHardState | AppendControl)] == [
        PersistHardState,
        AppendControl,
    ]
    hard = next(e for e in effects if isinstance(e, PersistHardState))
    entry = next(e for e in effects if isinstance(e, AppendControl))
    assert hard.state == HardState(first_term_after(Term(2), THREE), THREE)
    assert (entry.base, entry.term, entry.body) == (5, hard.state.term, members([3]))
    assert replica.end == LogPosition(hard.state.term, Offset(6))
    roles: list[Role] = []
    for write in (hard.write, entry.write):
        replica.step(WriteCompleted(write))
        roles.append(replica.role)
    assert roles == [Role.CANDIDATE, Role.LEADER]


@pytest.mark.parametrize(
    ("replica", "survivors", "reason"),
    [
        (core(needs_install=True), (THREE,), "its log is damaged, and waits for a copy"),
        (core(end=0), (THREE,), "its log is empty"),
        (core(), (ONE,), "it is replica 3, which is none of the survivors"),
        (core(), (THREE, ReplicaId(8)), "replica 8 is no member"),
    ],
)
def test_refusals(replica: RaftReplica, survivors: tuple[ReplicaId, ...], reason: str) -> None:
    """Nothing is written then, and the reason is told."""
    assert replica.step(ForceMembership(survivors)) == [MembershipChangeRejected(reason)]
    assert replica.force_refusal(survivors) == reason


def test_one_that_was_left_behind_does_not_begin_an_era_of_its_own() -> None:
    """It has heard that the group went on without it."""
    replica = core()
    replica.step(LeaderAnnounced(first_term_after(Term(2), ONE)))
    assert replica.force_refusal((THREE,)) == "the group went on without it already"


def test_an_announcement_within_the_era_means_nothing() -> None:
    """Terms of announcements are not adopted."""
    replica = core()
    assert replica.step(LeaderAnnounced(Term(900))) == []
    assert (replica.term, replica.left_behind) == (2, False)


def test_the_version_of_the_wish_is_kept() -> None:
    """Whoever moves the group to its wish afterwards finds it where it was."""
    begin = members([1, 2, 3])
    wish = Membership(begin.voters, (), (), 7)
    replica = RaftReplica(
        THREE,
        HardState(Term(2), None),
        START,
        LogPosition(Term(2), Offset(5)),
        [(Term(2), Offset(0))],
        [(Offset(0), wish)],
    )
    replica.step(ForceMembership((THREE,)))
    assert replica.membership == Membership(members([3]).voters, (), (), 7)


def test_a_change_that_was_under_way_ends_with_the_recovery() -> None:
    """The log holds a joint configuration that never committed; the survivors' takes its place, and
    nothing is left to be ended."""
    begin = members([1, 2, 3])
    joint = Membership(members([3, 4, 5]).voters, begin.voters)
    replica = RaftReplica(
        THREE,
        HardState(Term(2), None),
        START,
        LogPosition(Term(2), Offset(5)),
        [(Term(2), Offset(0))],
        [(Offset(0), begin), (Offset(3), joint)],
    )
    effects = replica.step(ForceMembership((THREE,)))
    while writes := [e.write for e in effects if isinstance(e, PersistHardState | AppendControl)]:
        effects = replica.step(WriteCompleted(writes[-1]))
    assert replica.established
    assert (replica.membership, replica.membership_committed) == (members([3]), True)
    assert replica.commit_end == replica.end.end == 7


def answers(replica: RaftReplica, message: AppendEntries) -> list[AppendEntriesResponse]:
    effects = replica.step(MessageReceived(message))
    sent = [e.message for e in effects if isinstance(e, Send)]
    return [m for m in sent if isinstance(m, AppendEntriesResponse)]


def test_a_log_that_starts_above_what_the_era_has_asks_for_a_copy() -> None:
    """The lost majority had let go of offsets that the survivor still has: entries behind them
    would leave a hole that nobody sees."""
    replica = core(start=3, end=5)
    term = first_term_after(Term(2), ONE)
    replica.step(LeaderHeard(ONE, term))
    probe = AppendEntries(ONE, THREE, term, LogPosition(Term(1), Offset(2)), Offset(0), Offset(0))
    (answer,) = answers(replica, probe)
    assert (answer.accepted, answer.needs_install) == (False, True)
    assert replica.needs_install


def test_a_match_across_eras_is_what_was_compared() -> None:
    """Not what is committed here: that may be what the survivor never had."""
    replica = core(start=1, end=5)
    term = first_term_after(Term(2), ONE)
    probe = AppendEntries(ONE, THREE, term, LogPosition(Term(1), Offset(1)), Offset(0), Offset(0))
    (answer,) = answers(replica, probe)
    assert (answer.accepted, answer.match_end) == (True, 1)


def test_those_left_behind_are_not_answered_unless_they_are_members() -> None:
    """A vote request from the era before is passed over; from a member it is refused."""
    replica = core()
    replica.step(ForceMembership((TWO, THREE)))
    replica.step(WriteCompleted(WriteSequence(2)))
    last = LogPosition(Term(2), Offset(9))
    asked = VoteRequest(ONE, THREE, Term(3), last, pre_vote=False)
    assert replica.step(MessageReceived(asked)) == []
    asked = VoteRequest(TWO, THREE, Term(3), last, pre_vote=False)
    (refused,) = replica.step(MessageReceived(asked))
    assert isinstance(refused, Send)
    assert replica.role is Role.CANDIDATE
