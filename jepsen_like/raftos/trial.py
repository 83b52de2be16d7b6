"""The trial: writes under killed leaders, and elections after which votes are forgotten.

Each round of writes is a cluster of its own and a partition of the history. Some records are written one
after the other. Then many at once, as the clients of a busy program do, and the leader is killed
with SIGKILL as soon as it acknowledges one of them. When another node leads, the killed one comes
back; after a while of peace the leader's log is the final one. Its uncommitted entries count in
its favour.

More rounds rather than longer ones: a leader of raftos commits nothing any more once it was
elected with an uncommitted entry of an earlier term in its log.

In a round of votes no record is written. The leader is killed; the others elect one of them, and
both are killed. Then the first leader comes back with the one that voted, which knows the term of
that election and not its vote: it may vote in it again, and elect a second leader of the term.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from jepsen_like.checkers.history import Operation
from jepsen_like.checkers.recording import Recording
from jepsen_like.raftos.cluster import NodeGone, RaftosCluster, RaftosNode

SEQUENTIAL: Final = 20
BURST: Final = 50
WRITE_SECONDS_MAX: Final = 3.0
ELECTIONS: Final = 6
"""At most, in a round of votes."""
PEACE_SECONDS: Final = 1.5
"""Thirty heartbeats."""


class Trial:
    """Rounds, in one history."""

    def __init__(self, python: Path, directory: Path) -> None:
        self._python, self._directory = python, directory
        self._recording = Recording(lambda: time.monotonic() * 1_000)
        self.double_leaders: list[str] = []
        """Terms in which more than one node was elected, in words."""

    @property
    def history(self) -> list[Operation]:
        """What happened so far."""
        return self._recording.history

    async def writes(self, number: int) -> None:
        """One cluster: write, kill, heal, read. Raises TimeoutError when nobody is elected."""
        cluster = RaftosCluster(self._python, self._directory / f"round-{number}")
        try:
            await cluster.start()
            leader = await cluster.leader()
            for count in range(SEQUENTIAL):
                await self._write(leader, number, f"{number}-alone-{count}")
            burst = [
                asyncio.ensure_future(
                    self._write(leader, number, f"{number}-burst-{count}", kill=True)
                )
                for count in range(BURST)
            ]
            await asyncio.gather(*burst)
            await leader.kill()
            await cluster.leader()
            await cluster.start()
            await asyncio.sleep(PEACE_SECONDS)
            await self._read(cluster, number)
        finally:
            await cluster.kill()

    async def votes(self, number: int) -> None:
        """One cluster: until a term has two leaders, or enough was tried. Raises TimeoutError."""
        cluster = RaftosCluster(self._python, self._directory / f"votes-{number}")
        try:
            for _ in range(ELECTIONS):
                await cluster.start()
                first = await cluster.leader()
                await first.kill()
                second = await cluster.leader()
                (voter,) = [node for node in cluster.nodes if node not in {first, second}]
                await asyncio.gather(second.kill(), voter.kill())
                await asyncio.gather(first.start(), voter.start())
                await cluster.leader()
                for term, elected in cluster.leaders_by_term().items():
                    if len(elected) > 1:
                        self.double_leaders.append(f"term {term} elected {' and '.join(elected)}")
                        return
        finally:
            await cluster.kill()

    async def _write(
        self, leader: RaftosNode, number: int, value: str, *, kill: bool = False
    ) -> None:
        """Write one record; `kill`: and kill the leader once it says that it is stored."""
        sent = self._recording.invoke(value, "send", number, value=value)
        try:
            async with asyncio.timeout(WRITE_SECONDS_MAX):
                answer = await leader.ask("set", value=value)
        except (NodeGone, TimeoutError) as error:
            self._recording.info(sent, type(error).__name__)
            return
        if "error" in answer:
            self._recording.info(sent, answer["error"])
            return
        if kill:
            leader.strike()
        self._recording.ok(sent)

    async def _read(self, cluster: RaftosCluster, number: int) -> None:
        asked = self._recording.invoke("reader", "drain", number)
        log = (await (await cluster.leader()).ask("log"))["log"]
        self._recording.ok(
            asked, records=tuple((index, value) for index, value in log), end=len(log) + 1
        )
