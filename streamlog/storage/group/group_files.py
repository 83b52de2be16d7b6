"""One group's file work, a step at a time, off the way of the flushes.

All that touches the group's segment files goes through one task, which lives only while there is
something to do, so that an idle group costs nothing. The order of its work:

1. While a truncation is not durable in the journal, nothing: newer bytes must not be written over
   older ones that may still count.
2. Cut the files back to what the truncation left. Where they are damaged they do not tell the
   place: what was found is reported, and mended (or the log replaced) by jobs that may come before.
3. Large appends (the direct path): write, fsync, then their references go to the journal.
4. Jobs that need the files alone: checkpoint, trim, install.
5. Write what is pending, when it is much or somebody asked.

Invariant: at most one call into the segment log that waits is under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Final, Protocol

from replication.errors import LogCorrupt, StorageFailed
from replication.types import GroupId
from streamlog.storage.group.write_queue import WriteQueue
from streamlog.storage.interfaces import SegmentLog

Job = Callable[[], Awaitable[None]]

MENDED_WITHIN_S: Final = 30.0
"""Files that are damaged where they must be cut; after that the node stops. Until then what is
appended stays in the journal, which no checkpoint shortens."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A job, and the promise of its end."""

    job: Job
    before_cut: bool
    done: asyncio.Future[None]


class FileHost(Protocol):
    """What the store does for its groups."""

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run as a task that the store owns and awaits."""
        ...

    def fail(self, error: StorageFailed) -> None:
        """The disk failed: stop everything."""
        ...

    def segments_written(self, group_id: GroupId, pending_bytes: int) -> None:
        """So many appended bytes of the group are not in its files yet."""
        ...

    def direct_written(self, size_bytes: int) -> None:
        """A large append went straight to its segment."""
        ...


class GroupFiles:
    """Owns the segment log of one group, and the order of the work on it."""

    def __init__(
        self,
        group_id: GroupId,
        queue: WriteQueue,
        host: FileHost,
        *,
        write_bytes: int,
    ) -> None:
        self._group_id = group_id
        self._queue = queue
        self._host = host
        self._write_bytes = write_bytes
        self._segments: SegmentLog | None = None
        self._working = False
        self._jobs: deque[_Waiting] = deque()
        self._job_came: asyncio.Future[None] | None = None
        """Somebody waits for one that may come before a cut."""
        self._cut_failed_s: float | None = None
        """Since when files that must be cut are damaged."""
        self._truncations = 0
        self._write_wanted = False
        self._failure: StorageFailed | None = None

    def use(self, segments: SegmentLog | None) -> None:
        """Take a segment log in the place of the one before; called before any work, or in a
        job."""
        self._segments = segments

    def appended(self) -> None:
        """The segment log took frames."""
        assert self._segments is not None
        pending = self._segments.pending_bytes
        self._host.segments_written(self._group_id, pending)
        if pending >= self._write_bytes:
            self.kick()

    def write_soon(self) -> None:
        """Write what is pending, however little."""
        self._write_wanted = True
        self.kick()

    def truncated(self) -> Callable[[], None]:
        """The segment log forgot its tail; returns what to call when the journal has it."""
        self._truncations += 1
        return self._truncation_durable

    def _truncation_durable(self) -> None:
        self._truncations -= 1
        self._wake()
        self.kick()

    def kick(self) -> None:
        """There may be something to do."""
        if self._working or self._failure is not None or not self._has_work():
            return
        self._working = True
        self._host.spawn(self._work(), f"files of group {self._group_id}")

    async def run_alone(self, job: Job, *, before_cut: bool = False) -> None:
        """Run a job when the files are free; `before_cut`: also when they must be cut, and can not
        be. Raises what the job raises, and StorageFailed.

        A caller that is cancelled leaves the job to be carried out.
        """
        if self._failure is not None:
            raise self._failure
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.append(_Waiting(job, before_cut, done))
        self._wake()
        self.kick()
        await done

    def fail(self, error: StorageFailed) -> None:
        """Begin nothing any more."""
        self._failure = error
        while self._jobs:
            done = self._jobs.popleft().done
            if not done.done():
                done.set_exception(error)
        self._wake()

    def _has_work(self) -> bool:
        if self._truncations:
            return False
        if self._jobs or self._queue.direct_appends():
            return True
        if self._segments is None:
            return False
        pending = self._segments.pending_bytes
        if pending >= self._write_bytes or (self._write_wanted and pending > 0):
            return True
        return self._segments.needs_cut

    async def _work(self) -> None:
        try:
            while self._failure is None and self._has_work():
                await self._step()
        except (OSError, LogCorrupt) as error:
            self._host.fail(StorageFailed(f"segment write of group {self._group_id}", str(error)))
        finally:
            self._working = False

    async def _step(self) -> None:
        segments = self._segments
        if segments is not None and segments.needs_cut:
            await self._cut(segments)
            return
        covered = self._queue.direct_appends()
        if covered:
            assert segments is not None
            await segments.write_through()
            if self._failure is None:
                for write in covered:
                    if write.direct is not None:
                        self._host.direct_written(write.direct.place.length)
                self._queue.direct_written(covered)
                self._host.segments_written(self._group_id, segments.pending_bytes)
            return
        if self._jobs:
            await self._run(self._jobs.popleft())
            return
        assert segments is not None
        self._write_wanted = False
        await segments.write_pending()
        self._host.segments_written(self._group_id, segments.pending_bytes)

    async def _cut(self, segments: SegmentLog) -> None:
        """Cut the files, or run a job that helps. Raises LogCorrupt when none comes in time."""
        try:
            await segments.cut_files()
        except LogCorrupt:
            now_s = asyncio.get_running_loop().time()
            if self._cut_failed_s is None:
                self._cut_failed_s = now_s
            waiting = await self._job_before_cut(self._cut_failed_s + MENDED_WITHIN_S)
            if waiting is not None:
                await self._run(waiting)
            elif self._failure is None:
                raise
        else:
            self._cut_failed_s = None

    async def _job_before_cut(self, deadline_s: float) -> _Waiting | None:
        """One that may come before a cut; None when there was none by then, or the disk failed."""
        while self._failure is None:
            able = [] if self._truncations else [each for each in self._jobs if each.before_cut]
            if able:
                self._jobs.remove(able[0])
                return able[0]
            self._job_came = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout_at(deadline_s):
                    await self._job_came
            except TimeoutError:
                return None
            finally:
                self._job_came = None
        return None

    def _wake(self) -> None:
        if self._job_came is not None and not self._job_came.done():
            self._job_came.set_result(None)

    async def _run(self, waiting: _Waiting) -> None:
        job, done = waiting.job, waiting.done
        try:
            await job()
        except (OSError, StorageFailed) as error:
            failure = (
                error
                if isinstance(error, StorageFailed)
                else StorageFailed(f"file work of group {self._group_id}", str(error))
            )
            if not done.done():
                done.set_exception(failure)
            self._host.fail(failure)
        except Exception as error:  # Whoever asked for the job gets it.
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(None)
