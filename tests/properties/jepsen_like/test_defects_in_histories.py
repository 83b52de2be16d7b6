"""Random valid histories are acquitted; with one defect of any kind, its checker convicts them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jepsen_like.checkers import CHECKERS, check
from jepsen_like.checkers.evidence import Evidence, Send
from jepsen_like.checkers.history import Operation

PARTITIONS = 2
PRODUCERS = ("sure1", "sure2", "plain")
CONSUMERS = ("reader1", "reader2")

History = list[Operation]
Spoil = Callable[[History, random.Random], History]


@dataclass
class Log:
    """A correct system, and the history of its clients."""

    rng: random.Random
    history: History = field(default_factory=list)
    logs: dict[int, list[tuple[int, str]]] = field(
        default_factory=lambda: {partition: [] for partition in range(PARTITIONS)}
    )
    waiting: list[Operation] = field(default_factory=list)
    """Sends that were called and are not stored, in the order of the calls."""
    unanswered: list[tuple[Operation, int]] = field(default_factory=list)
    """Sends that are stored, and where."""
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    ops: int = 0

    def step(self, kind: int) -> None:
        steps = (self.call, self.store, self.store, self.answer, self.refuse, self.poll, self.seek)
        steps[kind]()

    def call(self) -> None:
        process = self.rng.choice(PRODUCERS)
        base = self._new(process, "invoke", "send", self.rng.randrange(PARTITIONS))
        sent = replace(base, value=f"v{base.op}", idempotent=process.startswith("sure"))
        self._add(sent)
        self.waiting.append(sent)

    def store(self) -> None:
        """The first of an idempotent producer's, anyone of the others."""
        if not self.waiting:
            return
        sent = self.rng.choice(self.waiting)
        if sent.idempotent:
            where = (sent.process, sent.partition)
            sent = next(s for s in self.waiting if (s.process, s.partition) == where)
        self.waiting.remove(sent)
        log = self.logs[sent.partition]
        offset = (log[-1][0] if log else 0) + self.rng.choice([1, 1, 1, 2])
        log.append((offset, sent.value))
        self.unanswered.append((sent, offset))

    def answer(self) -> None:
        if not self.unanswered:
            return
        sent, offset = self.unanswered.pop(self.rng.randrange(len(self.unanswered)))
        if self.rng.random() < 0.8:
            self._add(replace(sent, kind="ok", offset=offset))
        else:
            self._add(replace(sent, kind="info", error="timeout"))

    def refuse(self) -> None:
        if self.waiting and self.rng.random() < 0.3:
            sent = self.waiting.pop(self.rng.randrange(len(self.waiting)))
            self._add(replace(sent, kind="fail", error="refused"))

    def poll(self) -> None:
        process, partition = self.rng.choice(CONSUMERS), self.rng.randrange(PARTITIONS)
        if (process, partition) not in self.positions:
            self._assign(process, partition, 0)
        position = self.positions[process, partition]
        records = [pair for pair in self.logs[partition] if pair[0] >= position]
        records = records[: self.rng.randint(1, 6)]
        if records:
            self.positions[process, partition] = records[-1][0] + 1
        self._add(replace(self._new(process, "ok", "poll", partition), records=tuple(records)))

    def seek(self) -> None:
        if self.positions and self.rng.random() < 0.3:
            (process, partition), position = self.rng.choice(list(self.positions.items()))
            self._assign(process, partition, self.rng.randint(0, position))

    def finish(self) -> History:
        for partition, log in self.logs.items():
            end = (log[-1][0] if log else 0) + 1
            whole = self._new("drain", "ok", "drain", partition)
            self._add(replace(whole, records=tuple(log), end=end))
            for node in (1, 2, 3):
                held = self._new(f"n{node}", "ok", "replica", partition)
                self._add(replace(held, node=node, records=tuple(log), end=end))
        return self.history

    def _assign(self, process: str, partition: int, offset: int) -> None:
        self.positions[process, partition] = offset
        self._add(replace(self._new(process, "ok", "assign", partition), offset=offset))

    def _new(self, process: str, kind: str, what: str, partition: int) -> Operation:
        self.ops += 1
        return Operation(0, 0, process, kind, what, self.ops, partition)  # type: ignore[arg-type]

    def _add(self, operation: Operation) -> None:
        self.history.append(replace(operation, index=len(self.history)))


@st.composite
def histories(draw: st.DrawFn) -> tuple[History, random.Random]:
    """What clients of a correct system may see."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    system = Log(rng)
    for kind in draw(st.lists(st.integers(0, 6), min_size=40, max_size=160)):
        system.step(kind)
    return system.finish(), rng


# One defect of each kind. None of them guesses: they say `assume` where a history has no place.


def put(history: History, operation: Operation) -> History:
    return [operation if o.index == operation.index else o for o in history]


def pick(rng: random.Random, operations: list[Operation]) -> Operation:
    assume(operations)
    return rng.choice(operations)


def drain_of(history: History, partition: int) -> Operation:
    return next(o for o in history if o.what == "drain" and o.partition == partition)


def polls(history: History, at_least: int) -> list[Operation]:
    return [o for o in history if o.what == "poll" and len(o.records) >= at_least]


def stored(history: History) -> list[Send]:
    return [send for send in Evidence(history).acknowledged if send.offset >= 0]


def appended(history: History, rng: random.Random, value: str, partition: int) -> History:
    """A record more at the end of what was drained."""
    del rng
    drain = drain_of(history, partition)
    records = (*drain.records, (drain.end, value))
    return put(history, replace(drain, records=records, end=drain.end + 1))


def lose(history: History, rng: random.Random) -> History:
    sent = pick(rng, [send.invoked for send in stored(history)])
    drain = drain_of(history, sent.partition)
    left = tuple(pair for pair in drain.records if pair[1] != sent.value)
    return put(history, replace(drain, records=left))


def hide(history: History, rng: random.Random) -> History:
    send = next(iter(rng.sample(stored(history), k=min(1, len(stored(history))))), None)
    assume(send is not None)
    assert send is not None
    drain = drain_of(history, send.invoked.partition)
    seen = tuple(pair for pair in drain.records if pair[0] < send.offset)
    return put(history, replace(drain, records=seen, end=send.offset))


def double(history: History, rng: random.Random) -> History:
    values = {o.value for o in history if o.idempotent}
    drains = [d for d in history if d.what == "drain" and values & {v for _, v in d.records}]
    drain = pick(rng, drains)
    value = rng.choice([v for _, v in drain.records if v in values])
    return appended(history, rng, value, drain.partition)


def contradict(history: History, rng: random.Random) -> History:
    poll = pick(rng, polls(history, 1))
    place = rng.randrange(len(poll.records))
    records = list(poll.records)
    records[place] = (records[place][0], "something else")
    return put(history, replace(poll, records=tuple(records)))


def abort(history: History, rng: random.Random) -> History:
    there = {value for o in history if o.what == "drain" for _, value in o.records}
    ends = [o for o in history if o.what == "send" and o.kind != "invoke" and o.value in there]
    return put(history, replace(pick(rng, ends), kind="fail", error="refused", offset=-1))


def invent(history: History, rng: random.Random) -> History:
    return appended(history, rng, "invented", rng.randrange(PARTITIONS))


def take_back(history: History, rng: random.Random) -> History:
    poll = pick(rng, polls(history, 1))
    offset = rng.choice(poll.records)[0]
    drain = drain_of(history, poll.partition)
    left = tuple(pair for pair in drain.records if pair[0] != offset)
    return put(history, replace(drain, records=left))


def skip_inside(history: History, rng: random.Random) -> History:
    poll = pick(rng, polls(history, 3))
    place = rng.randrange(1, len(poll.records) - 1)
    return put(history, replace(poll, records=poll.records[:place] + poll.records[place + 1 :]))


def skip_between(history: History, rng: random.Random) -> History:
    poll = pick(rng, polls(history, 2))
    return put(history, replace(poll, records=poll.records[1:]))


def swap_inside(history: History, rng: random.Random) -> History:
    poll = pick(rng, polls(history, 2))
    place = rng.randrange(len(poll.records) - 1)
    records = list(poll.records)
    records[place : place + 2] = records[place + 1], records[place]
    return put(history, replace(poll, records=tuple(records)))


def go_back(history: History, rng: random.Random) -> History:
    moved = [
        (poll, pair)
        for poll in polls(history, 1)
        for pair in drain_of(history, poll.partition).records
        if pair[0] < poll.records[0][0] and last_move(history, poll).what == "poll"
    ]
    assume(moved)
    poll, pair = rng.choice(moved)
    return put(history, replace(poll, records=(pair, *poll.records)))


def last_move(history: History, poll: Operation) -> Operation:
    return [
        o
        for o in history[: poll.index]
        if (o.process, o.partition) == (poll.process, poll.partition)
        and (o.what == "assign" or o.records)
    ][-1]


def exchange(history: History, first: Send, second: Send) -> History:
    """The two records change places wherever they were seen."""
    values = {
        first.invoked.value: second.invoked.value,
        second.invoked.value: first.invoked.value,
    }
    offsets = {first.invoked.op: second.offset, second.invoked.op: first.offset}
    return [
        replace(
            o,
            records=tuple((offset, values.get(value, value)) for offset, value in o.records),
            offset=offsets.get(o.op, o.offset) if o.kind == "ok" else o.offset,
        )
        for o in history
    ]


def send_pairs(history: History, *, external: bool) -> list[tuple[Send, Send]]:
    found = stored(history)
    return [
        (first, second)
        for first in found
        for second in found
        if first.invoked.process == second.invoked.process
        and first.invoked.partition == second.invoked.partition
        and first.invoked.index < second.invoked.index
        and first.ended is not None
        and (first.ended.index < second.invoked.index) == external
        and (external or first.invoked.idempotent)
    ]


def exchange_sends(history: History, rng: random.Random, *, external: bool) -> History:
    pairs = send_pairs(history, external=external)
    assume(pairs)
    return exchange(history, *rng.choice(pairs))


def diverge(history: History, rng: random.Random) -> History:
    replica = pick(rng, [o for o in history if o.what == "replica" and o.records])
    place = rng.randrange(len(replica.records))
    records = list(replica.records)
    records[place] = (records[place][0], "other bytes")
    return put(history, replace(replica, records=tuple(records)))


DEFECTS: dict[str, Spoil] = {
    "lost_writes": lose,
    "unseen_writes": hide,
    "duplicates": double,
    "inconsistent_offsets": contradict,
    "aborted_reads": abort,
    "phantom_reads": invent,
    "precommitted_reads": take_back,
    "internal_poll_skips": skip_inside,
    "external_poll_skips": skip_between,
    "internal_nonmonotonic_polls": swap_inside,
    "external_nonmonotonic_polls": go_back,
    "internal_nonmonotonic_sends": lambda h, rng: exchange_sends(h, rng, external=False),
    "external_nonmonotonic_sends": lambda h, rng: exchange_sends(h, rng, external=True),
    "divergent_replicas": diverge,
}


def test_there_is_a_defect_for_every_checker() -> None:
    """A new checker of logs needs one; those of groups have theirs in `test_group_checkers`."""
    assert list(DEFECTS) == [checker.name for checker in CHECKERS if checker.of == "logs"]


@settings(max_examples=100, deadline=None)
@given(histories())
def test_a_correct_system_is_acquitted(made: tuple[History, random.Random]) -> None:
    """With and without a drain."""
    history, _ = made
    assert check(history) == []
    undrained = [o for o in history if o.what != "drain"]
    assert {v.checker for v in check(undrained)} <= {"unseen_writes"}


@pytest.mark.parametrize("checker", DEFECTS)
@settings(max_examples=25, deadline=None)
@given(made=histories())
def test_a_defect_is_convicted(made: tuple[History, random.Random], checker: str) -> None:
    """Whatever else the defect breaks, the checker of its kind says so."""
    history, rng = made
    spoiled = DEFECTS[checker](history, rng)
    assert checker in {violation.checker for violation in check(spoiled)}
