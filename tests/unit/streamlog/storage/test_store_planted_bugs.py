"""The crash test convicts stores with one rule broken each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from test_store_crashes import live
from test_store_recovery import cut_power_during_recovery_after_a_kill

from replication.errors import LogCorrupt, OffsetOutOfRange, StorageFailed
from replication.ports import Disk
from replication.types import Offset
from streamlog.storage import checkpoint, sealed_file
from streamlog.storage.checkpoint import LoadedCheckpoint
from streamlog.storage.checkpointer import Checkpointer
from streamlog.storage.group.group_files import GroupFiles
from streamlog.storage.group.write_queue import WriteQueue
from streamlog.storage.journal.journal import Journal
from streamlog.storage.journal.scan import JournalScan
from streamlog.storage.recovery.recovery import Recovery
from streamlog.storage.recovery.replay import GroupReplay
from streamlog.storage.segments.segment_writer import SegmentWriter

SEEDS_MAX = 150
CONVICTIONS = (AssertionError, LogCorrupt, OffsetOutOfRange, StorageFailed)


def complete_before_fsync(patch: pytest.MonkeyPatch) -> None:
    original = Journal._encode

    def encode(self: Journal, current: object) -> object:
        found = original(self, current)  # type: ignore[arg-type]
        for frame in found[0]:
            if frame.on_durable is not None:
                frame.on_durable(frame)
                frame.on_durable = None
        self._on_flushed()
        return found

    patch.setattr(Journal, "_encode", encode)


def recycle_before_the_checkpoint_is_durable(patch: pytest.MonkeyPatch) -> None:
    original = Checkpointer._take

    async def take(self: Checkpointer, *, clean_stop: bool) -> None:
        self._journal.release_below(self._journal.file_holding(self._journal.last_lsn + 1))
        await original(self, clean_stop=clean_stop)

    patch.setattr(Checkpointer, "_take", take)


def cut_before_the_truncation_is_durable(patch: pytest.MonkeyPatch) -> None:
    def truncated(self: GroupFiles) -> Callable[[], None]:
        self.kick()
        return lambda: None

    patch.setattr(GroupFiles, "truncated", truncated)


def checkpoint_without_fsync(patch: pytest.MonkeyPatch) -> None:
    async def sync(self: SegmentWriter) -> None:
        self._dirty.clear()

    patch.setattr(SegmentWriter, "_sync", sync)


def checkpoint_ahead_of_the_journal(patch: pytest.MonkeyPatch) -> None:
    original = WriteQueue.settled

    async def settled(self: WriteQueue, index: int) -> None:
        if index != self.last_index or not self.last_index:
            await original(self, index)

    patch.setattr(WriteQueue, "settled", settled)


def believe_the_page_cache(patch: pytest.MonkeyPatch) -> None:
    async def prove(_self: Recovery, loaded: LoadedCheckpoint, _scan: JournalScan) -> int:
        return loaded.newest_generation

    patch.setattr(Recovery, "_prove", prove)


def forget_truncations_in_the_replay(patch: pytest.MonkeyPatch) -> None:
    def truncate(self: GroupReplay, end: int) -> None:
        while self.pieces and self.pieces[-1].begin.end >= end:
            self.pieces.pop()
        if not self.pieces:
            self.trusted = min(self.trusted, Offset(end))

    patch.setattr(GroupReplay, "_truncate", truncate)


def write_the_reference_before_the_bytes(patch: pytest.MonkeyPatch) -> None:
    async def write_through(self: SegmentWriter) -> None:
        await self.write_pending()

    patch.setattr(SegmentWriter, "write_through", write_through)


def checkpoint_without_fsync_of_its_file(patch: pytest.MonkeyPatch) -> None:
    original = sealed_file.write_sealed

    async def write_sealed(
        disk: Disk, path: str, magic: bytes, version: int, content: bytes
    ) -> None:
        temporary = path + ".early"
        await original(disk, temporary, magic, version, content)
        await disk.rename(temporary, path)

    patch.setattr(checkpoint, "write_sealed", write_sealed)


@pytest.mark.parametrize(
    "plant",
    [
        complete_before_fsync,
        recycle_before_the_checkpoint_is_durable,
        cut_before_the_truncation_is_durable,
        checkpoint_without_fsync,
        checkpoint_ahead_of_the_journal,
        forget_truncations_in_the_replay,
        write_the_reference_before_the_bytes,
        checkpoint_without_fsync_of_its_file,
    ],
)
def test_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that breaks the rule fails the crash test within a bounded number of seeds."""
    plant(monkeypatch)
    for seed in range(SEEDS_MAX):
        try:
            live(seed)
        except CONVICTIONS:
            return
    pytest.fail(f"{plant.__name__} was not caught in {SEEDS_MAX} seeds")


def test_belief_in_the_page_cache_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery that acts on what it read without writing it again is convicted by the
    enumeration of power cuts during recovery."""
    believe_the_page_cache(monkeypatch)
    caught = 0
    for seed in range(4):
        try:
            cut_power_during_recovery_after_a_kill(seed)
        except AssertionError:
            caught += 1
    assert caught
