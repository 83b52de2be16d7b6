"""The log of a server process: one event a line, to standard error, never blocking the loop.

Node code uses the standard library's logging with an event's name as the message and its values
in `extra`. Here they are made JSON, or readable text, on a thread of their own; when that thread
falls behind by EVENTS_WAITING_MAX events, further ones are counted and dropped, since a terminal
that nobody reads must not stop a node.
"""

from __future__ import annotations

import logging
import queue
import sys
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import structlog

EVENTS_WAITING_MAX = 10_000
STOP_TIMEOUT_SECONDS = 5.0


class _DroppingHandler(QueueHandler):
    """Hands records over as they are, and drops them when the queue is full."""

    def __init__(self, waiting: queue.Queue[Any]) -> None:
        super().__init__(waiting)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _PatientListener(QueueListener):
    """Ends also when the queue is full, as long as the output moves at all."""

    def __init__(self, waiting: queue.Queue[Any], output: logging.Handler) -> None:
        super().__init__(waiting, output)
        self._waiting = waiting

    def enqueue_sentinel(self) -> None:
        self._waiting.put(None, timeout=STOP_TIMEOUT_SECONDS)


def _of_node(node_id: int) -> Callable[[Any, str, dict[str, Any]], dict[str, Any]]:
    """Adds the node; leaves out what another handler may have left in the record."""

    def process(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.pop("message", None)
        event["node"] = node_id
        return event

    return process


class Logs:
    """Logging that was set up; `close` writes what is waiting."""

    def __init__(self, format_: str, level: str, node_id: int) -> None:
        """Send every logger's events of at least this level ("debug" to "error") to standard
        error, as "text" or "json"."""
        renderer: Any
        processors: list[Any] = [
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _of_node(node_id),
        ]
        if format_ == "json":
            processors.append(structlog.processors.format_exc_info)
            renderer = structlog.processors.JSONRenderer(default=str)
        else:
            renderer = structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        output = logging.StreamHandler(sys.stderr)
        output.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=processors,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            )
        )
        waiting: queue.Queue[Any] = queue.Queue(EVENTS_WAITING_MAX)
        self._handler = _DroppingHandler(waiting)
        self._listener = _PatientListener(waiting, output)
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(level.upper())
        self._listener.start()

    def close(self) -> None:
        """Write what is waiting, and stop."""
        root = logging.getLogger()
        if self._handler.dropped:
            logging.getLogger(__name__).warning(
                "log_events_dropped", extra={"dropped": self._handler.dropped}
            )
        root.removeHandler(self._handler)
        # An output that does not move at all keeps what waits; the process ends without it.
        with suppress(queue.Full):
            self._listener.stop()
