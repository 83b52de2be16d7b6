"""What must hold of a recorded history, as pure functions.

A history is a list of `history.Operation`, kept as JSON lines. `check` runs all checkers over it
and returns the violations; `python -m jepsen_like.checkers` does so for a file. Names and
definitions follow Jepsen's test of Kafka (jepsen-io/jepsen, `jepsen.tests.kafka`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jepsen_like.checkers.evidence import Evidence
from jepsen_like.checkers.history import Operation, Violation
from jepsen_like.checkers.ownership import late_ownership, overlapping_ownership, stale_commits
from jepsen_like.checkers.polls import (
    external_nonmonotonic_polls,
    external_poll_skips,
    internal_nonmonotonic_polls,
    internal_poll_skips,
)
from jepsen_like.checkers.positions import lost_commits, unhandled_positions
from jepsen_like.checkers.reads import (
    aborted_reads,
    inconsistent_offsets,
    phantom_reads,
    precommitted_reads,
)
from jepsen_like.checkers.replicas import divergent_replicas
from jepsen_like.checkers.sends import external_nonmonotonic_sends, internal_nonmonotonic_sends
from jepsen_like.checkers.writes import duplicates, lost_writes, unseen_writes


@dataclass(frozen=True, slots=True)
class Checker:
    """One thing that must not happen."""

    find: Callable[[Evidence], list[Violation]]
    subject: str
    """What it goes over, for the report."""
    count: Callable[[Evidence], int]
    """How much of that the history has; 0: nothing was checked."""
    of: str = "logs"
    """What it is about: "logs", or "groups" that consume them."""

    @property
    def name(self) -> str:
        """Also of its violations."""
        return self.find.__name__


def _acknowledged(evidence: Evidence) -> int:
    return len(evidence.acknowledged)


def _records_read(evidence: Evidence) -> int:
    return sum(len(read.records) for read in evidence.reads)


def _records_polled(evidence: Evidence) -> int:
    return sum(len(poll.records) for poll in evidence.polls)


def _idempotent(evidence: Evidence) -> int:
    return sum(send.invoked.idempotent for send in evidence.sends)


def _grants(evidence: Evidence) -> int:
    return sum(len(share.grants) for share in evidence.shares)


def _commits(evidence: Evidence) -> int:
    return sum(len(share.acknowledged) for share in evidence.shares)


def _positions(evidence: Evidence) -> int:
    return _grants(evidence) + sum(len(share.reads) for share in evidence.shares)


def _settles(evidence: Evidence) -> int:
    return sum(len(share.settles) for share in evidence.shares)


CHECKERS: tuple[Checker, ...] = (
    Checker(lost_writes, "acknowledged sends", _acknowledged),
    Checker(unseen_writes, "acknowledged sends", _acknowledged),
    Checker(duplicates, "idempotent sends", _idempotent),
    Checker(inconsistent_offsets, "records read", _records_read),
    Checker(aborted_reads, "records read", _records_read),
    Checker(phantom_reads, "records read", _records_read),
    Checker(precommitted_reads, "records read", _records_read),
    Checker(internal_poll_skips, "records polled", _records_polled),
    Checker(external_poll_skips, "polls", lambda evidence: len(evidence.polls)),
    Checker(internal_nonmonotonic_polls, "records read", _records_read),
    Checker(external_nonmonotonic_polls, "polls", lambda evidence: len(evidence.polls)),
    Checker(internal_nonmonotonic_sends, "idempotent sends", _idempotent),
    Checker(external_nonmonotonic_sends, "acknowledged sends", _acknowledged),
    Checker(divergent_replicas, "replicas", lambda evidence: len(evidence.replicas)),
    Checker(overlapping_ownership, "grants to members", _grants, of="groups"),
    Checker(stale_commits, "commits of members", _commits, of="groups"),
    Checker(lost_commits, "positions read", _positions, of="groups"),
    Checker(unhandled_positions, "positions read", _positions, of="groups"),
    Checker(late_ownership, "partitions of groups", _settles, of="groups"),
)


def check(history: Sequence[Operation]) -> list[Violation]:
    """All violations of all checkers."""
    evidence = Evidence(history)
    return [violation for checker in CHECKERS for violation in checker.find(evidence)]
