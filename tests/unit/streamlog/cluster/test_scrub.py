"""What a round of scrubbing reads, in which order, how fast, and what does not stop it."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from replication.errors import LogCorrupt, OffsetOutOfRange, StorageFailed
from replication.group import GroupHost
from replication.types import (
    EntryMeta,
    GroupCreation,
    GroupId,
    LogPosition,
    NodeId,
    Offset,
    Term,
    WriteSequence,
)
from streamlog.cluster.scrub import READ_BYTES, Scrubber
from streamlog.model.batch import iterate_frames
from streamlog.storage.damage import DamagedRange, DamageReports
from streamlog.storage.entry_codec import BatchEntryCodec
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.memory_log import MemoryLog
from tests.fakes.store_harness import LoopClock, creation_of, run

TERM = Term(1)
FAST = 1 << 40
"""Bytes per second: as good as no limit."""


class FileLog(MemoryLog):
    """A log in segments, some of which may not be readable."""

    def __init__(self, world: World, creation: GroupCreation) -> None:
        super().__init__(creation)
        self.world = world
        self.found: list[int] = []
        """Offsets of the entries that were read, in the order in which they were."""
        self.rotten: list[tuple[int, int]] = []
        """Segments that can not be read: start and end, ascending."""
        self.reports = True
        """What can not be read is reported."""
        self.failure: Exception | None = None
        self.at_failure: Callable[[], object] = lambda: None
        """Happens while the read that fails is under way."""
        self.trims: tuple[int, int] | None = None
        """When the first is about to be read, the log comes to begin at the second."""
        self.written: int | None = None
        """Exclusive end of what the files hold; None: they hold all."""
        self.read_ms = 0.5

    async def read_file(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        """As GroupLog does: never across the end of a segment."""
        await asyncio.sleep(self.read_ms / 1_000)
        group_id = self.creation.group_id
        self.world.began.setdefault(group_id)
        if self.failure is not None:
            self.at_failure()
            raise self.failure
        if self.trims is not None and start == self.trims[0]:
            through = Offset(self.trims[1])
            self.start = LogPosition(TERM, through)
            self.entries = [entry for entry in self.entries if entry[0].base >= through]
            self.trims = None
        for first, behind in self.rotten:
            if first <= start < behind:
                if self.reports:
                    self.world.report(group_id, first, behind)
                raise LogCorrupt(group_id, f"offset {start}", "bits flipped")
            if start < first < end:
                end = Offset(first)
        limit = end if self.written is None else min(end, Offset(self.written))
        frames = self._read(start, limit, 1 if self.world.one_at_a_time else max_bytes)
        self.found += [header.base_offset for _, header in iterate_frames(frames)]
        return frames


class World:
    """The logs of a node, and who scrubs them."""

    def __init__(self, groups: int = 3, entries: int = 8, entry_bytes: int = 10) -> None:
        self.groups = {
            GroupId(n): MemoryGroup(creation_of(n), NodeId(1)) for n in range(1, groups + 1)
        }
        self.logs: dict[int, FileLog] = {}
        self.began: dict[GroupId, None] = {}
        """Logs of which something was read, in order."""
        self.damage = DamageReports()
        self.bytes_per_second = FAST
        self.one_at_a_time = False
        """A read gives one entry."""
        self.random = random.Random(1)
        for group_id, group in self.groups.items():
            group.log = self.logs[group_id] = FileLog(self, group.creation)
            for _ in range(entries):
                self.append(group, entry_bytes)
            group.commit()
        host = cast("GroupHost", SimpleNamespace(groups=self.groups))
        self.scrubber = Scrubber(
            host, LoopClock(), self.random, self.damage, lambda: self.bytes_per_second
        )

    def append(self, group: MemoryGroup, entry_bytes: int) -> None:
        """An entry of one record, that can not be compressed, as the files have it."""
        draft = BatchEntryCodec().records(group.creation, [self.random.randbytes(entry_bytes)], 1)
        base = group.log.end.end
        frame = draft.frame(base, TERM)
        meta = EntryMeta(base, Offset(base + draft.span), TERM, len(frame))
        group.log.append(WriteSequence(0), [frame], [meta])

    def report(self, group_id: GroupId, start: int, end: int) -> None:
        self.damage.report(DamagedRange(group_id, Offset(start), Offset(end), "a file", "rot"))

    def scrub(self) -> float:
        """One round; how many seconds it took."""

        async def timed() -> float:
            await self.scrubber.round()
            return asyncio.get_running_loop().time()

        return run(timed())

    @property
    def rounds(self) -> tuple[int, int]:
        """Complete ones and others."""
        return self.scrubber.rounds, self.scrubber.incomplete_rounds

    @property
    def found(self) -> dict[int, list[int]]:
        return {number: log.found for number, log in self.logs.items()}


def test_every_log_is_read_as_far_as_it_is_committed() -> None:
    """From its start; what is not committed may yet be cut away, and is left to later rounds."""
    world = World(entry_bytes=READ_BYTES // 3)  # so that a log takes several reads
    group = world.groups[GroupId(2)]
    world.append(group, 10)
    trimmed = world.logs[3]
    trimmed.start = LogPosition(TERM, Offset(5))
    del trimmed.entries[:5]
    world.scrub()
    assert world.found == {1: [*range(8)], 2: [*range(8)], 3: [5, 6, 7]}
    assert world.scrubber.rounds == 1
    committed = [
        meta.size_bytes for log in world.logs.values() for meta, _ in log.entries if meta.end <= 8
    ]
    assert world.scrubber.scrubbed_bytes == sum(committed)
    group.commit()
    world.scrub()
    assert world.logs[2].found == [*range(8), *range(9)]
    assert world.scrubber.rounds == 2


@pytest.mark.parametrize("rotten", [False, True])
def test_snapshots_are_read_too(monkeypatch: pytest.MonkeyPatch, *, rotten: bool) -> None:
    """Those that logs begin with; whoever can not read one reports it, and the log's turn comes."""
    world = World()
    for number in (1, 2):
        log = world.logs[number]
        log.snapshot = (LogPosition(TERM, Offset(2)), bytes(1_000))
        world.groups[GroupId(number)].creation = creation_of(number, freed_by_snapshots=number == 1)
    if rotten:
        monkeypatch.setattr(world.logs[1], "load_snapshot", cannot_be_read)
    world.scrub()
    assert world.found == {number: [*range(8)] for number in (1, 2, 3)}
    of_logs = sum(meta.size_bytes for log in world.logs.values() for meta, _ in log.entries)
    assert world.scrubber.scrubbed_bytes == of_logs + (0 if rotten else 1_000)


async def cannot_be_read() -> None:
    raise LogCorrupt(GroupId(1), "the snapshot", "bits flipped")


def test_what_the_files_do_not_hold_yet_is_left_out() -> None:
    """It is in memory and in the journal; the others' turn comes all the same."""
    world = World()
    for log in world.logs.values():
        log.written = 3
    world.scrub()
    assert world.found == {number: [0, 1, 2] for number in (1, 2, 3)}


def test_chance_decides_which_log_comes_first() -> None:
    """Rounds that are cut short must not leave out the same ones. The same chance, the same
    order: a simulated run can be had again."""
    orders: list[list[list[GroupId]]] = []
    for _ in range(2):
        world = World()
        orders.append([])
        for _ in range(30):
            world.began.clear()
            world.scrub()
            orders[-1].append(list(world.began))
    assert orders[0] == orders[1]
    for place in range(3):
        assert {order[place] for order in orders[0]} == {1, 2, 3}


@pytest.mark.parametrize(
    ("rotten", "sound"),
    [
        ([(3, 5)], [0, 1, 2, 5, 6, 7]),
        ([(0, 2), (2, 4), (6, 7)], [4, 5, 7]),
        ([(5, 8)], [0, 1, 2, 3, 4]),
        ([(0, 8)], []),
    ],
)
def test_a_round_goes_on_behind_a_damaged_segment(
    rotten: list[tuple[int, int]], sound: list[int]
) -> None:
    """It was reported and is mended by others; the segments behind it may be damaged, too."""
    world = World()
    world.logs[2].rotten = rotten
    world.scrub()
    assert world.found == {1: [*range(8)], 2: sound, 3: [*range(8)]}
    reported = [(each.group_id, each.start, each.end) for each in world.damage.open.values()]
    assert reported == [(2, start, end) for start, end in rotten]


def test_a_log_with_damage_of_unknown_extent_is_left_for_this_round() -> None:
    """Nobody says where its next segment begins; what is reported of another log does not."""
    world = World()
    world.logs[2].rotten, world.logs[2].reports = [(3, 5)], False
    world.report(GroupId(1), 3, 5)
    world.report(GroupId(2), 5, 8)
    world.scrub()
    assert world.found == {1: [*range(8)], 2: [0, 1, 2], 3: [*range(8)]}
    assert world.rounds == (0, 1)


def test_a_log_that_awaits_a_whole_copy_is_passed_over() -> None:
    """It has no files to read."""
    world = World()
    world.logs[1].needs_install = True
    world.scrub()
    assert world.found == {1: [], 2: [*range(8)], 3: [*range(8)]}
    assert GroupId(1) not in world.began


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize(
    "failure",
    [
        OffsetOutOfRange(Offset(0), Offset(4), Offset(8)),
        LogCorrupt(GroupId(1), "the log", "damaged; waits for a copy from a peer"),
        StorageFailed("writing", "the group was deleted"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_log_that_fails_does_not_end_the_round(failing: int, failure: Exception) -> None:
    """It was trimmed or removed while it was read, a copy takes its place, or the node is short of
    descriptors for now."""
    world = World()
    world.logs[failing].failure = failure
    world.scrub()
    assert world.found == {n: [] if n == failing else [*range(8)] for n in (1, 2, 3)}
    assert world.rounds == (0, 1)
    world.logs[failing].failure = None
    world.scrub()
    assert world.rounds == (1, 1)


@pytest.mark.parametrize(("start", "found"), [(5, [0, 1, 5, 6, 7]), (8, [0, 1])])
@pytest.mark.parametrize("read", ["sound", "damaged"])
def test_a_log_that_is_trimmed_is_read_on_where_it_begins_now(
    start: int, found: list[int], read: str
) -> None:
    """The place of reading was let go, with its damage if it had some; what is left is as old, and
    as much in need of being read. That is no interrupted round."""
    world = World()
    log = world.logs[2]
    log.trims = (2, start)
    if read == "damaged":
        log.rotten, log.reports = [(2, 4)], False
    world.one_at_a_time = True
    world.scrub()
    assert world.found == {1: [*range(8)], 2: found, 3: [*range(8)]}
    assert world.rounds == (1, 0)


def test_logs_that_are_removed_or_replaced_leave_nothing_to_read() -> None:
    """They fail, and the round is as complete as it can be."""
    world = World()
    removed, replaced = world.logs[1], world.logs[2]
    removed.failure = replaced.failure = StorageFailed("reading", "the log was closed")
    removed.at_failure = lambda: world.groups.pop(GroupId(1))
    replaced.at_failure = lambda: setattr(replaced, "needs_install", True)
    world.scrub()
    assert world.found == {1: [], 2: [], 3: [*range(8)]}
    assert world.rounds == (1, 0)


def test_a_round_keeps_to_its_rate() -> None:
    """The time that reads take is part of it."""
    world = World(entry_bytes=READ_BYTES // 3)
    world.bytes_per_second = 100_000
    for number, log in world.logs.items():
        log.read_ms = 500.0 * number
    seconds = world.scrub()
    assert seconds == pytest.approx(world.scrubber.scrubbed_bytes / 100_000)


def test_a_slow_disk_is_not_waited_for_twice() -> None:
    """Where reads take longer than the rate demands, there is no pause between them."""
    world = World(groups=1, entry_bytes=READ_BYTES)
    world.logs[1].read_ms = 100
    world.bytes_per_second = 50 * READ_BYTES
    assert world.scrub() == pytest.approx(8 * 0.1)


def test_another_rate_counts_within_the_round() -> None:
    """A round takes hours; an operator does not wait for its end."""
    world = World(groups=1, entry_bytes=READ_BYTES)
    world.bytes_per_second = 1_000
    entry = world.logs[1].entries[0][0].size_bytes

    def faster() -> None:
        world.bytes_per_second = 10_000

    async def timed() -> float:
        asyncio.get_running_loop().call_later(2.5 * entry / 1_000, faster)
        await world.scrubber.round()
        return asyncio.get_running_loop().time()

    # Three reads are paid for at the old rate, the third one's pause being under way.
    assert run(timed()) == pytest.approx(3 * entry / 1_000 + 5 * entry / 10_000)
