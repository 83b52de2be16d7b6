"""Measures the two ways of an append on a real disk: through the journal, or straight to its segment.

    python -m benchmarks.journal_paths --directory /data/bench [--seconds 60] [--sizes 65536,...]

For each size of an append, the same load runs through a store whose direct path is off, then
through one where every append takes it. The load is closed (a few partitions, each with a bounded
number of appends in flight), of bytes that do not compress, long enough that checkpoints and
writeback count; old segments are removed as it goes. A second, open load with a fixed rate tells
the latency, which a closed loop would hide.

Printed: MB/s, latency of an append until it is durable, and bytes written per byte acknowledged.
Sources: docs/adr/0005-direct-path-for-large-appends.md has the figures that set the default.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from replication.types import (
    DirectoryId,
    EntryMeta,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
    WriteSequence,
)
from streamlog.host.clock import RealClock
from streamlog.host.disk import RealDisk
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.identity import NodeIdentity
from streamlog.storage.segments.segment_resources import SegmentSettings
from streamlog.storage.store import NodeStore, StoreCounters
from streamlog.storage.store_settings import StoreSettings

KIB = 1 << 10
MIB = 1 << 20
PARTITIONS = 6
IN_FLIGHT = 4
RETAINED_BYTES = 768 * MIB
"""Of each partition."""
DRAFTS = 8
WARM_UP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one load."""

    megabytes_per_second: float
    latencies_ms: Sequence[float]
    written_per_acknowledged: float

    def percentile_ms(self, share: float) -> float:
        """Latency below which this share of the appends was durable."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Load:
    """A LogListener that times appends to a few partitions."""

    def __init__(self, size_bytes: int) -> None:
        self.logs: list[GroupLog] = []
        self.acknowledged_bytes = 0
        self.latencies_ms: list[float] = []
        self.failure: Exception | None = None
        self._started: list[dict[int, tuple[float, int]]] = [{} for _ in range(PARTITIONS)]
        self._writes = [0] * PARTITIONS
        self._starts = [Offset(0)] * PARTITIONS
        self._room = [asyncio.Semaphore(IN_FLIGHT) for _ in range(PARTITIONS)]
        codec, rng = BatchEntryCodec(), random.Random(size_bytes)
        self._drafts = [
            [codec.records(creation_of(n), [rng.randbytes(size_bytes)], 0) for _ in range(DRAFTS)]
            for n in range(PARTITIONS)
        ]

    def writes_completed(self, completed: Sequence[tuple[GroupId, WriteSequence]]) -> None:
        """Take the time of everything that became durable."""
        now = time.perf_counter()
        for group_id, sequence in completed:
            number = int(group_id) - 1
            started = self._started[number]
            for write in [w for w in started if w <= sequence]:
                begun, size = started.pop(write)
                self.latencies_ms.append((now - begun) * 1000)
                self.acknowledged_bytes += size
                self._room[number].release()

    def storage_failed(self, error: Exception) -> None:
        """The figures are void."""
        self.failure = error

    def append(self, number: int) -> int:
        """Append one entry; returns its bytes."""
        log = self.logs[number]
        self._writes[number] += 1
        write = self._writes[number]
        draft = self._drafts[number][write % DRAFTS]
        base = log.end.end
        frame = draft.frame(base, Term(1))
        meta = EntryMeta(base, Offset(base + 1), Term(1), len(frame))
        self._started[number][write] = (time.perf_counter(), len(frame))
        log.append(WriteSequence(write), (frame,), (meta,))
        retained = RETAINED_BYTES // len(frame)
        if base - self._starts[number] > 2 * retained:
            self._starts[number] = Offset(base - retained)
            log.log_start_committed(self._starts[number])
        return len(frame)

    async def closed(self, number: int, until: float) -> None:
        """As fast as completions come."""
        while time.perf_counter() < until and self.failure is None:
            await self._room[number].acquire()
            self.append(number)
            await asyncio.sleep(0)

    async def open(self, appends_per_second: float, until: float) -> None:
        """At a fixed rate, whatever completes; one in a second's backlog is not taken."""
        number, due = 0, time.perf_counter()
        while time.perf_counter() < until and self.failure is None:
            while due <= time.perf_counter():
                if sum(map(len, self._started)) < appends_per_second:
                    self.append(number)
                number = (number + 1) % PARTITIONS
                due += 1 / appends_per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


def creation_of(number: int) -> GroupCreation:
    """One of the partitions."""
    voter = Replica(ReplicaId(1), NodeId(1), DirectoryId(1))
    return GroupCreation(
        GroupId(number + 1), Membership((voter,)), ReplicaId(1), "partition", 1, number
    )


async def run_load(
    directory: Path, size_bytes: int, *, direct: bool, seconds: float, rate: float | None
) -> Outcome:
    """One load on a fresh store."""
    shutil.rmtree(directory, ignore_errors=True)
    disk = RealDisk(directory)
    settings = StoreSettings()
    settings = replace(settings, direct_bytes=1 if direct else settings.journal.file_bytes)
    store = NodeStore(
        disk,
        RealClock(),
        NodeIdentity(1, NodeId(1), DirectoryId(1), 0),
        codec=BatchEntryCodec(),
        settings=settings,
        segment_settings_of=lambda _: SegmentSettings(segment_bytes=256 * MIB),
    )
    load = Load(size_bytes)
    await disk.make_directory("")
    await store.start(load)
    for number in range(PARTITIONS):
        log = await store.create(creation_of(number))
        assert isinstance(log, GroupLog)
        load.logs.append(log)
    begin = time.perf_counter()
    until = begin + seconds
    warm_until = begin + seconds * WARM_UP_SHARE
    if rate is None:
        work = [asyncio.ensure_future(load.closed(n, until)) for n in range(PARTITIONS)]
    else:
        work = [asyncio.ensure_future(load.open(rate, until))]
    await asyncio.sleep(max(0.0, warm_until - time.perf_counter()))
    load.latencies_ms.clear()
    acknowledged, counted_from = load.acknowledged_bytes, time.perf_counter()
    before = store.counters
    await asyncio.gather(*work)
    outcome = Outcome(
        (load.acknowledged_bytes - acknowledged) / (time.perf_counter() - counted_from) / 1e6,
        tuple(load.latencies_ms),
        _written(before, store.counters),
    )
    for log in load.logs:
        await log.settled()
    await store.stop()
    await disk.close()
    shutil.rmtree(directory, ignore_errors=True)
    if load.failure is not None:
        raise load.failure
    return outcome


def _written(before: StoreCounters, after: StoreCounters) -> float:
    written = (
        after.journal_bytes
        - before.journal_bytes
        + after.segment_bytes
        - before.segment_bytes
        + after.checkpoint_bytes
        - before.checkpoint_bytes
    )
    return written / max(1, after.appended_bytes - before.appended_bytes)


async def measure(directory: Path, sizes: Sequence[int], seconds: float, rate_mb_s: float) -> None:
    """Print a line for each size and way."""
    print(f"{PARTITIONS} partitions, {IN_FLIGHT} appends in flight each, {seconds:g} s a load")
    print("size KiB  way      load    MB/s   p50 ms   p99 ms  written/acknowledged")
    for size in sizes:
        rate = rate_mb_s * 1e6 / size
        for load, appends_per_second in (("closed", None), ("open", rate)):
            for direct in (False, True):
                outcome = await run_load(
                    directory, size, direct=direct, seconds=seconds, rate=appends_per_second
                )
                way = "direct" if direct else "journal"
                print(
                    f"{size / KIB:8g}  {way:<7}  {load:<6} {outcome.megabytes_per_second:6.0f}"
                    f" {outcome.percentile_ms(0.5):8.2f} {outcome.percentile_ms(0.99):8.2f}"
                    f"  {outcome.written_per_acknowledged:6.2f}",
                    flush=True,
                )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--directory", type=Path, required=True, help="made, and removed again")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument(
        "--sizes", default="16384,65536,131072,262144,524288,1048576", help="bytes of an append"
    )
    parser.add_argument("--rate", type=float, default=60.0, help="MB/s of the open load")
    arguments = parser.parse_args()
    sys.setswitchinterval(0.0001)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    asyncio.run(measure(arguments.directory, sizes, arguments.seconds, arguments.rate))


if __name__ == "__main__":
    main()
