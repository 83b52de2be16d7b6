"""What a history says of consumer groups: one `Share` for each partition of each group.

What orders events here is not only the clock of whoever recorded them. Epochs do, too: a commit
that counted under epoch e came before every grant above e, and a grant at g before every commit
under it, however late anybody heard of it. So what a member is told long after it was decided (it
was frozen, or its way blocked) is judged by what it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jepsen_like.checkers.history import Attempt, Operation

NEVER = 1 << 62
"""Index of an end that never came."""
NO_POSITION = -1


@dataclass(frozen=True, slots=True)
class Write(Attempt):
    """Something that sets a group's position in a partition, or takes it away."""

    @property
    def position(self) -> int:
        """Afterwards."""
        return NO_POSITION if self.invoked.what == "forget" else self.invoked.offset

    @property
    def end_index(self) -> int:
        """From then on it has taken effect for sure; NEVER: nobody knows."""
        return self.ended.index if self.ended is not None and self.acknowledged else NEVER

    @property
    def by_member(self) -> bool:
        """A commit that is fenced by epochs."""
        return self.invoked.what == "commit" and self.invoked.epoch > 0

    @property
    def reset_epoch(self) -> int:
        """Of the group after a reset that counted; 0: it is none, or that is not known."""
        known = self.invoked.what == "reset" and self.ended is not None and self.acknowledged
        return self.ended.epoch if known and self.ended is not None else 0

    def precedes(self, other: Write) -> bool:
        """It took effect before the other one did, if both did."""
        if self.end_index < other.invoked.index:
            return True
        if other.by_member and other.invoked.grant > 0:
            if self.by_member and self.invoked.epoch < other.invoked.grant:
                return True
            if 0 < self.reset_epoch <= other.invoked.grant:
                return True
        if self.by_member and other.reset_epoch > self.invoked.epoch:
            return True
        return (
            self.by_member
            and other.by_member
            and self.invoked.member == other.invoked.member
            and self.invoked.index < other.invoked.index
            and self.end_index < other.end_index < NEVER
        )


@dataclass(slots=True)
class Share:
    """One partition of one group, in the order of the lines."""

    group: str
    partition: int
    told: list[Operation] = field(default_factory=list)
    """`grant` and `own`."""
    writes: list[Write] = field(default_factory=list)
    reads: list[Operation] = field(default_factory=list)
    """`committed`."""
    done: list[Operation] = field(default_factory=list)
    settles: list[tuple[Operation, Operation | None]] = field(default_factory=list)

    @property
    def grants(self) -> list[Operation]:
        """Each as it was first told."""
        return [operation for operation in self.told if operation.what == "grant"]

    @property
    def acknowledged(self) -> list[Write]:
        """Commits of members that counted."""
        return [write for write in self.writes if write.acknowledged and write.by_member]


def shares_of(history: Sequence[Operation]) -> list[Share]:
    """By group and partition."""
    shares: dict[tuple[str, int], Share] = {}
    ends = {o.op: o for o in history if o.group and o.kind != "invoke"}
    for operation in history:
        if not operation.group or operation.what == "poll":
            continue
        key = operation.group, operation.partition
        share = shares.get(key)
        if share is None:
            share = shares[key] = Share(*key)
        if operation.what in {"commit", "reset", "forget"} and operation.kind == "invoke":
            share.writes.append(Write(operation, ends.get(operation.op)))
        elif operation.what == "settle" and operation.kind == "invoke":
            share.settles.append((operation, ends.get(operation.op)))
        elif operation.kind != "ok":
            continue
        elif operation.what in {"grant", "own"}:
            share.told.append(operation)
        elif operation.what == "committed":
            share.reads.append(operation)
        elif operation.what == "done":
            share.done.append(operation)
    return [shares[key] for key in sorted(shares)]
