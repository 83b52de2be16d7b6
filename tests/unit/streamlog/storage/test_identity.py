from __future__ import annotations

import random

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.types import NodeId
from streamlog.storage.identity import (
    PATH,
    IdentityRefused,
    adopt_cluster,
    format_directory,
    load_identity,
    mark_running,
    mark_stopped,
)
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion, read_sealed, write_sealed
from tests.fakes.store_harness import run


def test_identity_is_kept() -> None:
    """What was formatted is loaded again, also after a power cut."""

    async def work() -> None:
        disk = SimDisk()
        made = await format_directory(
            disk, random.Random(1), cluster_id=1 << 100 | 7, node_id=NodeId(3), wall_ms=5
        )
        assert await load_identity(disk.crash(random.Random(2))) == made
        assert made.directory_id > 0

    run(work())


def test_directory_that_holds_something_is_not_formatted() -> None:
    """A blank identity over old data would make an old node of a new one."""

    async def work() -> None:
        disk = SimDisk()
        disk.put("journal/0000000000000001.journal", b"data")
        with pytest.raises(IdentityRefused, match="not empty: it holds journal"):
            await format_directory(
                disk, random.Random(1), cluster_id=1, node_id=NodeId(3), wall_ms=5
            )
        with pytest.raises(IdentityRefused, match="node id 0"):
            await format_directory(
                SimDisk(), random.Random(1), cluster_id=1, node_id=NodeId(0), wall_ms=5
            )

    run(work())


def test_damaged_identity_is_refused() -> None:
    """Every flipped bit is seen; none makes the directory pass as unformatted."""

    async def work() -> None:
        disk = SimDisk()
        await format_directory(disk, random.Random(1), cluster_id=9, node_id=NodeId(3), wall_ms=5)
        for at in range(len(disk.content(PATH))):
            disk.flip_bits(PATH, at)
            with pytest.raises(IdentityRefused):
                await load_identity(disk)
            disk.flip_bits(PATH, at)
        assert await load_identity(disk) is not None

    run(work())


def test_cluster_is_adopted_once() -> None:
    """A directory formatted without a cluster takes the first one, and no other."""

    async def work() -> None:
        disk = SimDisk()
        made = await format_directory(
            disk, random.Random(1), cluster_id=0, node_id=NodeId(3), wall_ms=5
        )
        adopted = await adopt_cluster(disk, made, 77)
        assert await load_identity(disk) == adopted
        assert adopted.directory_id == made.directory_id
        assert await adopt_cluster(disk, adopted, 77) == adopted
        with pytest.raises(IdentityRefused, match="belongs to cluster"):
            await adopt_cluster(disk, adopted, 78)

    run(work())


def test_unclean_stop_is_noticed() -> None:
    """The mark of a running node stays when it does not stop cleanly."""

    async def work() -> None:
        disk = SimDisk()
        assert not await mark_running(disk)
        disk = disk.crash(random.Random(1))
        assert await mark_running(disk)
        await mark_stopped(disk)
        assert not await mark_running(disk)

    run(work())


@pytest.mark.parametrize("seed", range(50))
def test_sealed_file_is_old_or_new_after_a_crash(seed: int) -> None:
    """Whatever a power cut leaves of a replacement: the old content or the new one."""
    rng = random.Random(seed)

    async def work() -> None:
        disk = SimDisk()
        await disk.make_directory("d")
        await disk.sync_directory("")
        old, new = b"old" * 1000, b"newer" * 900
        await write_sealed(disk, "d/file", b"SLTEST\0\0", 1, old)
        step = 0
        image: SimDisk | None = None
        target = rng.randrange(12)

        def crash_at(_operation: object) -> OSError | None:
            nonlocal step, image
            if step == target:
                image = disk.crash_image(rng)
            step += 1
            return None

        disk.faults.hook = crash_at
        await write_sealed(disk, "d/file", b"SLTEST\0\0", 1, new)
        disk.faults.hook = None
        if image is None:
            image = disk.crash_image(rng)
            assert await read_sealed(image, "d/file", b"SLTEST\0\0", 1) == (1, new)
        assert await read_sealed(image, "d/file", b"SLTEST\0\0", 1) in {(1, old), (1, new)}

    run(work())


def test_sealed_file_of_a_newer_version_is_refused() -> None:
    """Version, magic and length are checked apart from the checksum."""

    async def work() -> None:
        disk = SimDisk()
        await disk.make_directory("d")
        await write_sealed(disk, "d/file", b"SLTEST\0\0", 2, b"content")
        with pytest.raises(UnknownVersion):
            await read_sealed(disk, "d/file", b"SLTEST\0\0", 1)
        with pytest.raises(DamagedFile, match="magic"):
            await read_sealed(disk, "d/file", b"SLOTHER\0", 2)
        assert await read_sealed(disk, "d/none", b"SLTEST\0\0", 2) is None

    run(work())
