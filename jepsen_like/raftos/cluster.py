"""Nodes of raftos as processes of this one: started, asked, killed."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

NODE: Final = Path(__file__).with_name("node.py")
LINE_BYTES_MAX: Final = 1 << 22
START_SECONDS_MAX: Final = 20.0
ELECTION_SECONDS_MAX: Final = 20.0
PAUSE_S: Final = 0.02


class NodeGone(Exception):
    """The node was killed or ended before it answered."""


class RaftosNode:
    """One node, over its lives.

    Invariant: every question is answered or fails with NodeGone when the process ends.
    """

    def __init__(self, python: Path, directory: Path, address: str, others: list[str]) -> None:
        self.address = address
        self.led: list[int] = []
        """Terms in which raftos said that it was elected."""
        self._command = [str(python), str(NODE), f"{directory}/", address, *others]
        self._errors = directory / f"{address.replace(':', '_')}.stderr"
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._started = asyncio.Event()
        self._asked = 0

    @property
    def runs(self) -> bool:
        """Neither killed nor ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and wait until raftos listens."""
        self._started.clear()
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=LINE_BYTES_MAX,
            )
        self._reading = asyncio.get_running_loop().create_task(self._read(self._process))
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await self._started.wait()
        except TimeoutError:
            told = self._errors.read_text(encoding="utf-8", errors="replace")
            raise NodeGone(f"{self.address} did not start: {told[-500:]}") from None

    async def ask(self, do: str, **fields: str) -> dict[str, Any]:
        """Ask, and wait for the answer. Raises NodeGone."""
        process = self._process
        if process is None or process.stdin is None or process.returncode is not None:
            raise NodeGone(self.address)
        self._asked += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._asked] = answer
        line = json.dumps({"id": self._asked, "do": do, **fields}) + "\n"
        with suppress(ConnectionError):  # It died: the reader finds out.
            process.stdin.write(line.encode())
        return await answer

    def strike(self) -> None:
        """SIGKILL, without waiting for the end."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.strike()
        if self._process is not None:
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            told = json.loads(line)
            if told.get("event") == "started":
                self._started.set()
            elif told.get("event") == "leader":
                self.led.append(told["term"])
            else:
                answer = self._answers.pop(told["id"], None)
                if answer is not None and not answer.done():
                    answer.set_result(told)
        gone, self._answers = self._answers, {}
        for answer in gone.values():
            if not answer.done():
                answer.set_exception(NodeGone(self.address))


class RaftosCluster:
    """Three nodes on loopback, their files under one directory."""

    def __init__(self, python: Path, directory: Path, count: int = 3) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        addresses = [f"127.0.0.1:{port}" for port in _free_udp_ports(count)]
        self.nodes = [
            RaftosNode(python, directory, own, [a for a in addresses if a != own])
            for own in addresses
        ]

    async def start(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            if not node.runs:
                await node.start()

    async def leader(self) -> RaftosNode:
        """The running node that leads in the highest term. Raises TimeoutError."""
        async with asyncio.timeout(ELECTION_SECONDS_MAX):
            while True:
                leading = []
                for node in self.nodes:
                    if node.runs:
                        with suppress(NodeGone):
                            state = await node.ask("state")
                            if state["leads"]:
                                leading.append((state["term"], node.address, node))
                if leading:
                    return max(leading)[2]
                await asyncio.sleep(PAUSE_S)

    async def kill(self) -> None:
        """Every node."""
        for node in self.nodes:
            await node.kill()

    def leaders_by_term(self) -> dict[int, list[str]]:
        """Who was elected in each term, as the nodes said."""
        elected: dict[int, list[str]] = {}
        for node in self.nodes:
            for term in sorted(set(node.led)):
                elected.setdefault(term, []).append(node.address)
        return elected


def _free_udp_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for _ in range(count)
        ]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
