"""What a member of a group holds, and until when: no I/O, no clock, times come in.

The coordinator decides and tells a member all that it owns; the member compares that with what it
holds. Three things follow: what is new, what is to be given up (in the member's own time, until the
rebalance timeout), and what is lost (at once, without a commit).

Invariants:
- A hold is under one grant epoch. The same partition under another one is another hold.
- `Hold.epoch` is an epoch of the member under which it surely owned the partition: positions are
  committed under that one, never under one that the member was given after it lost the partition.
- `Lease.until_s` is the sending time of the newest confirmed sign of life, plus the session timeout.

Rejected: taking back a revocation that a later assignment does not name any more as one. The
coordinator does not do that, and a hold that ends and begins anew can not be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from streamlog.client.groups.options import REBALANCE_TIMEOUT_MS, SESSION_TIMEOUT_MS
from streamlog.client.records import TopicPartition
from streamlog.v1 import group_service_pb2 as pb

PartitionId = tuple[int, int]
"""Topic id and partition number."""

HEARTBEATS_OPEN_MAX: Final = 64
"""Whose answers are waited for; older ones confirm nothing any more."""
HEARTBEATS_PER_SESSION: Final = 6
"""Until the coordinator says how often."""
SILENCE_PARTS: Final = 3
"""A coordinator that says nothing for a third of the session is looked for elsewhere."""
JOIN_PATIENCE_MS: Final = 10_000.0
"""With one that has yet to answer the join."""
MARGIN_PARTS: Final = 10
MARGIN_MS_MIN: Final = 100.0
MARGIN_MS_MAX: Final = 5_000.0
"""Before the end of the rebalance timeout; the way to the coordinator takes time, too."""


@dataclass(slots=True, eq=False)
class Hold:
    """A partition that the member has."""

    partition: PartitionId
    pair: TopicPartition
    grant_epoch: int
    epoch: int
    committed: int | None
    """Where the grant says to begin; None: nothing was committed."""
    revoking: bool = False
    revoked_at_ms: float = 0.0
    announced: bool = False
    """The application knows of it."""


@dataclass(slots=True)
class Lease:
    """Until when records may be handed out, in seconds of the event loop's clock.

    An object of its own because it is looked at for each record.
    """

    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """What an assignment means for the member."""

    lost: tuple[Hold, ...] = ()
    revoking: tuple[Hold, ...] = ()
    """Since this assignment."""
    assigned: tuple[Hold, ...] = ()
    given_up: tuple[PartitionId, ...] = ()
    """To be given up, and not held any more: to be acknowledged again."""


@dataclass(slots=True)
class Member:
    """One member, over all its lives and streams.

    Args:
        draw_id: makes a member id that nobody else has.
        session_timeout_ms, rebalance_timeout_ms: as asked for; 0: the protocol's defaults.
    """

    draw_id: Callable[[], str]
    session_timeout_ms: int = 0
    rebalance_timeout_ms: int = 0
    member_id: str = field(init=False)
    epoch: int = field(init=False, default=0)
    heartbeat_interval_ms: int = field(init=False)
    holds: dict[PartitionId, Hold] = field(init=False, default_factory=dict)
    by_pair: dict[TopicPartition, Hold] = field(init=False, default_factory=dict)
    lease: Lease = field(init=False, default_factory=Lease)
    joined: bool = field(init=False, default=False)
    """On the present stream."""
    _assigned_count: int = field(init=False, default=0)
    _join_sent_ms: float = field(init=False, default=0.0)
    _confirmed_ms: float = field(init=False, default=float("-inf"))
    _sequence: int = field(init=False, default=0)
    _open: dict[int, float] = field(init=False, default_factory=dict)
    """When the heartbeats were sent whose answers have not come."""

    def __post_init__(self) -> None:
        self.member_id = self.draw_id()
        self.session_timeout_ms = self.session_timeout_ms or SESSION_TIMEOUT_MS
        self.rebalance_timeout_ms = self.rebalance_timeout_ms or REBALANCE_TIMEOUT_MS
        self.heartbeat_interval_ms = self.session_timeout_ms // HEARTBEATS_PER_SESSION

    # Signs of life.

    def joining(self, now_ms: float) -> None:
        """A join is sent on a new stream."""
        self.joined = False
        self._join_sent_ms = now_ms
        self._open.clear()

    def beat(self, now_ms: float) -> tuple[int, int, int]:
        """A heartbeat is sent: its sequence, epoch and count of assigned partitions."""
        self._sequence += 1
        if len(self._open) >= HEARTBEATS_OPEN_MAX:
            del self._open[next(iter(self._open))]
        self._open[self._sequence] = now_ms
        return self._sequence, self.epoch, self._assigned_count

    def confirmed(self, sequence: int) -> None:
        """The answer to a heartbeat came, and with it those to all before it."""
        sent_ms = self._open.get(sequence)
        if sent_ms is None:
            return
        for earlier in [number for number in self._open if number <= sequence]:
            del self._open[earlier]
        self._confirm(sent_ms)

    def is_fenced(self, now_ms: float) -> bool:
        """Somebody else may have been given what it holds."""
        return now_ms / 1_000 >= self.lease.until_s

    def is_silent(self, now_ms: float) -> bool:
        """The coordinator has not answered on this stream for too long."""
        if not self.joined:
            return now_ms - self._join_sent_ms > JOIN_PATIENCE_MS
        heard_ms = max(self._confirmed_ms, self._join_sent_ms)
        return now_ms - heard_ms > self.session_timeout_ms / SILENCE_PARTS

    def _confirm(self, sent_ms: float) -> None:
        self._confirmed_ms = max(self._confirmed_ms, sent_ms)
        self.lease.until_s = (self._confirmed_ms + self.session_timeout_ms) / 1_000

    # What it holds.

    def told(self, message: pb.MemberAssignment, now_ms: float) -> Change:
        """All that the member owns, by the coordinator."""
        if message.session_timeout_ms:
            self.session_timeout_ms = message.session_timeout_ms
        if message.heartbeat_interval_ms:
            self.heartbeat_interval_ms = message.heartbeat_interval_ms
        if not self.joined:
            self.joined = True
            self._confirm(self._join_sent_ms)
        self.epoch, self._assigned_count = message.member_epoch, len(message.assigned)
        before, self.holds = self.holds, {}
        assigned: list[Hold] = []
        for grant in message.assigned:
            if not grant.topic:
                continue  # It is being deleted: nobody can say its name any more.
            key = (grant.topic_id, grant.partition)
            known = before.get(key)
            if known is None or known.revoking or known.grant_epoch != grant.grant_epoch:
                known = _granted(grant, self.epoch)
                assigned.append(known)
            known.epoch = self.epoch
            self.holds[key] = known
        revoking: list[Hold] = []
        given_up: list[PartitionId] = []
        for partition in message.revoking:
            key = (partition.topic_id, partition.partition)
            known = before.get(key)
            if known is None:
                given_up.append(key)
                continue
            self.holds[key] = known
            if not known.revoking:
                known.revoking, known.revoked_at_ms = True, now_ms
                revoking.append(known)
        self.by_pair = {hold.pair: hold for hold in self.holds.values()}
        lost = [hold for key, hold in before.items() if self.holds.get(key) is not hold]
        return Change(tuple(lost), tuple(revoking), tuple(assigned), tuple(given_up))

    def has(self, hold: Hold) -> bool:
        """It still holds this, under the same grant."""
        return self.holds.get(hold.partition) is hold

    def give_up(self, holds: Iterable[Hold]) -> list[PartitionId]:
        """Hold these no more; what to acknowledge."""
        given: list[PartitionId] = []
        for hold in holds:
            if self.has(hold):
                del self.holds[hold.partition], self.by_pair[hold.pair]
                given.append(hold.partition)
        return given

    def forget(self) -> Change:
        """It is a member no more: everything is lost, and the next join is another member's."""
        lost, self.holds = tuple(self.holds.values()), {}
        self.by_pair.clear()
        self.member_id, self.epoch, self.joined = self.draw_id(), 0, False
        self._assigned_count, self._confirmed_ms = 0, float("-inf")
        self._open.clear()
        self.lease.until_s = 0.0
        return Change(lost)

    def revocation_ends_ms(self, hold: Hold, margins: float) -> float:
        """So many margins before the coordinator's patience with this revocation ends."""
        timeout_ms = self.rebalance_timeout_ms
        margin_ms = min(max(timeout_ms / MARGIN_PARTS, MARGIN_MS_MIN), MARGIN_MS_MAX)
        return hold.revoked_at_ms + timeout_ms - margins * margin_ms

    def phase(self, now_ms: float) -> Literal["joining", "stable", "revoking", "fenced"]:
        """See MembershipView."""
        if not self.epoch:
            return "joining"
        if self.is_fenced(now_ms):
            return "fenced"
        if any(hold.revoking for hold in self.holds.values()):
            return "revoking"
        return "stable"


def _granted(grant: pb.AssignedPartition, epoch: int) -> Hold:
    return Hold(
        (grant.topic_id, grant.partition),
        TopicPartition(grant.topic, grant.partition),
        grant.grant_epoch,
        epoch,
        grant.committed.offset if grant.HasField("committed") else None,
    )
