"""Services whose calls are counted: how many, how many are open, and how they fail.

A call costs two looks at the clock; a message on a stream costs nothing. Methods are those of the
services, so their number is fixed; clients are not told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from replication.ports import (
    CallFailed,
    Clock,
    ServerStream,
    Service,
    StatusCode,
    StreamHandler,
    UnaryHandler,
)
from streamlog.model import status_details


@dataclass(slots=True)
class MethodCounters:
    """Of one method."""

    begun: int = 0
    open: int = 0
    """Calls, or streams, that have not ended."""
    ended: int = 0
    ended_ms: float = 0.0
    """Sum of the durations of calls that ended."""


class CallCounters:
    """Of one node, by method: "LogService/Produce"."""

    def __init__(self, refused: Callable[[str, str], None]) -> None:
        """`refused` hears the method and the reason of every call that failed."""
        self.unary: dict[str, MethodCounters] = {}
        self.streams: dict[str, MethodCounters] = {}
        self.refused = refused


def measured(service: Service, clock: Clock, counters: CallCounters) -> Service:
    """The same service, counted."""
    return Service(
        service.name,
        {
            name: partial(_call, handler, clock, counters, _counted(counters.unary, service, name))
            for name, handler in service.unary.items()
        },
        {
            name: partial(
                _serve, handler, clock, counters, _counted(counters.streams, service, name)
            )
            for name, handler in service.streams.items()
        },
    )


def _counted(
    methods: dict[str, MethodCounters], service: Service, method: str
) -> tuple[str, MethodCounters]:
    name = f"{service.name.rpartition('.')[2]}/{method}"
    return name, methods.setdefault(name, MethodCounters())


async def _call(
    handler: UnaryHandler,
    clock: Clock,
    counters: CallCounters,
    counted: tuple[str, MethodCounters],
    request: bytes,
) -> bytes:
    began_ms = _begin(counted[1], clock)
    try:
        return await handler(request)
    except Exception as error:
        counters.refused(counted[0], _reason(error))
        raise
    finally:
        _end(counted[1], clock, began_ms)


async def _serve(
    handler: StreamHandler,
    clock: Clock,
    counters: CallCounters,
    counted: tuple[str, MethodCounters],
    stream: ServerStream,
) -> None:
    began_ms = _begin(counted[1], clock)
    try:
        await handler(stream)
    except Exception as error:
        counters.refused(counted[0], _reason(error))
        raise
    finally:
        _end(counted[1], clock, began_ms)


def _begin(counters: MethodCounters, clock: Clock) -> float:
    counters.begun += 1
    counters.open += 1
    return clock.monotonic_ms()


def _end(counters: MethodCounters, clock: Clock, began_ms: float) -> None:
    counters.open -= 1
    counters.ended += 1
    counters.ended_ms += clock.monotonic_ms() - began_ms


def _reason(error: Exception) -> str:
    """The stable reason if the failure has one, else the name of its status."""
    if not isinstance(error, CallFailed):
        return StatusCode.INTERNAL.name
    details = status_details.decode(error.details)
    return details.reason if details is not None and details.reason else error.code.name
