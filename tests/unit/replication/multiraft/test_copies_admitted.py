"""Which copies of a leader a replica takes in the place of its log, and which it refuses.

The leader is in term 5 and copies [10, 12): its log begins at 10, where an entry of term 3 ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from replication.ports import CallFailed, StatusCode
from replication.transport.messages import InstallBegin, InstallChunk, InstallProgress
from replication.types import (
    EntryMeta,
    GroupCreation,
    GroupId,
    HardState,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    ReplicaId,
    Term,
)
from streamlog.storage.entry_codec import BatchEntryCodec
from tests.fakes.memory_store import Contents, Entry, MemoryDisk
from tests.fakes.multiraft_cluster import Cluster, Recorder, replica

SEVEN = GroupId(7)
MEMBERS = Membership((replica(1, 1), replica(2, 2), replica(3, 3)))
CREATION = GroupCreation(SEVEN, MEMBERS, ReplicaId(2), "partition", 8, 0)
LEADER, LEADERS_TERM = ReplicaId(1), Term(5)
START, END = LogPosition(Term(3), Offset(10)), Offset(12)


def entries(start: int, *terms: int) -> list[Entry]:
    """Of one record each, from `start` on."""
    made = []
    for base, term in enumerate(terms, start):
        draft = BatchEntryCodec().records(CREATION, [b"%d in term %d" % (base, term)], 0)
        frame = draft.frame(Offset(base), Term(term))
        made.append((EntryMeta(Offset(base), Offset(base + 1), Term(term), len(frame)), frame))
    return made


COPIED = entries(START.end, 3, 4)


class Log(NamedTuple):
    """What the replica has: its start, and the terms of the entries behind it."""

    start: LogPosition
    terms: tuple[int, ...] = ()
    needs_install: bool = False


NOTHING = LogPosition(Term(0), Offset(0))
BLANK = Log(NOTHING)
SHORT = Log(NOTHING, (1, 1, 2))
AS_LONG = Log(NOTHING, (1,) * 9 + (3, 3, 3))
"""Ends where the copy does, with another entry there."""
PARTED = Log(NOTHING, (2,) * 14)
"""Another entry ends where the copy starts: nothing behind it was ever committed."""
LONGER = Log(NOTHING, (1,) * 9 + (3, 4, 4, 4))
"""Holds what the copy holds, and goes on."""
TRIMMED_THERE = Log(START, (4, 4, 4))
TRIMMED_ABOVE = Log(LogPosition(Term(4), Offset(11)), (4, 4))
"""Where the copy starts can not be compared any more."""
TRIMMED_ABOVE_SHORT = Log(LogPosition(Term(4), Offset(11)), (4,))
DAMAGED = Log(NOTHING, (), needs_install=True)
FROM_THE_LEADER = Log(NOTHING, (1,) * 9 + (3, 4, 5))
"""Its newest entries came from this very leader, which has more than it copies."""
FROM_THE_LEADER_LONGER = Log(NOTHING, (1,) * 9 + (3, 4, 4, 5))
COMMITTED_ABOVE = Log(LogPosition(Term(4), Offset(13)), (4,))
"""More is committed than the copy has: a log starts at what is."""


class ScriptedBulk:
    """Implements BulkReceiver: one copy, all of it at once, and the answers to it."""

    def __init__(self, *, unconfirmed: bool) -> None:
        begin = InstallBegin(
            SEVEN,
            LEADER,
            CREATION.local_replica_id,
            LEADERS_TERM,
            99,
            START,
            END,
            MEMBERS,
            b"state",
            None,
            unconfirmed=unconfirmed,
        )
        data = b"".join(frame for _, frame in COPIED)
        chunk = InstallChunk(
            SEVEN, begin.to, begin.install_id, snapshot=False, data=data, last=True
        )
        self._coming: list[InstallBegin | InstallChunk] = [begin, chunk]
        self.answers: list[InstallProgress] = []

    async def receive(self) -> InstallBegin | InstallChunk | None:
        return self._coming.pop(0) if self._coming else None

    async def send(self, progress: InstallProgress) -> None:
        self.answers.append(progress)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(3)
    yield made
    made.close()


def offer(cluster: Cluster, log: Log, *, unconfirmed: bool) -> InstallProgress:
    """A copy comes to node 2, whose replica has that log; the last answer to it."""
    held = entries(log.start.end, *log.terms)
    contents = Contents(CREATION, HardState(Term(4), None), log.start, MEMBERS, held)
    contents.needs_install = log.needs_install
    node = cluster.boot(2, MemoryDisk({SEVEN: contents}))
    recorder = Recorder()
    group = node.group(SEVEN)
    group.add_observer(recorder)
    bulk = ScriptedBulk(unconfirmed=unconfirmed)
    cluster.run(2, node.host.install_received(NodeId(LEADER), bulk))
    answer = bulk.answers[-1]
    now = node.store.log(SEVEN).now
    assert answer.done != bool(answer.failure)
    assert (("replaced",) in recorder.heard) == answer.done
    assert (now.start, now.entries) == ((START, COPIED) if answer.done else (log.start, held))
    assert group.commit_end == (END if answer.done else log.start.end)
    assert (group.term, group.leader, group.installing) == (LEADERS_TERM, 1, False)
    return answer


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(BLANK, id="blank"),
        pytest.param(SHORT, id="ends below the copy's start"),
        pytest.param(AS_LONG, id="ends where the copy ends"),
        pytest.param(TRIMMED_ABOVE_SHORT, id="starts within the copy, and ends where it ends"),
        pytest.param(PARTED, id="is another one from before the copy's start on"),
    ],
)
@pytest.mark.parametrize("unconfirmed", [True, False])
def test_a_copy_that_can_take_nothing_away_is_taken(
    cluster: Cluster, log: Log, *, unconfirmed: bool
) -> None:
    """Also from a leader that does not know yet how much is committed: what the replica may have
    acknowledged beside what is copied was never committed."""
    assert offer(cluster, log, unconfirmed=unconfirmed).end == END


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(LONGER, id="goes on behind the copy"),
        pytest.param(TRIMMED_THERE, id="starts where the copy starts, and goes on"),
        pytest.param(TRIMMED_ABOVE, id="starts within the copy, and goes on"),
        pytest.param(DAMAGED, id="is damaged"),
    ],
)
def test_a_copy_that_may_take_acknowledged_entries_away_must_be_confirmed(
    cluster: Cluster, log: Log
) -> None:
    """What the replica has beyond it, or has forgotten of, it may have acknowledged to an earlier
    leader, who committed it. Once an entry of the leader's term is committed, so is all of that:
    the copy would end above."""
    refusal = offer(cluster, log, unconfirmed=True)
    assert "more may be committed than the copy has" in refusal.failure
    cluster.kill(2)
    assert offer(cluster, log, unconfirmed=False).done


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        pytest.param(FROM_THE_LEADER_LONGER, "the log ends at 13 in that term", id="in its term"),
        pytest.param(COMMITTED_ABOVE, "below the commit 13", id="committed"),
    ],
)
def test_a_confirmed_copy_must_hold_what_its_own_leader_was_told(
    cluster: Cluster, log: Log, reason: str
) -> None:
    """What the replica acknowledged in the leader's term, and what it knows to be committed."""
    assert reason in offer(cluster, log, unconfirmed=False).failure
    cluster.kill(2)
    assert offer(cluster, log, unconfirmed=True).failure


@pytest.mark.parametrize("unconfirmed", [True, False])
def test_entries_of_the_leaders_term_within_the_copy_do_not_matter(
    cluster: Cluster, *, unconfirmed: bool
) -> None:
    """The copy has them, too."""
    assert offer(cluster, FROM_THE_LEADER, unconfirmed=unconfirmed).done


class BrokenBulk(ScriptedBulk):
    """Of the copy only the first entry comes."""

    def __init__(self, breaks: str) -> None:
        super().__init__(unconfirmed=False)
        begin, whole = self._coming
        assert isinstance(whole, InstallChunk)
        self._coming = [begin, replace(whole, data=COPIED[0][1], last=False)]
        self._breaks = breaks

    async def receive(self) -> InstallBegin | InstallChunk | None:
        if not self._coming and self._breaks == "breaks":
            raise CallFailed(StatusCode.UNAVAILABLE, "the connection broke")
        if not self._coming and self._breaks == "is cancelled":
            await asyncio.Event().wait()
        return await super().receive()


def break_off(cluster: Cluster, log: Log, breaks: str) -> tuple[list[Entry], Recorder]:
    """What the replica has when a copy has come to half of it."""
    held = entries(log.start.end, *log.terms)
    contents = Contents(CREATION, HardState(Term(4), None), log.start, MEMBERS, held)
    contents.needs_install = log.needs_install
    node = cluster.boot(2, MemoryDisk({SEVEN: contents}))
    group, recorder = node.group(SEVEN), Recorder()
    group.add_observer(recorder)

    async def receive() -> None:
        coming = asyncio.ensure_future(
            node.host.install_received(NodeId(LEADER), BrokenBulk(breaks))
        )
        await asyncio.wait([coming], timeout=0.1)
        coming.cancel()
        await asyncio.wait([coming])
        while group.installing:
            await asyncio.sleep(0.001)

    cluster.run(2, receive())
    now = node.store.log(SEVEN).now
    assert group.commit_end == now.start.end if now.entries == held else END - 1
    return now.entries, recorder


@pytest.mark.parametrize("breaks", ["ends", "breaks", "is cancelled"])
@pytest.mark.parametrize(
    "log",
    [
        pytest.param(BLANK, id="blank"),
        pytest.param(SHORT, id="ends below the copy's start"),
    ],
)
def test_what_came_of_a_copy_is_kept(cluster: Cluster, log: Log, breaks: str) -> None:
    """It is committed: the leader goes on behind it with entries."""
    kept, recorder = break_off(cluster, log, breaks)
    assert kept == COPIED[:1]
    assert ("replaced",) in recorder.heard


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(AS_LONG, id="reaches beyond what came"),
        pytest.param(PARTED, id="is another one, and longer"),
        pytest.param(TRIMMED_ABOVE_SHORT, id="starts where that ends"),
        pytest.param(DAMAGED, id="is damaged"),
    ],
)
def test_half_a_copy_takes_nothing_away(cluster: Cluster, log: Log) -> None:
    """The replica may have acknowledged what it has beyond, or does not know what it had."""
    kept, recorder = break_off(cluster, log, "ends")
    assert kept == entries(log.start.end, *log.terms)
    assert ("replaced",) not in recorder.heard
