"""What a node needs of its process: the loop, the interpreter's knobs, descriptors, signals."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

SWITCH_INTERVAL_SECONDS = 0.0001
"""How long a thread that came back from the disk waits for a busy loop to let it have the
interpreter. With the default of 5 ms, flushes under load took seconds instead of 0.9 ms."""

CONNECTION_DESCRIPTORS = 256
"""Descriptors kept for sockets, the journal and everything else that is not a segment file."""

Result = TypeVar("Result")


class TooFewDescriptors(Exception):
    """The limit on open files is below what the settings ask for."""

    def __init__(self, needed: int, limit: int) -> None:
        self.needed, self.limit = needed, limit
        super().__init__(
            f"{needed} open files are needed and {limit} are allowed:"
            f" raise the limit (ulimit -n), or lower open.files by {needed - limit}"
        )


def run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine to its end on the fastest loop there is."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def reserve_descriptors(open_files: int) -> None:
    """Raise the soft limit to what a node with so many open segment files needs.

    Raises:
        TooFewDescriptors: the hard limit does not allow it.
    """
    needed = open_files + CONNECTION_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TooFewDescriptors(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def freeze_heap() -> None:
    """Take everything that lives now out of the collector's sight; called once after the start,
    when what is alive will stay: modules, descriptors, recovered state."""
    gc.collect()
    gc.freeze()


def stop_signal() -> asyncio.Event:
    """An event of the running loop that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def on_reload_signal(callback: Callable[[], None]) -> None:
    """Call it in the running loop at each SIGHUP."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, callback)


def stop_with_input(stop: asyncio.Event) -> None:
    """Set the event when standard input ends: when the process that holds its other end does."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, readable)
