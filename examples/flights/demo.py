"""Three nodes, a year of flights, one killed leader: proves that nothing is lost.

Usage: python -m examples.flights.demo [--rows N] [--keep]

Starts three node processes on loopback with data on disk, writes every flight that left New York
City in 2013 (336,776 rows) to a topic of six partitions and three replicas, kills a partition's
leader half-way and starts it again later; then reads everything back, replays from a point in
time, and compares the replicas' files. Exit status 0 when all is proved, 1 with the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.flights.dataset import Flight, load
from examples.flights.verify import (
    ProofFailed,
    Seen,
    check_everything,
    check_replay,
    check_replicas,
)
from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, ClientError, Consumer, NotReady, Producer, TopicPartition

TOPIC = "flights"
PARTITIONS = 6
REPLICAS = 3
CACHE = Path("var") / "cache"
REPLAY_FROM = datetime(2013, 7, 1, tzinfo=UTC)
CHUNK = 4_000
SILENCE_MS = 20_000
FAILOVER_WITHIN_S = 30.0


class Demo:
    """One run; every step leaves its figures in `figures`."""

    def __init__(
        self, flights: Sequence[Flight], cluster: LocalCluster, progress: Progress
    ) -> None:
        self.flights = flights
        self.cluster = cluster
        self.progress = progress
        self.figures: dict[str, str] = {}
        self._writing_s = 0.0
        self._group_ids: list[int] = []

    async def run(self) -> None:
        """All steps in order. Raises ProofFailed."""
        async with Admin(self.cluster.bootstrap) as admin:
            created = await admin.create_topic(
                TOPIC,
                partitions=PARTITIONS,
                replication_factor=REPLICAS,
                config={"retention.ms": "-1", "retention.bytes": "-1"},
            )
            self._group_ids = [partition.group_id for partition in created.partitions]
        await self._ingest()
        everything = await self._read("read back", since_ms=None)
        check_everything(self.flights, everything)
        moment_ms = self._replay_moment()
        replay = await self._read("replay", since_ms=moment_ms)
        replayed = check_replay(self.flights, everything, replay, moment_ms)
        moment = datetime.fromtimestamp(moment_ms / 1_000, UTC)
        self.figures["replayed by time"] = f"{replayed:,} records since {moment:%Y-%m-%d %H:%M} UTC"
        await self._settle()

    def compare_replicas(self) -> None:
        """With all nodes stopped: the same batches on each."""
        batches, size = check_replicas(self.cluster.data_directories, self._group_ids)
        raw = sum(len(f.value) + len(f.key or b"") for f in self.flights)
        self.figures["on disk"] = (
            f"{size / 1e6:.1f} MB a node, {size / self._writing_s / 1e6:.1f} MB/s, "
            f"in {batches:,} batches"
        )
        self.figures["compression"] = (
            f"{raw / size:.1f} : 1 ({raw / 1e6:.0f} MB of keys and values)"
        )

    # Writing.

    async def _ingest(self) -> None:
        total = len(self.flights)
        task = self.progress.add_task("write", total=total)
        failed: list[ClientError] = []
        acknowledged = 0

        def on_delivery(_: object, error: ClientError | None) -> None:
            nonlocal acknowledged
            acknowledged += 1
            if error is not None:
                failed.append(error)

        begin = time.perf_counter()
        failover: asyncio.Task[tuple[int, float]] | None = None
        async with Producer(self.cluster.bootstrap) as producer:
            for first in range(0, total, CHUNK):
                for flight in self.flights[first : first + CHUNK]:
                    await _send(producer, flight, on_delivery)
                self.progress.update(task, completed=acknowledged)
                if failover is None and first >= total // 2:
                    failover = asyncio.ensure_future(self._kill_a_leader())
                await asyncio.sleep(0)
            await producer.flush()
            sent_bytes = producer.sent_bytes
        self._writing_s = seconds = time.perf_counter() - begin
        self.progress.update(task, completed=acknowledged)
        if failed:
            raise ProofFailed(f"{len(failed)} records were not stored: {failed[0]}")
        if acknowledged != total:
            raise ProofFailed(f"{acknowledged} of {total} records were acknowledged")
        assert failover is not None
        killed, leaderless = await failover
        self.figures["written"] = f"{total:,} records in {seconds:.1f} s"
        self.figures["rate"] = f"{total / seconds:,.0f} records/s"
        self.figures["on the wire"] = (
            f"{sent_bytes / 1e6:.1f} MB, {sent_bytes / seconds / 1e6:.1f} MB/s"
        )
        self.figures["killed"] = f"node {killed} (SIGKILL), started again later"
        self.figures["without a leader"] = f"{leaderless:.2f} s"

    async def _kill_a_leader(self) -> tuple[int, float]:
        """SIGKILL the leader of partition 0; seconds until each partition has another one."""
        async with Admin(self.cluster.bootstrap) as admin:
            before = await admin.describe_topic(TOPIC)
            victim = before.partitions[0].leader_node_id
            begin = time.perf_counter()
            self.cluster.kill(victim)
            task = self.progress.add_task(f"node {victim} is killed; electing", total=None)
            while time.perf_counter() - begin < FAILOVER_WITHIN_S:
                now = await admin.describe_topic(TOPIC)
                if all(p.leader_node_id not in {0, victim} for p in now.partitions):
                    leaderless = time.perf_counter() - begin
                    self.progress.update(task, total=1, completed=1)
                    await asyncio.sleep(2.0)
                    await self.cluster.restart(victim)
                    return victim, leaderless
                await asyncio.sleep(0.02)
        raise ProofFailed(f"partitions had no leader {FAILOVER_WITHIN_S:.0f} s after the kill")

    # Reading.

    async def _read(self, title: str, since_ms: int | None) -> dict[int, list[Seen]]:
        """All records up to the present ends, from offset 0 or from a time on."""
        seen: dict[int, list[Seen]] = {number: [] for number in range(PARTITIONS)}
        begin = time.perf_counter()
        async with Consumer(self.cluster.bootstrap) as consumer:
            assignment = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
            consumer.assign(assignment, start="earliest")
            ends = await consumer.end_offsets(assignment)
            if since_ms is not None:
                await consumer.seek_to_time(dict.fromkeys(assignment, since_ms))
            starts = {pair: await consumer.position(pair) for pair in assignment}
            task = self.progress.add_task(
                f"{title} (offsets)",
                total=float(sum(ends[pair] - starts[pair] for pair in assignment)),
            )
            waiting = {pair for pair in assignment if starts[pair] < ends[pair]}
            while waiting:
                polled = await consumer.getmany(max_records=20_000, timeout_ms=SILENCE_MS)
                if not polled:
                    raise ProofFailed(f"{title}: no records came for {SILENCE_MS} ms")
                for pair, records in polled.items():
                    rows = seen[pair.partition]
                    for record in records:
                        rows.append(
                            Seen(
                                record.offset, record.timestamp_ms, record.key, record.value or b""
                            )
                        )
                at = {pair: await consumer.position(pair) for pair in assignment}
                waiting = {pair for pair in waiting if at[pair] < ends[pair]}
                self.progress.update(
                    task, completed=sum(at[pair] - starts[pair] for pair in assignment)
                )
        seconds = time.perf_counter() - begin
        count = sum(map(len, seen.values()))
        self.figures[title] = f"{count:,} records, {count / seconds:,.0f} records/s"
        return seen

    def _replay_moment(self) -> int:
        """The first of July, or the middle of the time that the data span."""
        times = [flight.timestamp_ms for flight in self.flights]
        wanted = int(REPLAY_FROM.timestamp() * 1_000)
        return wanted if min(times) < wanted < max(times) else (min(times) + max(times)) // 2

    async def _settle(self) -> None:
        """Wait until the node that was away has what it missed (it says so when it is ready)."""
        await self.cluster.await_ready()
        await asyncio.sleep(1.0)


async def _send(
    producer: Producer, flight: Flight, on_delivery: Callable[[object, ClientError | None], None]
) -> None:
    """Put a flight into its batch, waiting while the producer's buffer is full."""
    while True:
        try:
            producer.send_nowait(
                TOPIC,
                flight.value,
                key=flight.key,
                timestamp_ms=flight.timestamp_ms,
                on_delivery=on_delivery,
            )
            return
        except NotReady:
            await producer.room()


async def demonstrate(rows: int | None, directory: Path, console: Console) -> dict[str, str]:
    """Run and prove; the figures for the table."""
    columns = (
        TextColumn("{task.description:>28}"),
        BarColumn(bar_width=40),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        loading = progress.add_task("load flights", total=1)
        flights, source = load(CACHE)
        flights = flights[:rows]
        progress.update(loading, completed=1)
        starting = progress.add_task("start three nodes", total=1)
        cluster = LocalCluster(directory, nodes=REPLICAS)
        try:
            await cluster.start()
            progress.update(starting, completed=1)
            demo = Demo(flights, cluster, progress)
            demo.figures["data"] = f"{len(flights):,} flights from {source}"
            await demo.run()
            await cluster.stop()
        finally:
            cluster.kill_all()
        comparing = progress.add_task("compare replicas", total=1)
        demo.compare_replicas()
        progress.update(comparing, completed=1)
    return demo.figures


def main() -> int:
    """Parse, run, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, help="only the first N flights")
    parser.add_argument("--keep", action="store_true", help="keep the nodes' data directories")
    arguments = parser.parse_args()
    console = Console()
    directory = Path(tempfile.mkdtemp(prefix="streamlog-flights-"))
    try:
        figures = asyncio.run(demonstrate(arguments.rows, directory, console))
    except Exception as error:
        console.print(f"[bold red]Not proved:[/] {type(error).__name__}: {error}")
        console.print(f"The nodes' data and logs are kept in {directory}")
        return 1
    table = Table(show_header=False, title="Nothing missing, doubled, altered or out of order")
    for name, value in figures.items():
        table.add_row(name, value)
    console.print(table)
    if arguments.keep:
        console.print(f"Data directories: {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
