"""What happened in a simulation, in words, and a digest that two runs of one seed must share."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Final

from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.scheduler import Scheduler

LINES_MAX: Final = 200_000
"""Beyond it lines only go into the digest."""
LINES_SHOWN_MAX: Final = 60
"""Of a failure, the last ones."""


class Trace:
    """Lines of a run, each with its virtual time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.lines: list[str] = []
        self._scheduler = scheduler
        self._digest = hashlib.sha256()

    def add(self, who: str, what: str) -> None:
        """Something worth reading happened."""
        line = f"{self._scheduler.now * 1000:12.3f} ms  {who:<10} {what}"
        self._digest.update(line.encode())
        self._digest.update(b"\n")
        if len(self.lines) < LINES_MAX:
            self.lines.append(line)

    def digest(self) -> str:
        """Over all lines so far."""
        return self._digest.hexdigest()


EXPLAINED: Final = frozenset(
    {
        "log_damaged",
        "replica_damaged",
        "node_failed",
        "cluster_part_failed",
        "group_coordinator_failed",
    }
)
"""Errors that faults explain: rot is reported when it is found; a node that gives up is judged by
`cluster`, which knows whether its disk failed; a coordinator that gave up without a reason has
another state in the end than its log says (`coordinator_replay`)."""


EXPLAINED_BY_ROT: Final = frozenset({"replica_lost", "replica_distrusted", "metadata_replica_lost"})
"""Likewise, of a node whose journal, checkpoints or state were damaged."""


class TraceLog(logging.Handler):
    """Takes what node code logs: warnings into the trace, errors to `errors` as well."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.WARNING)
        self.errors: list[tuple[str, str, str]] = []
        """Who, event, and what else."""
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging, on the loop of the process that logs."""
        loop = asyncio._get_running_loop()  # noqa: SLF001  # None outside of loops
        who = loop.name if isinstance(loop, SimLoop) else "outside"
        what = f"log {record.levelname}: {record.getMessage()}"
        if record.exc_info is not None and record.exc_info[1] is not None:
            what += f": {record.exc_info[1]!r}"
        self._trace.add(who, what)
        if (
            record.levelno >= logging.ERROR
            and isinstance(loop, SimLoop)
            and loop.alive
            and record.getMessage() not in EXPLAINED
        ):
            self.errors.append((who, record.getMessage(), what))
