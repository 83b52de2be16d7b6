"""Processes with members of a group in them: started, told, listened to, killed.

A member process says on its standard output, one line each, with the time in seconds:

    ready TIME                      it is up; "go" makes it join
    joining TIME MEMBER             just before it does
    assigned TIME MEMBER PARTITION...
    revoked TIME MEMBER PARTITION...
    read TIME MEMBER PARTITION PRODUCED
    leaving TIME MEMBER             just before it leaves cleanly, told "leave"
    committed TIME MEMBER COUNT     so many commits in COMMITS_FOR_S, told "commit"

and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LINE_BYTES_MAX = 1 << 20
COMMITS_FOR_S = 5.0

OnLine = Callable[[str, float, list[str]], None]
"""Kind, time, and the rest of a line."""


def line(kind: str, *words: object) -> str:
    """What a member process writes."""
    return " ".join(map(str, (kind, f"{time.monotonic():.6f}", *words))) + "\n"


class MemberProcess:
    """One process; `name` is the member's, or the prefix of its members'."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name, self._process, self._log = name, process, log
        self.is_ready = asyncio.Event()
        self.acted_s: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When it began to do what it was told last."""
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, name: str, module: str, arguments: Sequence[object], log: Path, on_line: OnLine
    ) -> MemberProcess:
        """Start it and wait until it is up."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"benchmarks.clients.{module}",
                *map(str, arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=LINE_BYTES_MAX,
            )
        self = cls(name, process, log)
        self._reading = asyncio.ensure_future(self._read(on_line))
        ready = asyncio.ensure_future(self.is_ready.wait())
        await asyncio.wait([ready, self._reading], return_when=asyncio.FIRST_COMPLETED)
        if not self.is_ready.is_set():
            ready.cancel()
            raise RuntimeError(f"{name} ended: {self.words()}")
        return self

    async def tell(self, word: str) -> float:
        """Tell it to "go" or to "leave"; when it began to, by its own words."""
        self.acted_s = asyncio.get_running_loop().create_future()
        await self.say(word)
        return await self.acted_s

    async def say(self, word: str) -> None:
        """Tell it."""
        assert self._process.stdin is not None
        self._process.stdin.write(word.encode() + b"\n")
        await self._process.stdin.drain()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    @property
    def has_ended(self) -> bool:
        """It runs no more."""
        return self._process.returncode is not None

    def words(self) -> str:
        """The end of what it said besides."""
        return self._log.read_text(errors="replace")[-2_000:]

    async def end(self) -> None:
        """Kill it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self, on_line: OnLine) -> None:
        assert self._process.stdout is not None
        async for told in self._process.stdout:
            kind, time_s, *rest = told.decode().split()
            if kind == "ready":
                self.is_ready.set()
            elif kind in {"joining", "leaving"}:
                if not self.acted_s.done():
                    self.acted_s.set_result(float(time_s))
            else:
                on_line(kind, float(time_s), rest)
