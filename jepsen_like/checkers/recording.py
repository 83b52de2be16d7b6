"""Writes a history while real clients work; one for all clients of a process.

The order of the lines is the order of the events, since one event loop records them all: an
operation is invoked before its call leaves and ends after its answer came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from jepsen_like.checkers.history import Operation, What


class Recording:
    """A history that grows.

    Invariant: operation numbers are unique; an invocation and its end share one.
    """

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self.history: list[Operation] = []
        self._now_ms = now_ms
        self._ops = 0

    def invoke(
        self,
        process: str,
        what: What,
        partition: int,
        *,
        value: str = "",
        idempotent: bool = False,
        expected: int = -1,
    ) -> Operation:
        """An operation begins."""
        self._ops += 1
        return self._add(
            Operation(
                index=0,
                time_ms=0.0,
                process=process,
                kind="invoke",
                what=what,
                op=self._ops,
                partition=partition,
                value=value,
                idempotent=idempotent,
                expected=expected,
            )
        )

    def ok(
        self,
        invoked: Operation,
        *,
        offset: int = -1,
        records: tuple[tuple[int, str], ...] = (),
        node: int = -1,
        end: int = -1,
    ) -> None:
        """It succeeded."""
        self._add(replace(invoked, kind="ok", offset=offset, records=records, node=node, end=end))

    def fail(self, invoked: Operation, error: str, *, end: int = -1) -> None:
        """It certainly did not happen; `end`: of the log that a condition met."""
        self._add(replace(invoked, kind="fail", error=error, end=end))

    def info(self, invoked: Operation, error: str) -> None:
        """Nobody knows whether it happened."""
        self._add(replace(invoked, kind="info", error=error))

    def _add(self, operation: Operation) -> Operation:
        numbered = replace(operation, index=len(self.history), time_ms=round(self._now_ms(), 3))
        self.history.append(numbered)
        return numbered
