"""How far the log is durable: which end each unfinished write vouches for.

Writes are numbered, and become durable in the order of their numbers. A write that extends the
log vouches for its end, but only as long as those bytes are the log's: a truncation that is
queued behind it takes them back. So the moment a truncation is *queued*, every end above the cut
is lowered to the cut. A completion that comes later says "the write is on the disk", and the
lowered end keeps it from acknowledging bytes that were overwritten meanwhile. (Matching a
completion by offset alone acknowledged lost data in CockroachDB, issue 124440.)
"""

from __future__ import annotations

from collections import deque

from replication.errors import invariant
from replication.types import Offset, WriteSequence

SENT_AT_ONCE = WriteSequence(0)
"""`Send.after` of a message that waits for nothing."""


class PendingWrites:
    """Numbers the writes of one log and knows its durable end.

    Invariant: `_pending` holds (write, end) with both strictly ascending, every write above
    `durable_write`, every end above `durable_end`; none exceeds the log's end.
    """

    __slots__ = ("_issued", "_pending", "durable_end", "durable_write")

    def __init__(self, durable_end: Offset) -> None:
        self.durable_end = durable_end
        self.durable_write = SENT_AT_ONCE
        self._issued = 0
        self._pending: deque[tuple[WriteSequence, Offset]] = deque()

    def issue(self) -> WriteSequence:
        """A number for a write that does not touch the log."""
        self._issued += 1
        return WriteSequence(self._issued)

    def append(self, end: Offset) -> WriteSequence:
        """A number for a write that extends the log to `end`."""
        self._issued += 1
        write = WriteSequence(self._issued)
        self._pending.append((write, end))
        return write

    def truncate(self, cut: Offset) -> WriteSequence:
        """A number for a write that removes [cut, ...); earlier writes vouch for no more."""
        pending = self._pending
        lowered: WriteSequence | None = None
        while pending and pending[-1][1] >= cut:
            # The first of them to complete already shows all that is left: [.., cut).
            lowered = pending.pop()[0]
        if self.durable_end > cut:
            self.durable_end = cut
        elif lowered is not None and self.durable_end < cut:
            pending.append((lowered, cut))
        return self.issue()

    def complete(self, write: WriteSequence) -> bool:
        """`write` and all before it are durable; True when the durable end moved."""
        invariant(
            write <= self._issued,
            "a write completed that was never asked for",
            write=write,
            issued=self._issued,
        )
        if write <= self.durable_write:
            return False
        self.durable_write = write
        pending = self._pending
        moved = False
        while pending and pending[0][0] <= write:
            self.durable_end = pending.popleft()[1]
            moved = True
        return moved

    def covering(self, end: Offset) -> WriteSequence:
        """The write after which [.., end) is durable; 0 when it is already."""
        if end <= self.durable_end:
            return SENT_AT_ONCE
        found = SENT_AT_ONCE
        for write, reached in reversed(self._pending):
            if reached < end:
                break
            found = write
        invariant(found, "nothing pending covers an end of the log", end=end)
        return found

    def outstanding(self, write: WriteSequence) -> WriteSequence:
        """`write` while it is not durable, else 0."""
        return write if write > self.durable_write else SENT_AT_ONCE

    def replace(self, durable_end: Offset) -> None:
        """The log was replaced by a durable copy; nothing pending vouches for it."""
        self._pending.clear()
        self.durable_end = durable_end
