"""Linearizable reads without writing to the log: ReadIndex (Raft thesis section 6.4).

A read may be served at the commit known when it arrived, once the leader knows that it still led
at some moment after that: a quorum echoed its term in answer to a probe sent for the read. An
echo for a later read confirms the earlier ones too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from replication.errors import invariant
from replication.raft.quorum import has_quorum
from replication.types import Membership, Offset, ReplicaId


@dataclass(slots=True)
class _Read:
    commit_end: Offset
    echoed: dict[ReplicaId, None] = field(default_factory=dict)


class PendingReads:
    """Reads of one leadership, in the order they came.

    Invariant: at most `limit` are held, parked ones included; contexts are distinct.
    """

    __slots__ = ("_limit", "_parked", "_probed")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parked: dict[int, None] = {}
        """Came before an entry of the term was committed: the leader's commit may be behind."""
        self._probed: dict[int, _Read] = {}

    @property
    def newest(self) -> int | None:
        """Context of the newest read that is being confirmed."""
        return next(reversed(self._probed), None)

    def park(self, context: int) -> int | None:
        """Hold a read until the term is established; returns the context refused for it."""
        evicted = self._make_room(context)
        self._parked[context] = None
        return evicted

    def unpark(self) -> tuple[int, ...]:
        """The parked reads, oldest first; they are no longer held."""
        parked, self._parked = tuple(self._parked), {}
        return parked

    def begin(self, context: int, commit_end: Offset) -> int | None:
        """Hold a read until leadership is confirmed; returns the context refused for it.

        The oldest is refused when there is no room: its probe is the likeliest to be lost.
        """
        evicted = self._make_room(context)
        self._probed[context] = _Read(commit_end)
        return evicted

    def echo(
        self, sender: ReplicaId, context: int, own: ReplicaId, membership: Membership
    ) -> list[tuple[int, Offset]]:
        """A voter answered; the reads this confirms, oldest first, with their commit ends."""
        read = self._probed.get(context)
        if read is None:
            return []
        read.echoed[sender] = None
        read.echoed[own] = None
        if not has_quorum(membership, read.echoed):
            return []
        ready: list[tuple[int, Offset]] = []
        for earlier in tuple(self._probed):
            ready.append((earlier, self._probed.pop(earlier).commit_end))
            if earlier == context:
                break
        return ready

    def drain(self) -> tuple[int, ...]:
        """Every context that is held, oldest first; none is afterwards."""
        every = (*self._probed, *self._parked)
        self._probed, self._parked = {}, {}
        return every

    def _make_room(self, context: int) -> int | None:
        invariant(
            context not in self._parked and context not in self._probed,
            "a read's context is in use",
            context=context,
        )
        if len(self._parked) + len(self._probed) < self._limit:
            return None
        if self._probed:
            evicted = next(iter(self._probed))
            del self._probed[evicted]
        else:
            evicted = next(iter(self._parked))
            del self._parked[evicted]
        return evicted
