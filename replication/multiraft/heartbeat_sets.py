"""The agreement behind heartbeats: which groups one heartbeat speaks for.

The sender keeps, for each peer, the set of (group, term) it leads towards it; the receiver keeps
what it agreed to of each peer's set. While version and hash agree a heartbeat is a constant-size
message and touches no group. Only groups of the agreed set are kept alive by it: a leader that
died with its process, or stepped down, is not covered by its node's later heartbeats
(CockroachDB issue 6107).
"""

from __future__ import annotations

from collections.abc import Iterable

from replication.transport.messages import Heartbeat, HeartbeatAnswer, LedGroup
from replication.types import GroupId, ReplicaId, Term

_MASK = (1 << 64) - 1
_REFUSED_MAX = 4_096
"""Refusals in one answer; the rest follows as these are settled."""


def mix(group_id: GroupId, term: Term) -> int:
    """A 64-bit hash of one member of a set (splitmix64's finalizer); sets add them up."""
    value = (group_id * 0x9E3779B97F4A7C15 + term * 0xD1B54A32D192ED03) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def hash_of(groups: Iterable[LedGroup]) -> int:
    """Order-free hash of a set."""
    return sum(mix(led.group_id, led.term) for led in groups) & _MASK


class LedSet:
    """Sender's side, towards one peer.

    Invariant: `_hash` is `hash_of` the set; `_version` grows with each change and is 0 only
    while nothing was ever led; `refused` is a part of the set.
    """

    __slots__ = ("_agreed", "_groups", "_hash", "_version", "refused")

    def __init__(self) -> None:
        self._groups: dict[GroupId, LedGroup] = {}
        self._version = 0
        self._hash = 0
        self._agreed = 0
        self.refused: dict[GroupId, Term] = {}
        """Groups that the peer said it does not follow, with its own term of each."""

    def groups(self) -> list[GroupId]:
        """The set, oldest first."""
        return list(self._groups)

    def term_of(self, group_id: GroupId) -> Term | None:
        """Term the group is led in; None when it is not in the set."""
        led = self._groups.get(group_id)
        return None if led is None else led.term

    def add(self, group_id: GroupId, term: Term, leader: ReplicaId) -> None:
        """This node leads the group, and the peer has a replica of it."""
        known = self._groups.get(group_id)
        if known is not None:
            if known.term == term:
                return
            self._hash -= mix(group_id, known.term)
        self._groups[group_id] = LedGroup(group_id, term, leader)
        self._hash = (self._hash + mix(group_id, term)) & _MASK
        self._version += 1
        self.refused.pop(group_id, None)

    def remove(self, group_id: GroupId) -> None:
        """It does not any more, or the peer has none."""
        known = self._groups.pop(group_id, None)
        if known is not None:
            self._hash = (self._hash - mix(group_id, known.term)) & _MASK
            self._version += 1
            self.refused.pop(group_id, None)

    def heartbeat(self, boot_id: int) -> Heartbeat:
        """What to send now: the whole set after a change, and until it was agreed to."""
        groups = None if self._agreed == self._version else tuple(self._groups.values())
        return Heartbeat(boot_id, self._version, self._hash, groups)

    def answered(self, answer: HeartbeatAnswer) -> list[GroupId]:
        """Take an answer; returns the groups that are newly refused or no longer."""
        if answer.agreed_set_version != self._version:
            if answer.agreed_set_version == 0:
                self._agreed = 0
            return []
        self._agreed = self._version
        if not answer.refused and not self.refused:
            return []
        refused = {r.group_id: r.term for r in answer.refused if r.group_id in self._groups}
        changed = [g for g in refused if self.refused.get(g) != refused[g]]
        changed += [g for g in self.refused if g not in refused]
        self.refused = refused
        return changed


class FollowedSet:
    """Receiver's side, of one peer.

    Invariant: `followed` and `refused` part the groups of the set that was agreed to; both are
    empty while `version` is 0 and nothing was agreed.
    """

    __slots__ = ("boot_id", "followed", "refused", "set_hash", "version")

    def __init__(self) -> None:
        self.boot_id = 0
        self.version = 0
        self.set_hash = 0
        self.followed: dict[GroupId, LedGroup] = {}
        self.refused: dict[GroupId, LedGroup] = {}

    def matches(self, heartbeat: Heartbeat) -> bool:
        """The heartbeat speaks for the set that was agreed to."""
        return (
            heartbeat.boot_id == self.boot_id
            and heartbeat.set_version == self.version
            and heartbeat.set_hash == self.set_hash
        )

    def agree(self, heartbeat: Heartbeat, groups: tuple[LedGroup, ...]) -> list[GroupId]:
        """Take the whole set; every group of it starts refused, except those followed in the same
        term already. Returns the groups that were followed and are so no more."""
        claimed = {led.group_id: led for led in groups}
        dropped = []
        kept: dict[GroupId, LedGroup] = {}
        for group_id, before in self.followed.items():
            if claimed.get(group_id) == before:
                kept[group_id] = before
            else:
                dropped.append(group_id)
        self.boot_id = heartbeat.boot_id
        self.version, self.set_hash = heartbeat.set_version, heartbeat.set_hash
        self.followed = kept
        self.refused = {g: led for g, led in claimed.items() if g not in kept}
        return dropped

    def forget(self) -> list[GroupId]:
        """Nothing is agreed any more; returns what was followed."""
        followed = list(self.followed)
        self.version, self.set_hash, self.boot_id = 0, 0, 0
        self.followed, self.refused = {}, {}
        return followed

    def follow(self, led: LedGroup) -> None:
        """A refused group is followed now."""
        self.refused.pop(led.group_id, None)
        self.followed[led.group_id] = led

    def unfollow(self, group_id: GroupId) -> None:
        """The local replica follows another leader, or none: refuse it from now on."""
        led = self.followed.pop(group_id, None)
        if led is not None:
            self.refused[group_id] = led

    def answer(self, boot_id: int, refusals: Iterable[LedGroup]) -> HeartbeatAnswer:
        """The answer to a heartbeat that matches."""
        refused = tuple(refusals)
        return HeartbeatAnswer(boot_id, self.version, refused[:_REFUSED_MAX])
