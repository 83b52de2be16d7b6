"""An asyncio loop for one process of a record: as fast as it can, in virtual time.

The simulator's loop is stepped by a scheduler that owns the time of many processes; here there is
one process, and thousands of short lives: the loop itself jumps to the next timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

_CANCEL_ROUNDS_MAX: Final = 100
_EPOCH_MS: Final = 1_700_000_000_000


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs at once, whatever the delays; the time is what was waited for."""

    def __init__(self, start_s: float = 0.0) -> None:
        super().__init__()
        self._now = start_s
        self._selector = self
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """Let the time until the next timer pass."""
        if timeout is None:
            raise RuntimeError("every task waits, and nothing is going to happen")
        self._now += timeout
        return []

    def _process_events(self, events: object) -> None:
        """There are none."""

    def turn(self) -> None:
        """Run what is ready."""
        asyncio.events._set_running_loop(self)  # noqa: SLF001
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio.events._set_running_loop(None)  # noqa: SLF001

    def abandon(self) -> None:
        """End as a crash ends a process: what was under way does not go on."""
        for _ in range(_CANCEL_ROUNDS_MAX):
            tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self.call_soon(lambda: None)
            self.turn()
        self.close()


class LoopClock:
    """The running loop's time: `replication.ports.Clock`."""

    def monotonic_ms(self) -> float:
        """Milliseconds of the loop."""
        return asyncio.get_running_loop().time() * 1000

    def wall_ms(self) -> int:
        """The same, from some day on."""
        return _EPOCH_MS + int(self.monotonic_ms())


def run(work: Coroutine[Any, Any, Result], start_s: float = 0.0) -> Result:
    """Run to the end in virtual time; what it leaves under way is abandoned."""
    loop = VirtualLoop(start_s)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.abandon()
