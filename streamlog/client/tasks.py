"""Tasks with an owner: started, watched, and awaited at the end.

A task that ends because of a defect must not leave its owner's callers waiting for ever: the
owner is told, and fails them.

Invariant: after `close` returned, none of the tasks runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

OnDefect = Callable[[BaseException], None]
"""Told once for each task that raised anything."""


class Tasks:
    """What one object runs in the background."""

    def __init__(self, on_defect: OnDefect) -> None:
        self._on_defect = on_defect
        self._running: dict[asyncio.Task[None], None] = {}
        self._closed = False

    def start(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run it in the background; it handles the errors that it expects."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running[task] = None
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Ask all of them to end."""
        self._closed = True
        for task in self._running:
            task.cancel()

    async def close(self) -> None:
        """Cancel them and wait until they have ended."""
        self.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if task.cancelled():
            # Nobody but `cancel` may do this: a transport that raises CancelledError for a call
            # that was cancelled would end the loop around it without a trace.
            error: BaseException | None = (
                None if self._closed else RuntimeError("a task of the client was cancelled")
            )
        else:
            error = task.exception()
        if error is not None:
            self._on_defect(error)
