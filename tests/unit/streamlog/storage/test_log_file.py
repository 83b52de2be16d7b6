"""Sealed files of a log: whose they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jepsen_like.sim.ports.disk import NO_LATENCY, SimDisk
from replication.types import GroupId
from streamlog.storage.log_file import LOG_FILE_VERSION, read_log_file, write_log_file
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion, write_sealed
from streamlog.storage.segments.segment_file import SegmentIdentity
from tests.fakes.store_harness import run

PATH = "groups/file"
MAGIC = b"SLTEST\0\0"
IDENTITY = SegmentIdentity((1 << 127) + 5, topic_id=7, partition=3, group_id=GroupId(9))


async def new_disk() -> SimDisk:
    disk = SimDisk(latency=NO_LATENCY)
    await disk.make_directory("groups")
    return disk


def test_what_was_written_is_read() -> None:
    """By whoever names the same log, or none; where there is no file there is nothing."""

    async def work() -> None:
        disk = await new_disk()
        assert await read_log_file(disk, PATH, MAGIC, IDENTITY) is None
        await write_log_file(disk, PATH, MAGIC, IDENTITY, b"content")
        for identity in (IDENTITY, None):
            assert await read_log_file(disk, PATH, MAGIC, identity) == b"content"

    run(work())


@pytest.mark.parametrize(
    "other",
    [
        replace(IDENTITY, cluster_id=5),
        replace(IDENTITY, topic_id=8),
        replace(IDENTITY, partition=4),
        replace(IDENTITY, group_id=GroupId(1)),
    ],
)
def test_a_file_of_another_log_is_damage(other: SegmentIdentity) -> None:
    """However sound it is; the error names both."""

    async def work() -> None:
        disk = await new_disk()
        await write_log_file(disk, PATH, MAGIC, other, b"content")
        with pytest.raises(DamagedFile, match=r"belongs to .*, not to .*") as caught:
            await read_log_file(disk, PATH, MAGIC, IDENTITY)
        assert caught.value.path == PATH

    run(work())


def test_versions() -> None:
    """A file of version 1 says nothing of its log; a newer one than is known is refused, and what
    is too short for an identity is damage."""

    async def work() -> None:
        disk = await new_disk()
        await write_sealed(disk, PATH, MAGIC, 1, b"content")
        assert await read_log_file(disk, PATH, MAGIC, IDENTITY) == b"content"
        await write_sealed(disk, PATH, MAGIC, LOG_FILE_VERSION + 1, b"content")
        with pytest.raises(UnknownVersion):
            await read_log_file(disk, PATH, MAGIC, IDENTITY)
        await write_sealed(disk, PATH, MAGIC, LOG_FILE_VERSION, b"content")
        with pytest.raises(DamagedFile, match="7 bytes of content"):
            await read_log_file(disk, PATH, MAGIC, IDENTITY)

    run(work())
