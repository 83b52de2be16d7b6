"""What callers of one group wait for: transfers, changes of membership, moves of the log's start.

All end with LeadershipLost or NotLeader when leadership does; none is repeated here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from replication.multiraft.proposals import fail
from replication.types import Membership, Offset


class Requests:
    """Futures of one group.

    Invariant: at most one transfer and one membership change are awaited at a time.
    """

    __slots__ = ("_establishing", "_log_starts", "_membership", "_membership_target", "_transfer")

    def __init__(self) -> None:
        self._transfer: asyncio.Future[None] | None = None
        self._membership: asyncio.Future[None] | None = None
        self._membership_target: Membership | None = None
        self._log_starts: list[tuple[Offset, asyncio.Future[None]]] = []
        self._establishing: list[asyncio.Future[None]] = []

    # -- transfer ------------------------------------------------------------------------------

    @property
    def transferring(self) -> bool:
        """A transfer is under way."""
        return self._transfer is not None

    def begin_transfer(self) -> asyncio.Future[None]:
        """Ends when another replica leads."""
        self._transfer = _future()
        return self._transfer

    def transferred(self) -> None:
        """Another leads."""
        if self._transfer is not None and not self._transfer.done():
            self._transfer.set_result(None)

    def end_transfer(self) -> None:
        """Nobody waits for it any more."""
        self._transfer = None

    # -- membership ----------------------------------------------------------------------------

    @property
    def changing(self) -> bool:
        """A membership change is awaited."""
        return self._membership is not None

    def begin_change(self, target: Membership) -> asyncio.Future[None]:
        """Ends when `target` is committed."""
        self._membership, self._membership_target = _future(), target
        return self._membership

    def membership_committed(self, membership: Membership) -> None:
        """A configuration is committed; maybe the awaited one."""
        target, future = self._membership_target, self._membership
        if future is not None and membership == target:
            self._membership, self._membership_target = None, None
            if not future.done():
                future.set_result(None)

    def change_refused(self, error: Exception) -> None:
        """The change was not taken up."""
        future, self._membership, self._membership_target = self._membership, None, None
        if future is not None:
            fail(future, error)

    # -- forced recovery -----------------------------------------------------------------------

    def begin_establishing(self) -> asyncio.Future[None]:
        """Ends when this replica leads and an entry of its term is committed."""
        future = _future()
        self._establishing.append(future)
        return future

    def established(self) -> None:
        """It is so."""
        waiting, self._establishing = self._establishing, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def fail_establishing(self, error: Exception) -> None:
        """The replica takes part no more."""
        waiting, self._establishing = self._establishing, []
        for future in waiting:
            fail(future, error)

    # -- log start -----------------------------------------------------------------------------

    def begin_log_start(self, start: Offset) -> asyncio.Future[None]:
        """Ends when a start at or above `start` is committed."""
        future = _future()
        self._log_starts.append((start, future))
        return future

    def log_start_committed(self, start: Offset) -> None:
        """The log's start moved."""
        waiting, self._log_starts = self._log_starts, []
        for wanted, future in waiting:
            if wanted > start:
                self._log_starts.append((wanted, future))
            elif not future.done():
                future.set_result(None)

    def fail(self, error: Callable[[], Exception]) -> None:
        """Leadership ended: nothing but a transfer can still succeed."""
        self.change_refused(error())
        waiting, self._log_starts = self._log_starts, []
        for _, future in waiting:
            fail(future, error())


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()
