"""Playing a record back gives the disk that was recorded, and what of it is pending."""

from __future__ import annotations

import asyncio
import random

import pytest

from jepsen_like.crash_states.losses import survivors
from jepsen_like.crash_states.pending import Playback, copied
from jepsen_like.crash_states.record import Record
from jepsen_like.crash_states.recording_disk import LATENCY, InstantDisk, RecordingDisk
from jepsen_like.crash_states.virtual_time import run
from jepsen_like.crash_states.workloads import WORKLOADS, Workload, record_workload
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.volume import Volume


def played(record: Record) -> Playback:
    """A record played to its end."""
    playback = Playback(Volume())
    for event in record.events:
        playback.play(event)
    return playback


def left(playback: Playback, rule: str) -> dict[str, bytes]:
    """Files after a crash."""
    disk = SimDisk(volume=playback.volume(survivors(playback.atoms(), rule)))
    return {path: disk.content(path) for path in disk.files()}


async def some_writes(disk: SimDisk) -> None:
    """A file in a synced directory, one that is not, a rename over a file."""
    await disk.make_directory("d")
    await disk.sync_directory("")
    first = await disk.open("d/first", create=True)
    await first.write(0, [b"x" * 3000])
    await first.sync()
    await disk.sync_directory("d")
    await first.write(100, [b"y" * 100])
    second = await disk.open("d/second", create=True)
    await second.write_durable(0, [b"z" * 700])
    await disk.rename("d/second", "d/first")


def recorded() -> Record:
    """Of `some_writes`."""
    record = Record()
    run(some_writes(RecordingDisk(record, random.Random(1), LATENCY, Volume())))
    return record


def test_what_was_synced_is_kept_and_what_was_not_may_be_lost() -> None:
    """File contents and names apart: a durable content without its name is gone."""
    playback = played(recorded())
    assert left(playback, "none") == {"d/first": b"x" * 3000}
    assert left(playback, "all") == {"d/first": b"z" * 700}
    kept = left(playback, "data")
    assert kept == {"d/first": b"x" * 100 + b"y" * 100 + b"x" * 2800}


def test_a_sync_counts_when_it_returned() -> None:
    """Before its end its bytes may still be lost; a durable write likewise."""
    record = recorded()
    for kind in ("sync", "write_durable"):
        end = next(n for n, e in enumerate(record.events) if e.ended and e.operation.kind == kind)
        before, after = Playback(Volume()), Playback(Volume())
        for event in record.events[:end]:
            before.play(event)
        for event in record.events[: end + 1]:
            after.play(event)
        operation = record.events[end].operation
        pending = {atom.operation for atom in before.atoms()}
        assert len(pending) > len({atom.operation for atom in after.atoms()})
        if kind == "write_durable":
            assert operation.number in pending


def test_a_failed_operation_is_not_recorded() -> None:
    """It changed nothing."""
    record = Record()

    async def work() -> None:
        disk = RecordingDisk(record, random.Random(1), LATENCY, Volume())
        await disk.open("a", create=True)
        for failing in (disk.open("a", create=True), disk.remove("b"), disk.rename("c", "d")):
            with pytest.raises(OSError, match="'"):
                await failing

    run(work())
    assert [str(event.operation) for event in record.events if event.ended] == ["#0 create a"]


def test_equal_disks_have_equal_digests() -> None:
    """Whatever rule led to them; different ones differ."""
    playback = played(recorded())
    atoms = playback.atoms()
    everything = playback.digest(survivors(atoms, "all"))
    last = max(atom.operation for atom in atoms)
    assert playback.digest(survivors(atoms, f"through:{last}")) == everything
    assert playback.digest(survivors(atoms, "none")) != everything


@pytest.mark.parametrize("workload", WORKLOADS, ids=[w.name for w in WORKLOADS])
def test_nothing_lost_is_what_the_store_saw(workload: Workload) -> None:
    """Played to its end with nothing lost, each record gives the recorded disk's own files: the
    store recovers from it as from a killed process."""
    record = record_workload(workload, 3)
    assert any(not event.ended for event in record.events)
    begun = {event.operation.number for event in record.events}
    assert begun == {*range(len(record.operations))}
    files = left(played(record), "all")
    assert "node.identity" in files
    assert any(name.endswith(".journal") for name in files)


def test_a_copy_is_independent() -> None:
    """Writing to the copied disk leaves the other."""
    disk = SimDisk()
    disk.put("d/a", b"1")
    copy = InstantDisk(volume=copied(disk.volume))

    async def change() -> None:
        file = await copy.open("d/a")
        await file.write(0, [b"2"])

    asyncio.run(change())
    assert disk.content("d/a") == b"1"
    assert copy.content("d/a") == b"2"
