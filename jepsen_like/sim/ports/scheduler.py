"""The one owner of virtual time: picks what happens next over all loops.

Three kinds of events wait in one heap: a timer of a loop, a turn of a loop that has callbacks
ready, and a global event (a message that arrives, a nemesis that strikes) that belongs to no
loop. A turn runs what was ready when it began, as asyncio's own loop does, and takes a little
virtual time, drawn from the seed: so the turns of different loops interleave differently in each
seed, and code that never waits can not stop time.

Invariant: virtual time never goes back, and everything random comes from the seed.

What crashed is kept here until the end of the run, so that no `finally` of a dead process runs.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import logging
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

from jepsen_like.sim.ports.loop import SimLoop

T = TypeVar("T")

TURN_COST_SECONDS_MAX: Final = 30e-6
"""A turn begins within this time after its loop has something to do."""

EVENTS_MAX: Final = 3_000_000
"""In one `run`; beyond it something calls itself for ever."""

COLLECTIONS_MAX: Final = 4
"""Of garbage, after a run."""


class Livelock(Exception):
    """Too much happens in too little virtual time."""


HeapEntry: TypeAlias = tuple[
    float, int, SimLoop | None, asyncio.TimerHandle | Callable[[], None] | None
]
"""When, sequence (unique), loop (None: global event), timer or event (None: turn)."""


class Scheduler:
    """Virtual time, all loops and global events of one simulation."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        """Seconds since the simulation began, as no node's clock shows them."""
        self.events = 0
        """Callbacks run and global events carried out."""
        self.after_turn: Callable[[SimLoop], None] | None = None
        """Called after every turn of a loop: the invariants look here."""
        self._heap: list[HeapEntry] = []
        self._sequence = 0
        self._jitter = self.random("scheduler").random
        self._graveyard: list[object] = []

    def random(self, name: str) -> random.Random:
        """A source of randomness for one purpose; the same for the same seed and name."""
        return random.Random(f"{self.seed}/{name}")

    def new_loop(self, name: str, *, rate: float = 1.0, offset: float = 0.0) -> SimLoop:
        """A loop whose clock shows `offset` at time 0 and runs `rate` times as fast."""
        return SimLoop(self, name, rate=rate, offset=offset)

    # What loops ask for.

    def call_at(self, when: float, event: Callable[[], None]) -> None:
        """A global event at a moment of global time (now, if that is past)."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(when, self.now), self._sequence, None, event))

    def call_later(self, delay: float, event: Callable[[], None]) -> None:
        """A global event after a delay in seconds of global time."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + max(delay, 0.0), self._sequence, None, event))

    def push_timer(self, loop: SimLoop, when: float, handle: asyncio.TimerHandle) -> None:
        """A timer of a loop, at a moment of global time."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(when, self.now), self._sequence, loop, handle))

    def push_turn(self, loop: SimLoop) -> None:
        """The loop has callbacks ready."""
        self._sequence += 1
        when = self.now + TURN_COST_SECONDS_MAX * self._jitter()
        heapq.heappush(self._heap, (when, self._sequence, loop, None))

    # Running.

    def run(self, until: float, stop: Callable[[], bool] | None = None) -> bool:
        """Carry out events up to a moment; True when `stop` said so before.

        `stop` is asked after global events and turns.
        """
        heap = self._heap
        pop = heapq.heappop
        events_max = self.events + EVENTS_MAX
        set_running_loop = asyncio._set_running_loop  # noqa: SLF001  # what run_forever does
        previous = asyncio._get_running_loop()  # noqa: SLF001
        try:
            while heap and heap[0][0] <= until:
                entry = pop(heap)
                loop, action = entry[2], entry[3]
                if loop is None:
                    self.now = entry[0]
                    self.events += 1
                    assert callable(action)
                    action()
                else:
                    if loop.held is not None:
                        if loop.alive:
                            loop.held.append((loop, action))
                        continue
                    if action is not None:
                        assert isinstance(action, asyncio.TimerHandle)
                        if action.cancelled():
                            continue
                        loop.take_timer(action)
                    self.now = entry[0]
                    if action is None or not loop.turn_pending:
                        set_running_loop(loop)
                        self.events += loop.turn()
                        set_running_loop(previous)
                        if self.after_turn is not None:
                            self.after_turn(loop)
                if stop is not None and stop():
                    return True
                if self.events > events_max:
                    raise Livelock(
                        f"{EVENTS_MAX} events by {self.now:.3f} s: nothing comes to rest"
                    )
        finally:
            set_running_loop(previous)
        self.now = max(self.now, until) if not heap or heap[0][0] > until else self.now
        return stop is not None and stop()

    def complete(self, task: asyncio.Task[T], seconds: float) -> T:
        """Run until a task has ended; its result or exception. TimeoutError after `seconds`."""
        if not self.run(self.now + seconds, task.done):
            raise TimeoutError(f"{task.get_coro()!r} took longer than {seconds} s")
        return task.result()

    # Pauses and crashes.

    def pause(self, loop: SimLoop) -> None:
        """Do not step the loop; its clock goes on."""
        if loop.held is None:
            loop.held = []

    def resume(self, loop: SimLoop) -> None:
        """Step it again: everything that came due meanwhile comes now."""
        held, loop.held = loop.held, None
        if not loop.alive:
            loop.held = []
            return
        for _, action in held or ():
            self._sequence += 1
            heapq.heappush(self._heap, (self.now, self._sequence, loop, action))

    def drop(self, loop: SimLoop) -> None:
        """The process is gone: none of its code runs again, not even a `finally`."""
        tasks = asyncio.all_tasks(loop)
        for task in tasks:  # asyncio's own list of them would be gone through at every death
            asyncio._unregister_task(task)  # noqa: SLF001
        self.bury([loop, *tasks])
        loop.die()

    def bury(self, things: list[object]) -> None:
        """Keep objects of a dead process until the end of the run."""
        self._graveyard.extend(things)

    def dispose(self, loops: list[SimLoop]) -> None:
        """End the run: nothing happens any more.

        Coroutines that never finished run their `finally` blocks when they are collected. By
        then all loops are dead, so whatever those do has no effect; but they are collected
        within `silence`, for some complain.
        """
        with silence():
            self.let_go(loops)

    def let_go(self, loops: list[SimLoop]) -> None:
        """As `dispose`, for a caller that collects later."""
        for loop in loops:
            if loop.alive:
                self.drop(loop)
        self._heap.clear()
        self.after_turn = None
        self._graveyard.clear()


@contextmanager
def silence() -> Iterator[None]:
    """What dead processes still complain about while they are collected is of no interest."""
    yield
    hook = sys.unraisablehook
    disabled = logging.root.manager.disable
    sys.unraisablehook = _ignore
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Abandoned coroutines run when they are collected, and keep what they use until then.
            for _ in range(COLLECTIONS_MAX):
                if not _collect():
                    break
    finally:
        sys.unraisablehook = hook
        logging.disable(disabled)


def _collect() -> int:
    """Within an event loop: the `finally` blocks of what is collected may ask for the running one,
    and without one asyncio would make a loop that nobody closes."""
    running = asyncio._get_running_loop()  # noqa: SLF001
    limbo = asyncio.new_event_loop()
    asyncio._set_running_loop(limbo)  # noqa: SLF001
    try:
        return gc.collect()
    finally:
        asyncio._set_running_loop(running)  # noqa: SLF001
        limbo.close()


def _ignore(unraisable: object) -> None:
    """Not told to anybody."""
