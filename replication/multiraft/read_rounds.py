"""Linearizable reads in rounds: one confirmation of leadership serves all that wait.

A read may not join a round that began before the read did: its commit end might be older than
what the reader already knows to be committed. So at most one round is under way for each group,
and those who come meanwhile share the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from replication.multiraft.proposals import fail
from replication.types import Offset


class ReadRounds:
    """Rounds of one group.

    Invariant: `_running` maps contexts, ascending, to those who wait for them; contexts are never
    reused by a replica.
    """

    __slots__ = ("_begin", "_context", "_next", "_running", "_scheduled")

    def __init__(self, begin: Callable[[int], None]) -> None:
        self._begin = begin
        self._context = 0
        self._running: dict[int, asyncio.Future[Offset]] = {}
        self._next: asyncio.Future[Offset] | None = None
        self._scheduled = False

    def __bool__(self) -> bool:
        return bool(self._running) or self._next is not None

    def join(self) -> asyncio.Future[Offset]:
        """The future of the next round, shared: wait through a shield."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            if not self._running and not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._start_scheduled)
        return self._next

    def retry(self) -> None:
        """The round under way may have lost its probes: a new one confirms it too."""
        if self._running and not self._scheduled:
            self._start(self._next or asyncio.get_running_loop().create_future())

    def ready(self, context: int, commit_end: Offset) -> None:
        """The round was confirmed."""
        future = self._running.pop(context, None)
        if future is not None and not future.done():
            future.set_result(commit_end)
        self._follow_up()

    def refused(self, context: int, error: Exception) -> None:
        """The round was refused."""
        future = self._running.pop(context, None)
        if future is not None:
            fail(future, error)
        self._follow_up()

    def fail(self, error: Callable[[], Exception]) -> None:
        """Nobody here can answer."""
        waiting = [*self._running.values(), *([self._next] if self._next is not None else [])]
        self._running, self._next = {}, None
        for future in waiting:
            fail(future, error())

    def _follow_up(self) -> None:
        if self._next is not None and not self._running and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_scheduled)

    def _start_scheduled(self) -> None:
        self._scheduled = False
        if self._next is not None:
            self._start(self._next)

    def _start(self, future: asyncio.Future[Offset]) -> None:
        self._next = None
        self._context += 1
        self._running[self._context] = future
        self._begin(self._context)
