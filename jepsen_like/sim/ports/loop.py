"""An asyncio event loop without a selector, in virtual time: one for each simulated process.

It runs ordinary coroutines. The `Scheduler` steps it; it never runs by itself. Threads,
executors, sockets and signals do not exist here: asking for them raises.

Rejected: one loop for all processes. Clocks of different speed, pauses and crashes need one each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVarTuple

if TYPE_CHECKING:
    from jepsen_like.sim.ports.scheduler import Scheduler

Ts = TypeVarTuple("Ts")


class SimLoop(asyncio.BaseEventLoop):
    """The loop of one simulated process.

    Invariants: while `held` is None and callbacks are ready, a turn is pending in the scheduler
    or under way. A dead loop (`alive` False) takes callbacks and never runs them.
    """

    def __init__(self, scheduler: Scheduler, name: str, *, rate: float, offset: float) -> None:
        super().__init__()
        self.name = name
        self.rate = rate
        self.offset = offset
        self.alive = True
        self.held: list[tuple[SimLoop, Any]] | None = None
        """While paused or dead: what would have happened."""
        self.turn_pending = False
        self.failures: list[dict[str, Any]] = []
        """What asyncio would have logged: exceptions that nobody took."""
        self._scheduler = scheduler
        self._callbacks: deque[asyncio.Handle] = deque()

    def __repr__(self) -> str:
        return f"<SimLoop {self.name}>"

    def __del__(self) -> None:
        """Nothing is open that could be left open."""

    def get_debug(self) -> bool:
        """Debugging would draw on real time."""
        return False

    def time(self) -> float:
        """Seconds on this process's monotonic clock."""
        return self.offset + self._scheduler.now * self.rate

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """In the next turn."""
        handle = asyncio.Handle(callback, args, self, context)
        self._callbacks.append(handle)
        if not self.turn_pending:
            self.turn_pending = True
            self._scheduler.push_turn(self)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """At a time of this process's clock."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._scheduler.push_timer(self, (when - self.offset) / self.rate, handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """After a delay on this process's clock."""
        when = self.offset + self._scheduler.now * self.rate + delay
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._scheduler.push_timer(self, self._scheduler.now + delay / self.rate, handle)
        return handle

    def take_timer(self, handle: asyncio.TimerHandle) -> None:
        """A timer is due; the scheduler runs a turn next."""
        self._callbacks.append(handle)

    def turn(self) -> int:
        """Run what is ready now, not what becomes ready meanwhile; returns how many ran."""
        callbacks = self._callbacks
        self.turn_pending = True  # so that call_soon does not ask for one
        ran = 0
        for _ in range(len(callbacks)):
            handle = callbacks.popleft()
            if not handle._cancelled:  # noqa: SLF001
                handle._run()  # noqa: SLF001
                ran += 1
        self.turn_pending = bool(callbacks)
        if callbacks:
            self._scheduler.push_turn(self)
        return ran

    def die(self) -> None:
        """Take part no more."""
        self.alive = False
        self.held = []

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember it; the end of the run asks for it."""
        if self.alive:
            self.failures.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the scheduler's heap until it is due."""

    def is_running(self) -> bool:
        """As asyncio sees it: while it is being stepped."""
        return asyncio._get_running_loop() is self  # noqa: SLF001

    def run_forever(self) -> NoReturn:
        """The scheduler steps it."""
        raise self._no("run by itself")

    def run_in_executor(self, *args: object) -> NoReturn:
        """No threads."""
        raise self._no("use an executor")

    def call_soon_threadsafe(self, *args: object, context: Context | None = None) -> NoReturn:
        """No threads."""
        raise self._no("be called from a thread")

    def _no(self, what: str) -> RuntimeError:
        return RuntimeError(f"a simulated process can not {what}: {self.name}")
