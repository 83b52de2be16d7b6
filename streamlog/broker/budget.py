"""A bound on bytes that are held for clients: at the bound the reader waits, nothing grows."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """Bytes that may be held at a time.

    Invariant: `used` is at most `limit`, except that one request larger than the limit is let
    through when nothing else is held (else it could never be served).
    Invariant: waiters are served in the order they came, so that no stream starves.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.waits = 0
        """How often a taker had to wait."""
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    def fits(self, size: int) -> bool:
        """Whether `size` bytes can be taken now."""
        return not self._waiters and (self.used == 0 or self.used + size <= self.limit)

    async def take(self, size: int) -> None:
        """Take `size` bytes, waiting until they fit. Cancelling takes nothing."""
        if self.fits(size):
            self.used += size
            return
        self.waits += 1
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((size, waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give(size)
            else:
                self._wake()
            raise

    def set_limit(self, limit: int) -> None:
        """From now on; what is taken already stays taken."""
        self.limit = limit
        self._wake()

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        self.used -= size
        assert self.used >= 0, self.used
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            size, waiter = self._waiters[0]
            if waiter.done():
                self._waiters.popleft()
            elif self.used == 0 or self.used + size <= self.limit:
                self._waiters.popleft()
                self.used += size
                waiter.set_result(None)
            else:
                return
