"""The durable end against a dumb twin that keeps the log after every write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import InvariantViolation
from replication.raft.pending_writes import PendingWrites
from replication.types import Offset, WriteSequence

STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "truncate", "other", "complete"]), st.integers(0, 6)),
    max_size=40,
)


class KeepsEveryLog:
    """The log is a list of unique tokens; `logs[n]` is what is on the disk after write n."""

    def __init__(self) -> None:
        self.logs: list[list[int]] = [[]]
        self.done = 0
        self._token = 0

    def append(self, span: int) -> None:
        fresh = range(self._token, self._token + span)
        self._token += span
        self.logs.append([*self.logs[-1], *fresh])

    def truncate(self, cut: int) -> None:
        self.logs.append(self.logs[-1][:cut])

    def shared_after(self, write: int) -> int:
        """How much of the log as it is now the disk holds after a write."""
        pairs = zip(self.logs[write], self.logs[-1], strict=False)
        return next(
            (n for n, (a, b) in enumerate(pairs) if a != b),
            min(len(self.logs[write]), len(self.logs[-1])),
        )


@given(STEPS)
def test_only_bytes_that_are_still_the_logs_are_durable(steps: list[tuple[str, int]]) -> None:
    """The durable end is what disk and log share; `covering` names the first write after which
    an end is on the disk."""
    writes, twin = PendingWrites(Offset(0)), KeepsEveryLog()
    for what, number in steps:
        length = len(twin.logs[-1])
        if what == "append":
            writes.append(Offset(length + number + 1))
            twin.append(number + 1)
        elif what == "truncate":
            cut = min(number, length)
            writes.truncate(Offset(cut))
            twin.truncate(cut)
        elif what == "other":
            writes.issue()
            twin.logs.append(twin.logs[-1])
        else:
            twin.done = min(twin.done + number, len(twin.logs) - 1)
            writes.complete(WriteSequence(twin.done))
        assert writes.durable_end == twin.shared_after(twin.done)
        for end in range(len(twin.logs[-1]) + 1):
            first = next(n for n in range(twin.done, len(twin.logs)) if twin.shared_after(n) >= end)
            assert writes.covering(Offset(end)) == (0 if first == twin.done else first)


def test_what_was_never_asked_for_can_not_complete() -> None:
    """A completion above every issued number, or an end beyond the log, is a violation."""
    writes = PendingWrites(Offset(3))
    writes.append(Offset(5))
    with pytest.raises(InvariantViolation):
        writes.complete(WriteSequence(2))
    with pytest.raises(InvariantViolation):
        writes.covering(Offset(6))
