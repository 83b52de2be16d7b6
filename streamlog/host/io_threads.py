"""Threads that carry out blocking calls for the event loop.

Kinds of work never share threads (see `streamlog.host.disk`), so that a slow read can not hold
up a flush. A thread hands its result back through `Completions`, which wakes the loop once for
all results that have gathered since it last looked, not once for each.

Bound: a job waits in the queue only while its caller waits for it. A caller that gives up a read
leaves a job that is skipped when its turn comes; a write is carried out all the same.

Rejected: `loop.run_in_executor`: one wake-up, one lock and two futures for every call, and one
queue shared by everything.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any


@dataclass(slots=True, eq=False)
class Job:
    """One blocking call."""

    work: Callable[[], object]
    future: asyncio.Future[Any]
    """Gets the result or the exception, unless it was cancelled."""
    finished: Callable[[], None]
    """Called on the loop after the work was done or skipped."""
    droppable: bool = False
    """Need not be carried out when the future was cancelled before its turn."""
    result: object = None
    error: BaseException | None = None


class Completions:
    """Carries finished jobs to the loop.

    Invariant: when `_done` is not empty and the loop is not draining it, a drain is scheduled.
    A thread appends first and looks at the flag afterwards; the drain clears the flag first and
    takes afterwards; so a job is either taken by a drain under way or schedules the next one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done: deque[Job] = deque()
        self._scheduled = False

    def post(self, job: Job) -> None:
        """Called on any thread."""
        self._done.append(job)
        if not self._scheduled:
            self._scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                # The loop was closed with work under way: nobody is left to be told.
                self._done.clear()

    def _drain(self) -> None:
        self._scheduled = False
        while self._done:
            job = self._done.popleft()
            if not job.future.done():
                if job.error is None:
                    job.future.set_result(job.result)
                else:
                    job.future.set_exception(job.error)
            job.finished()


class IoThreads:
    """A fixed number of threads that take jobs from one queue, first come first served.

    With one thread, jobs are carried out in the order they were submitted.
    """

    def __init__(self, name: str, count: int, completions: Completions) -> None:
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._completions = completions
        self._threads = [
            # Daemons: a call that the disk never answers must not keep the process alive.
            threading.Thread(target=self._run, name=f"{name}-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Have a thread carry it out."""
        self._queue.put(job)

    def stop(self) -> None:
        """Let the threads end behind what was submitted; does not wait for them."""
        for _ in self._threads:
            self._queue.put(None)

    def join(self, timeout_seconds: float) -> None:
        """Wait for the threads to end, each at most so long. Blocks."""
        for thread in self._threads:
            thread.join(timeout_seconds)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if not (job.droppable and job.future.cancelled()):
                try:
                    job.result = job.work()
                except BaseException as error:  # It belongs to the caller.
                    job.error = error
            self._completions.post(job)
            # Keeping the name would keep the job's buffers alive until the next one comes.
            del job
