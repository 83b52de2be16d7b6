"""What a history says of each partition, worked out once for all checkers.

The final log of a partition is what its last drain found. A history without a drain of it has
only what readers polled: then the final log is all that anybody read, from the least offset that a
consumer was told to begin with, and nothing is known of what lies beyond the last record read.
That is Jepsen's rule for lost writes; a drain makes it sharper, since one reader went over
everything.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jepsen_like.checkers.history import Attempt, Operation
from jepsen_like.checkers.shares import shares_of


@dataclass(frozen=True, slots=True)
class Send(Attempt):
    """A record that was sent."""

    @property
    def offset(self) -> int:
        """Where the acknowledgement says that it is; -1: it does not say."""
        return self.ended.offset if self.acknowledged and self.ended is not None else -1

    @property
    def lines(self) -> tuple[int, ...]:
        """Of its invocation and its end."""
        return lines(*([self.invoked] if self.ended is None else [self.invoked, self.ended]))


class FinalLog:
    """What a partition holds in the end, as far as is known."""

    def __init__(
        self,
        partition: int,
        start: int,
        records: Sequence[tuple[int, str]],
        drain: Operation | None,
        told: Iterable[int] = (),
    ) -> None:
        """`told`: offsets of records that somebody was told of, wherever they lie."""
        self.partition = partition
        self.start = start
        """The log begins here, or what is known of it does."""
        self.records = tuple(records)
        self.drain = drain
        """What told so; None: no drain did."""
        last = max((offset + 1 for offset, _ in self.records), default=start)
        self.end = last if drain is None else max(last, drain.end)
        """Exclusive; what lies beyond was not looked at."""
        self.offsets = sorted({offset for offset, _ in self.records})
        self._let_go = sorted({offset for offset in told if offset < start})
        self._at: dict[int, str] = {}
        self._first: dict[str, int] = {}
        for offset, value in self.records:
            self._at.setdefault(offset, value)
            self._first.setdefault(value, offset)

    def at(self, offset: int) -> str | None:
        """The value at an offset, None for a gap."""
        return self._at.get(offset)

    def offset_of(self, value: str) -> int:
        """The first offset of a value, -1 when it is not there."""
        return self._first.get(value, -1)

    def next_from(self, offset: int) -> int | None:
        """The first record's offset at or after one, None when there is none."""
        place = bisect_left(self.offsets, offset)
        return self.offsets[place] if place < len(self.offsets) else None

    def next_let_go(self, offset: int) -> int | None:
        """The first offset at or after one, below the start, of which somebody was told that a
        record is there; None when there is none."""
        place = bisect_left(self._let_go, offset)
        return self._let_go[place] if place < len(self._let_go) else None


class Evidence:
    """A history, indexed."""

    def __init__(self, history: Sequence[Operation]) -> None:
        self.history = history
        ends = {o.op: o for o in history if o.what == "send" and o.kind != "invoke"}
        self.sends = [
            Send(o, ends.get(o.op)) for o in history if o.what == "send" and o.kind == "invoke"
        ]
        """In the order of their invocations."""
        self.by_value = {send.invoked.value: send for send in self.sends}
        self.acknowledged = [send for send in self.sends if send.acknowledged]
        self.assignments = [o for o in history if o.what == "assign" and o.kind == "ok"]
        self.polls = [o for o in history if o.what == "poll" and o.kind == "ok"]
        self.drains = [o for o in history if o.what == "drain" and o.kind == "ok"]
        self.reads = sorted([*self.polls, *self.drains], key=lambda o: o.index)
        self.replicas = [o for o in history if o.what == "replica" and o.kind == "ok"]
        self._began = {o.op: o.index for o in history if o.kind == "invoke"}
        self._logs = self._final_logs()
        self.shares = shares_of(history)
        """Partitions of consumer groups."""

    def began(self, ended: Operation) -> int:
        """Index of an operation's invocation, of its end when it has none."""
        return self._began.get(ended.op, ended.index)

    def log(self, partition: int) -> FinalLog | None:
        """The partition's final log, None when nobody read it."""
        return self._logs.get(partition)

    def position(self, send: Send) -> int:
        """Where a send's record is: as acknowledged, else as the final log shows it; -1: unknown.

        A record that is not idempotent may be there twice: of such only the acknowledgement counts.
        """
        if send.offset >= 0:
            return send.offset
        log = self.log(send.invoked.partition)
        if log is None or not send.invoked.idempotent:
            return -1
        return log.offset_of(send.invoked.value)

    def _told_of(self, partition: int) -> Iterator[int]:
        """Where records are known to be, or to have been: by acknowledgements and reads."""
        for send in self.acknowledged:
            if send.invoked.partition == partition and send.offset >= 0:
                yield send.offset
        for poll in self.polls:
            if poll.partition == partition:
                yield from (offset for offset, _ in poll.records)

    def _final_logs(self) -> dict[int, FinalLog]:
        logs: dict[int, FinalLog] = {}
        for drain in self.drains:
            number = drain.partition
            told = self._told_of(number) if drain.offset > 0 else ()
            logs[number] = FinalLog(number, max(0, drain.offset), drain.records, drain, told)
        starts: dict[int, int] = {}
        seen: dict[int, dict[int, str]] = {}
        for operation in sorted([*self.assignments, *self.polls], key=lambda o: o.index):
            number = operation.partition
            if number in logs:
                continue
            offsets = [offset for offset, _ in operation.records]
            if operation.what == "assign" and operation.offset >= 0:
                offsets = [operation.offset]
            starts[number] = min([*offsets, starts.get(number, 1 << 63)])
            for offset, value in operation.records:
                seen.setdefault(number, {}).setdefault(offset, value)
        for number, values in seen.items():
            logs[number] = FinalLog(number, starts[number], sorted(values.items()), None)
        return logs


def lines(*operations: Operation) -> tuple[int, ...]:
    """Their lines' numbers, ascending, each once."""
    return tuple(sorted({operation.index + 1 for operation in operations}))
