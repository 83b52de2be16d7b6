"""An owner of tasks: keeps them, hears of their failures, ends them in order.

The standard TaskGroup cancels in address order, which would make a simulated run depend on the
allocator; this one uses the order of starting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class TaskOwner:
    """Tasks that live as long as their owner, or shorter.

    Invariant: a task is held until it ended; an exception other than cancellation reaches
    `on_failure`.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None] | None:
        """Run `work` as a task; None (and nothing runs) when the owner was stopped."""
        if self._stopped:
            work.close()
            return None
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self._on_failure(error)

    async def stop(self) -> None:
        """Cancel all, oldest first, and wait until each has ended."""
        self._stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            await settled(task)


async def settled(task: asyncio.Task[None]) -> None:
    """Wait for a task that was cancelled or failed; its outcome goes to its owner."""
    if not task.done():
        await asyncio.wait([task])


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait for its end."""
    if task is not None:
        task.cancel()
        await settled(task)
