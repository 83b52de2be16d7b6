"""A segment log on a simulated disk in virtual time, and a dumb model of it: a list of frames."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from jepsen_like.sim.ports.disk import DiskLatency, SimDisk
from replication.types import EntryMeta, GroupId, LogPosition, Offset, Term
from streamlog.model.batch import (
    CONTROL,
    HAS_PRODUCER,
    draft_of_payload,
    iterate_frames,
    read_header,
)
from streamlog.storage.entry_codec import read_entry
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.segments.log_state import LogState
from streamlog.storage.segments.segment_file import SegmentIdentity
from streamlog.storage.segments.segment_log import EMPTY_LOG, GroupSegmentLog
from streamlog.storage.segments.segment_resources import SegmentResources, SegmentSettings
from streamlog.v1 import batch_pb2, record_pb2
from tests.fakes.store_harness import VirtualLoop, abandon

Result = TypeVar("Result")

DIRECTORY = "groups/log"
IDENTITY = SegmentIdentity(0xC1 << 64 | 7, topic_id=5, partition=3, group_id=GroupId(9))
SMALL = SegmentSettings(segment_bytes=3_000, index_interval_bytes=600)
LATENCY = DiskLatency((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0))
NO_OP = batch_pb2.ControlRecord(type=batch_pb2.CONTROL_TYPE_LEADER_NO_OP, version=1)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as a test describes it."""

    timestamps: tuple[int, ...] = (1_000,)
    padding: int = 0
    control: bool = False
    producer: tuple[int, int, int] | None = None
    """Id, epoch, base sequence."""

    def frame(self, base: int, term: int) -> bytes:
        """Stored bytes."""
        if self.control:
            draft = draft_of_payload(
                NO_OP.SerializeToString(),
                topic_id=IDENTITY.topic_id,
                partition=IDENTITY.partition,
                record_count=1,
                timestamp_ms=self.timestamps[0],
                flags=CONTROL,
            )
            return draft.frame(base, term)
        first = self.timestamps[0]
        records = record_pb2.RecordSet(
            records=[
                record_pb2.Record(
                    value=bytes(self.padding), offset_delta=delta, timestamp_delta_ms=stamp - first
                )
                for delta, stamp in enumerate(self.timestamps)
            ]
        )
        draft = draft_of_payload(
            records.SerializeToString(),
            topic_id=IDENTITY.topic_id,
            partition=IDENTITY.partition,
            record_count=len(self.timestamps),
            timestamp_ms=first,
        )
        draft = replace(draft, max_timestamp_ms=max(self.timestamps))
        if self.producer is not None:
            producer_id, epoch, sequence = self.producer
            draft = replace(
                draft,
                format_and_flags=draft.format_and_flags | HAS_PRODUCER,
                producer_id=producer_id,
                producer_epoch=epoch,
                base_sequence=sequence,
            )
        return draft.frame(base, term)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One frame of the model."""

    base: int
    end: int
    term: int
    frame: bytes
    batch: Batch


@dataclass(slots=True)
class ModelLog:
    """What the log must look like: everything ever appended and not truncated."""

    entries: list[ModelEntry] = field(default_factory=list)
    start: int = 0
    """A boundary; entries below are kept for the state, and may not be read."""

    @property
    def end(self) -> int:
        return self.entries[-1].end if self.entries else self.start

    def copy(self) -> ModelLog:
        return ModelLog(list(self.entries), self.start)

    def boundaries(self) -> list[int]:
        """Where the log may be cut: from the start to the end."""
        return [self.start, *(e.end for e in self.entries if e.end > self.start)]

    def truncate(self, end: int) -> None:
        self.entries = [entry for entry in self.entries if entry.end <= end]

    def term_at(self, end: int) -> int:
        return next((e.term for e in self.entries if e.base < end <= e.end), 0)

    def make(self, batches: Sequence[Batch], term: int) -> list[ModelEntry]:
        """Entries that connect to the end."""
        made: list[ModelEntry] = []
        base = self.end
        for batch in batches:
            end = base + (1 if batch.control else len(batch.timestamps))
            made.append(ModelEntry(base, end, term, batch.frame(base, term), batch))
            base = end
        return made

    def readable(self, start: int, end: int) -> list[ModelEntry]:
        """The frames from the one that holds `start` to the last that begins below `end`."""
        return [e for e in self.entries if e.end > start and e.base < end]

    def state(self, end: int) -> LogState:
        """The fold over everything below `end`."""
        state = LogState()
        for entry in self.entries:
            if entry.end <= end:
                state.apply(read_header(entry.frame))
        return state

    def find_timestamp(self, timestamp_ms: int) -> tuple[int, int] | None:
        for entry in self.entries:
            if entry.end <= self.start or entry.batch.control:
                continue
            for delta, stamp in enumerate(entry.batch.timestamps):
                if stamp >= timestamp_ms and entry.base + delta >= self.start:
                    return entry.base + delta, stamp
        return None

    def find_record(self, offset: int, end: int) -> tuple[int, int] | None:
        for entry in self.entries:
            if entry.batch.control:
                continue
            for delta, stamp in enumerate(entry.batch.timestamps):
                if max(offset, self.start) <= entry.base + delta < end:
                    return entry.base + delta, stamp
        return None


def metas(entries: Sequence[ModelEntry]) -> list[EntryMeta]:
    return [read_entry(IDENTITY.group_id, entry.frame) for entry in entries]


class HarnessClock:
    """Virtual time, also while the loop stands still."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic_ms(self) -> float:
        return self._loop.time() * 1_000

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self.monotonic_ms())


class SegmentHarness:
    """A log, its model, and the loop that both live on."""

    def __init__(
        self,
        *,
        settings: SegmentSettings = SMALL,
        tail_bytes_max: int = 4_000,
        index_bytes_max: int = 1_500,
        open_files_max: int = 2,
        latency: DiskLatency = LATENCY,
        seed: int = 0,
    ) -> None:
        self.loop = VirtualLoop()
        self.rng = random.Random(seed)
        self.disk = SimDisk(random.Random(seed + 1), latency=latency)
        self.settings = settings
        self.limits = {
            "tail_bytes_max": tail_bytes_max,
            "index_bytes_max": index_bytes_max,
            "open_files_max": open_files_max,
        }
        self.model = ModelLog()
        self.term = 1
        self.resources = self.new_resources()
        self.log = self.run(self.create())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        abandon(self.loop)

    def new_resources(self) -> SegmentResources:
        return SegmentResources.create(self.disk, HarnessClock(self.loop), **self.limits)

    async def create(
        self, start: LogPosition = EMPTY_LOG, log_state: bytes | None = None
    ) -> GroupSegmentLog:
        log = await GroupSegmentLog.create(
            self.resources,
            DIRECTORY,
            IDENTITY,
            lambda: self.settings,
            start=start,
            log_state=log_state,
        )
        # The directory itself is made durable by whoever creates the log.
        for parent in ("groups", ""):
            await self.disk.sync_directory(parent)
        return log

    def append(self, *batches: Batch, term: int | None = None) -> None:
        """To the log and to the model."""
        self.term = self.term if term is None else term
        made = self.model.make(batches, self.term)
        self.log.append([entry.frame for entry in made], metas(made))
        self.model.entries.extend(made)

    def truncate(self, end: int) -> None:
        """The log and the model."""
        self.log.truncate(Offset(end))
        self.model.truncate(end)

    async def move_start(self, start: int) -> None:
        """Of the log and of the model; `start` is a boundary."""
        self.log.log_start_committed(Offset(start))
        await self.log.apply_log_start()
        self.model.start = start

    async def open(self, checkpoint: SegmentCheckpoint, model: ModelLog) -> None:
        """Begin a new life of the process at a checkpoint."""
        self.resources = self.new_resources()
        position = LogPosition(Term(model.term_at(model.start)), Offset(model.start))
        if checkpoint.end.end <= model.start:
            # As the store does: what the checkpoint names may be gone with what lies below.
            checkpoint = SegmentCheckpoint(position, position.end, 0)
        self.log = await GroupSegmentLog.open(
            self.resources,
            DIRECTORY,
            IDENTITY,
            lambda: self.settings,
            start=position,
            checkpoint=checkpoint,
        )
        self.model = model.copy()

    async def read_everything(self, max_bytes: int = 1_000) -> bytes:
        """The whole log, a read at a time."""
        at, found = self.model.start, b""
        while at < self.model.end:
            part = await self.log.read(Offset(at), Offset(self.model.end), max_bytes)
            found += part
            *_, (_, header) = iterate_frames(part)
            at = header.end_offset
        return found

    def check_read(self, data: bytes, start: int, end: int, max_bytes: int) -> None:
        """`data` is a right answer."""
        possible = self.model.readable(start, end)
        if start >= min(end, self.model.end):
            assert data == b""
            return
        count = sum(1 for _ in iterate_frames(data))
        assert count >= 1
        assert data == b"".join(entry.frame for entry in possible[:count])
        assert count == 1 or len(data) <= max_bytes

    def check(self) -> None:
        """Ends, terms and state are the model's."""
        model, log = self.model, self.log
        assert log.start.end == model.start
        assert log.end == LogPosition(Term(model.term_at(model.end)), Offset(model.end))
        for boundary in model.boundaries():
            assert log.term_at(Offset(boundary)) == model.term_at(boundary)
        assert log.term_at(Offset(model.end + 1)) is None
        if log.state.exact:
            expected = model.state(model.end)
            expected.forget_terms_below(model.start)
            assert frozen(log.state, model.end) == frozen(expected, model.end)
        expected = model.state(model.start)
        expected.forget_terms_below(model.start)
        found = batch_pb2.LogStateSnapshot.FromString(log.log_state(Offset(model.start)))
        wanted = batch_pb2.LogStateSnapshot.FromString(frozen(expected, model.start))
        assert found.producers == wanted.producers
        assert found.data_end_offset == wanted.data_end_offset
        assert found.terms[-1:] == wanted.terms[-1:]

    def check_files(self) -> None:
        """What is written is a BatchSet for the stock runtime, and holds the model's frames."""
        stored: list[bytes] = []
        for path in self.disk.files():
            if not path.endswith(".segment"):
                continue
            content = self.disk.content(path)
            message = batch_pb2.BatchSet.FromString(content)
            assert message.segment.base_offset == int(path[-28:-8])
            frames = content[len(content) - _frames_bytes(message, content) :]
            stored.append(frames)
        everything = b"".join(entry.frame for entry in self.model.entries)
        assert everything.endswith(b"".join(stored))
        held = b"".join(e.frame for e in self.model.readable(self.model.start, self.model.end))
        assert b"".join(stored).endswith(held)


def _frames_bytes(message: batch_pb2.BatchSet, content: bytes) -> int:
    return len(content) - 71 if message.batches else 0


def frozen(state: LogState, end: int) -> bytes:
    """The state's serialized form."""
    found = state.freeze(end)
    assert found is not None
    return found.serialize()


async def turns(count: int) -> None:
    """Let others run for a while."""
    for _ in range(count):
        await asyncio.sleep(0.0003)
