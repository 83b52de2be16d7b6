"""A read that survives its reader giving up.

gRPC's own `read` loses the message, and on the client the whole call, when the task that waits in
it is cancelled. Here the read goes on, and the next call takes what it brings; so a wait for a
message may be bounded by a timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class ResumableRead:
    """Reads one message at a time, for one reader at a time."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, bytes | None]]) -> None:
        self._read = read
        self._task: asyncio.Task[bytes | None] | None = None

    async def next(self) -> bytes | None:
        """The next message, also when an earlier wait for it was cancelled."""
        task = self._task
        if task is None:
            task = self._task = asyncio.get_running_loop().create_task(self._read())
        message = await asyncio.shield(task)
        self._task = None
        return message

    async def stop(self) -> None:
        """Give up the read that nobody waits for any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # Seen: nobody else will ask.
