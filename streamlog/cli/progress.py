"""A line on the terminal that says how far a long command is, once a second.

It goes to standard error, and only when that is a terminal: what is piped or logged holds nothing
that moves.
"""

from __future__ import annotations

import asyncio
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from streamlog.cli.output import size_text

if TYPE_CHECKING:
    from rich.live import Live

PAUSE_S: Final = 1.0


class StatusLine:
    """A line that the next one replaces, and that is gone in the end; a context manager."""

    def __init__(self, *, shown: bool | None = None) -> None:
        """`shown`: default: on a terminal."""
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True, force_terminal=True),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, text: str) -> None:
        """Show it instead of what was there; nothing where there is no terminal."""
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


class Progress:
    """Counts records and bytes; an asynchronous context manager around the work."""

    def __init__(self, total: int | None = None, *, shown: bool | None = None) -> None:
        """`total`: records, when that is known. `shown`: default: on a terminal."""
        self.records = 0
        self.size_bytes = 0
        self._total = total
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._status = StatusLine(shown=self._shown)
        self._began_s = time.monotonic()
        self._last = (self._began_s, 0, 0)
        self._ticking: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began_s

    async def __aenter__(self) -> Self:
        self._began_s = time.monotonic()
        self._last = (self._began_s, 0, 0)
        self._status.__enter__()
        if self._shown:
            self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
        self._status.__exit__(kind, error, traceback)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            self._status.show(self.line(time.monotonic()))

    def line(self, now_s: float) -> str:
        """What is shown, with the rates since it was shown last."""
        before_s, records, size_bytes = self._last
        self._last = (now_s, self.records, self.size_bytes)
        passed_s = max(now_s - before_s, 1e-9)
        part = f" ({self.records / self._total:.0%})" if self._total else ""
        return (
            f"{self.records:,} records{part}, {size_text(self.size_bytes)};"
            f" {(self.records - records) / passed_s:,.0f} records/s,"
            f" {size_text((self.size_bytes - size_bytes) / passed_s)}/s"
        )
