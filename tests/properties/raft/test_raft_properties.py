"""Raft's properties through random lives of a group; and that planted faults are found.

A failure names its seed; `Life(SEED).run(STEPS)` replays it.
"""

from __future__ import annotations

from collections.abc import Callable, Container

import pytest

from replication.errors import InvariantViolation
from replication.raft import elections, leadership
from replication.raft.effects import Effect, Send
from replication.raft.events import Event
from replication.raft.messages import VoteResponse
from replication.raft.pending_writes import SENT_AT_ONCE, PendingWrites
from replication.raft.quorum import majority_end
from replication.raft.replica import RaftReplica
from replication.types import Membership, Offset, WriteSequence
from tests.properties.raft.raft_fuzz import Life, PropertyViolated

SEEDS = range(60)
STEPS = 3000


@pytest.mark.parametrize("seed", SEEDS)
def test_the_properties_hold_in_every_step_and_the_group_serves_after_healing(seed: int) -> None:
    """One leader a term, one vote a term, log matching, leader completeness, one history of
    committed entries on a majority of disks, reads that miss nothing, and liveness at the end."""
    Life(seed).run(STEPS)


class CountsItsCopyBeforeFsync(RaftReplica):
    """Reliability rule 1 broken: the leader's own log counts as soon as it is written."""

    def step(self, event: Event) -> list[Effect]:
        effects = super().step(event)
        if self._leadership is not None:
            self._leadership.own.match = self.end.end
            self._leadership.commit()
        return effects


class VotesBeforePersisting(RaftReplica):
    """Reliability rule 2 broken: a vote leaves before it is durable."""

    def step(self, event: Event) -> list[Effect]:
        return [
            Send(effect.message, SENT_AT_ONCE)
            if isinstance(effect, Send) and isinstance(effect.message, VoteResponse)
            else effect
            for effect in super().step(event)
        ]


class CommitsEarlierTermsByCounting(RaftReplica):
    """Section 3.6.2 broken: a majority of copies is taken as a commit, whatever the term."""

    def step(self, event: Event) -> list[Effect]:
        effects = super().step(event)
        if self._leadership is not None and self._leadership.first:
            self._leadership.first = Offset(0)
            self._leadership.commit()
        return effects


def _one_majority_for_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 4.3 broken: the new configuration alone decides, for entries and votes."""

    def newest(membership: Membership, agreeing: Container[int]) -> bool:
        count = sum(voter.replica_id in agreeing for voter in membership.voters)
        return 2 * count > len(membership.voters)

    def newest_end(ends: list[Offset], _: list[Offset]) -> Offset:
        return majority_end(ends)

    monkeypatch.setattr(leadership, "joint_end", newest_end)
    monkeypatch.setattr(elections, "has_quorum", newest)


def _completions_by_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability rule 21 broken: a truncation leaves the ends of earlier writes as they are."""

    def truncate(self: PendingWrites, cut: Offset) -> WriteSequence:
        self.durable_end = min(self.durable_end, cut)
        return self.issue()

    monkeypatch.setattr(PendingWrites, "truncate", truncate)


def _replies_before_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability rule 2 broken: answers to entries do not wait for their fsync."""

    def covering(_self: PendingWrites, _end: Offset) -> WriteSequence:
        return SENT_AT_ONCE

    monkeypatch.setattr(PendingWrites, "covering", covering)


def _live(make: type[RaftReplica], seeds: range) -> None:
    for seed in seeds:
        Life(seed, make).run(STEPS)


def _nothing(_: pytest.MonkeyPatch) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "plant", "first_seed"),
    [
        pytest.param(CountsItsCopyBeforeFsync, _nothing, 0, id="own copy before fsync"),
        pytest.param(VotesBeforePersisting, _nothing, 1150, id="vote before persisting"),
        pytest.param(CommitsEarlierTermsByCounting, _nothing, 0, id="earlier terms by counting"),
        pytest.param(RaftReplica, _one_majority_for_entries, 80, id="single majority in joint"),
        pytest.param(RaftReplica, _completions_by_offset, 0, id="completions by offset"),
        pytest.param(RaftReplica, _replies_before_fsync, 0, id="replies before fsync"),
    ],
)
def test_a_planted_fault_is_found(
    make: type[RaftReplica],
    plant: Callable[[pytest.MonkeyPatch], None],
    first_seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checker convicts a core with one rule broken within a bounded number of lives; rare
    faults begin near a seed that shows them, to be fast."""
    plant(monkeypatch)
    with pytest.raises((PropertyViolated, InvariantViolation)):
        _live(make, range(first_seed, first_seed + 300))
