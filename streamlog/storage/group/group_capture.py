"""What a checkpoint keeps of a group: its state after one of its writes, with the files fsynced.

The segment log answers a checkpoint with the end that it had at some moment of the call, while
writes go on. The first write after which the log ended there tells which journal frames are
covered; so the state after each write is kept for the time of the call. When a truncation came in
between, the end does not tell the moment, and the capture is done again.

Invariant: all that is covered is durable in the journal when `capture` returns: a checkpoint never
runs ahead of the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from replication.errors import invariant
from replication.membership_codec import encode_creation
from replication.types import GroupCreation, Offset
from streamlog.storage import storage_codec
from streamlog.storage.group.group_files import GroupFiles
from streamlog.storage.group.write_queue import GroupState, Write, WriteQueue
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.segments.segment_log import GroupSegmentLog
from streamlog.storage.v1 import storage_pb2


@dataclass(frozen=True, slots=True)
class CapturedGroup:
    """A group as a checkpoint keeps it."""

    lsn: int
    """Of the last journal frame that is covered."""
    end: Offset
    """Up to here the files are fsynced."""
    message: bytes
    """A serialized GroupCheckpoint."""


class GroupCapture:
    """Captures one group."""

    def __init__(
        self,
        creation: GroupCreation,
        base_lsn: int,
        *,
        files: GroupFiles,
        queue: WriteQueue,
        segments: Callable[[], GroupSegmentLog | None],
        state: Callable[[], GroupState],
        captured_end: Callable[[Offset], None],
    ) -> None:
        """`base_lsn` covers the state that the group began with; `captured_end` hears, at the
        moment, up to where the files are fsynced."""
        self._creation = creation
        self._base_lsn = base_lsn
        self._files = files
        self._queue = queue
        self._segments = segments
        self._state = state
        self._captured_end = captured_end
        self._last_write = Write(None, (), lsn=base_lsn)
        self._history: list[Write] | None = None
        self._truncations = 0

    def wrote(self, write: Write) -> None:
        """The group's newest write; the state shows it already."""
        if self._history is not None:
            write.state = self._state()
            self._history.append(write)
        self._last_write = write

    def truncated(self) -> None:
        """The log lost its tail."""
        self._truncations += 1

    async def capture(self) -> CapturedGroup:
        """Fsync the files; what a checkpoint may now keep. Raises StorageFailed."""
        captured: list[tuple[SegmentCheckpoint | None, Write]] = []

        async def job() -> None:
            found = await self._checkpoint_files()
            if found is not None:
                captured.append(found)

        while not captured:
            await self._files.run_alone(job)
        await self._queue.settled(self._queue.last_index)
        durable, write = captured[0]
        state, write.state = write.state, None
        assert state is not None
        lsn = max(write.lsn, self._base_lsn)
        end = durable.end.end if durable is not None else Offset(0)
        message = self._encode(state, durable, lsn)
        return CapturedGroup(lsn, end, message.SerializeToString(deterministic=True))

    async def _checkpoint_files(self) -> tuple[SegmentCheckpoint | None, Write] | None:
        """What is durable in the files, and the write that it is the state after; None when a
        truncation came in between."""
        first = self._last_write
        if first.lsn:
            # A copy: the write itself must not keep a state that a later capture would find.
            first = Write(None, (), lsn=first.lsn)
        first.state = self._state()
        self._history = history = [first]
        segments, truncations = self._segments(), self._truncations
        durable = await segments.checkpoint() if segments is not None else None
        self._history = None
        if self._truncations != truncations:
            return None
        if durable is None:
            return None, first
        found = [w for w in history if w.state is not None and w.state.end == durable.end]
        invariant(found, "a checkpoint ends where some write ended", end=durable.end)
        self._captured_end(durable.end.end)
        return durable, found[0]

    def _encode(
        self, state: GroupState, durable: SegmentCheckpoint | None, lsn: int
    ) -> storage_pb2.GroupCheckpoint:
        message = storage_pb2.GroupCheckpoint(
            creation=encode_creation(self._creation),
            lsn=lsn,
            generation=state.generation,
            hard_state=storage_codec.encode_hard_state(state.hard_state),
            start=storage_codec.encode_position(state.start),
            memberships=storage_codec.encode_memberships(state.memberships),
            terms=storage_codec.encode_terms(state.terms),
            needs_install=durable is None,
            log_starts=storage_codec.encode_log_starts(state.log_starts),
            lost=state.lost,
        )
        if durable is not None:
            message.durable.CopyFrom(storage_codec.encode_segment_end(durable))
        return message
