"""When does everybody read again? Decided from what the members themselves tell.

A member tells when partitions are given to it and taken from it, and which records it got. After
a change in the group every partition that went to somebody, be it the one that had it before,
must deliver a record that was produced after the change; that is when it is read again. Times are
of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Change:
    """A change that is being measured."""

    at_s: float
    joined: str | None
    """The member that arrived: it must be given its part."""
    part: int
    """How many partitions that is at least."""
    moved: int = 0
    """Partitions that were given to somebody since."""
    read_again_s: float = 0.0
    """The latest time at which one of them delivered for the first time."""
    stayed_worst_s: float = 0.0
    """The longest that a record took on its way in partitions that were not touched."""


@dataclass(slots=True)
class Reading:
    """Who owns which partition, as members told, and which of them were not read since."""

    partitions: int
    owner: dict[int, str] = field(default_factory=dict)
    awaited: dict[int, str] = field(default_factory=dict)
    """Given to this member, which has not delivered a record of it that is new enough."""
    touched: set[int] = field(default_factory=set)
    """Given or taken since the change."""
    change: Change | None = None

    def begin(self, at_s: float, *, joined: str | None = None, part: int = 0) -> Change:
        """Something happens in the group at `at_s`."""
        self.change = Change(at_s, joined, part)
        self.awaited.clear()
        self.touched.clear()
        return self.change

    def gone(self, member: str) -> None:
        """The member reads no more, and can not tell."""
        self.revoked(member, [p for p, owner in self.owner.items() if owner == member])

    def assigned(self, member: str, partitions: list[int]) -> list[int]:
        """Given to a member; those of which a record is needed now."""
        for partition in partitions:
            self.owner[partition] = member
        if self.change is None:
            return []
        self.change.moved += len(partitions)
        self.touched.update(partitions)
        self.awaited.update(dict.fromkeys(partitions, member))
        return partitions

    def revoked(self, member: str, partitions: list[int]) -> None:
        """Taken from a member. Its next owner may have told first."""
        for partition in partitions:
            if self.owner.get(partition) == member:
                del self.owner[partition]
                self.awaited.pop(partition, None)
                self.touched.add(partition)

    def read(self, member: str, partition: int, produced_s: float, at_s: float) -> None:
        """A member got a record."""
        change = self.change
        if change is None or produced_s < change.at_s:
            return
        if self.awaited.get(partition) == member:
            del self.awaited[partition]
            change.read_again_s = max(change.read_again_s, at_s)
        elif partition not in self.touched:
            change.stayed_worst_s = max(change.stayed_worst_s, at_s - produced_s)

    @property
    def all_read(self) -> bool:
        """Every partition has an owner, and every one that was given has delivered."""
        if len(self.owner) < self.partitions or self.awaited:
            return False
        change = self.change
        if change is None or change.joined is None:
            return True
        mine = sum(1 for owner in self.owner.values() if owner == change.joined)
        return mine >= change.part

    def missing(self) -> str:
        """What is missing, for an error."""
        nobody = sorted(set(range(self.partitions)) - set(self.owner))
        return (
            f"{len(nobody)} partitions without an owner ({nobody[:5]} ...),"
            f" {len(self.awaited)} not read since ({sorted(self.awaited)[:5]} ...)"
        )
