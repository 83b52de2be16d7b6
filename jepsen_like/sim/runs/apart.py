"""Runs a function in a child of this process, which ends with it.

What a simulated world leaves is a web of a hundred thousand objects, and collecting it took a tenth
of a seed's time. A process that ends leaves nothing, and no seed sees anything of the one before.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ChildDied(Exception):
    """The child ended before it had told its result."""


def call_apart(function: Callable[[], T]) -> tuple[T, float]:
    """What `function` returns, which must be possible to pickle, and the CPU seconds that the child
    used. Only for a process of one thread. Raises what `function` raises, and ChildDied."""
    gc.freeze()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(function, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status, usage = os.wait4(child, 0)
    if not told:
        code = os.waitstatus_to_exitcode(status)
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise ChildDied(f"the process of a run died: {why}")
    result = pickle.loads(told)  # noqa: S301  # from our own child
    if isinstance(result, BaseException):
        raise result
    return result, usage.ru_utime + usage.ru_stime


def _be_the_child(function: Callable[[], T], writer: int) -> None:
    """Never returns, and runs nothing that the parent wants to run at its own end."""
    code = 1
    try:
        try:
            told = pickle.dumps(function())
        except BaseException as error:  # the parent raises it
            told = pickle.dumps(error)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(told)
        code = 0
    finally:
        os._exit(code)
