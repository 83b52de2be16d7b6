"""Proposals of one leadership that wait for their commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from replication.types import Offset


class PendingProposals:
    """In log order.

    Invariant: ends ascend; `uncommitted_bytes` is the sum of the sizes held.
    """

    __slots__ = ("_pending", "uncommitted_bytes")

    def __init__(self) -> None:
        self._pending: deque[tuple[Offset, int, asyncio.Future[None]]] = deque()
        self.uncommitted_bytes = 0

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, end: Offset, size_bytes: int) -> asyncio.Future[None]:
        """A future that ends when everything below `end` is committed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((end, size_bytes, future))
        self.uncommitted_bytes += size_bytes
        return future

    def commit(self, end: Offset) -> int:
        """Everything below `end` is committed; returns the bytes that were waiting for it."""
        freed = 0
        pending = self._pending
        while pending and pending[0][0] <= end:
            _, size_bytes, future = pending.popleft()
            freed += size_bytes
            if not future.done():
                future.set_result(None)
        self.uncommitted_bytes -= freed
        return freed

    def fail(self, error: Callable[[], Exception]) -> int:
        """None of them will be reported any more; returns the bytes that were waiting."""
        freed, self.uncommitted_bytes = self.uncommitted_bytes, 0
        pending, self._pending = self._pending, deque()
        for _, _, future in pending:
            fail(future, error())
        return freed


def fail(future: asyncio.Future[None] | asyncio.Future[Offset], error: Exception) -> None:
    """End a future with an error that nobody is obliged to look at."""
    if not future.done():
        future.set_exception(error)
        future.exception()
