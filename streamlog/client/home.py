"""The process, thread and event loop that an object of the client belongs to.

None of these objects is thread-safe, and gRPC does not survive a fork. Use from elsewhere would
corrupt state in silence, so it is refused: where a call can wait or does the work of a batch all
three are checked; where it handles one record, only the thread, and a fork forgets that.
"""

from __future__ import annotations

import asyncio
import os
from threading import get_ident
from typing import Final
from weakref import WeakSet

from streamlog.client.errors import WrongUse

NOT_BOUND: Final = 0


class Home:
    """Where an object may be used; bound by its first use inside an event loop.

    Invariant: in a forked child `thread` is no thread at all.
    """

    __slots__ = ("__weakref__", "_loop", "_pid", "_what", "thread")

    def __init__(self, what: str) -> None:
        """`what`: the object's name in errors."""
        self._what = what
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.thread = NOT_BOUND
        """Identity of the thread it belongs to."""
        _HOMES.add(self)

    def check(self) -> None:
        """Bind, or raise WrongUse when this is another process, thread or loop."""
        if os.getpid() != self._pid:
            raise self._forked()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise self._wrong("is used where no event loop runs", _USE_SYNC) from None
        if self._loop is None:
            self._loop, self.thread = loop, get_ident()
        elif self.thread != get_ident():
            raise self.elsewhere()
        elif loop is not self._loop:
            raise self._wrong("is used in another event loop than that of its first use", _ONE_LOOP)

    def elsewhere(self) -> WrongUse:
        """The error of a use in another thread, or in another process."""
        if os.getpid() != self._pid:
            return self._forked()
        if self.thread == NOT_BOUND:
            return self._wrong("was not started", "enter it: async with ...")
        return self._wrong("is used in another thread than that of its first use", _USE_SYNC)

    def _forked(self) -> WrongUse:
        return self._wrong(
            f"was made in process {self._pid} and is used in its fork {os.getpid()}",
            "make it after the fork",
        )

    def _wrong(self, how: str, remedy: str) -> WrongUse:
        return WrongUse(f"the {self._what} {how}; {remedy}")


_USE_SYNC = "use streamlog.client.sync from threads and scripts"
_ONE_LOOP = "make one for each loop, and close it there"

_HOMES: Final[WeakSet[Home]] = WeakSet()
"""Of this process; a fork is an event of the process, whoever made it."""


def _after_fork() -> None:
    for home in _HOMES:
        home.thread = NOT_BOUND


os.register_at_fork(after_in_child=_after_fork)
