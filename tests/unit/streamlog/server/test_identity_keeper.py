"""The running node keeps the file that says who it is, which only its next start would read."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from jepsen_like.sim.ports.disk import DiskOperation, SimDisk
from jepsen_like.sim.ports.scheduler import silence
from replication.errors import StorageFailed
from replication.types import DirectoryId, NodeId
from streamlog.server.identity_keeper import IdentityKeeper
from streamlog.storage.identity import (
    PATH,
    IdentityRefused,
    adopt_cluster,
    format_directory,
    load_identity,
    write_identity,
)
from tests.fakes.node_world import NodeWorld
from tests.fakes.store_harness import run

SCRUB_MS = 1_000


@pytest.fixture
def world() -> Iterator[NodeWorld]:
    """One node, which scrubs often."""
    with silence():
        made = NodeWorld(nodes=1, scrub_interval_ms=SCRUB_MS)
        yield made
        made.dispose()


def rot(disk: SimDisk) -> None:
    disk.flip_bits(PATH, len(disk.content(PATH)) // 2)


def cut(disk: SimDisk) -> None:
    disk.volume.file(PATH).cut(3)


def lose(disk: SimDisk) -> None:
    directory, name = disk.volume.parent(PATH)
    directory.lose(name)


@pytest.mark.parametrize("damage", [rot, cut, lose])
def test_a_running_node_writes_its_identity_anew(
    world: NodeWorld, caplog: pytest.LogCaptureFixture, damage: Callable[[SimDisk], None]
) -> None:
    """It starts again on it after a power cut; a warning tells of the disk."""
    node = world.node(1)
    before = node.disk.content(PATH)
    damage(node.disk)
    with caplog.at_level("WARNING", "streamlog.server.identity_keeper"):
        world.run(2 * SCRUB_MS / 1_000)
    assert PATH in node.disk.files()
    assert node.disk.content(PATH) == before
    assert [record.message for record in caplog.records] == ["identity_mended"]
    world.cluster.kill(node, power_cut=True)
    world.cluster.start(node)
    world.wait(lambda: node.is_serving)


class Directory:
    """Formatted, joined, and looked after."""

    def __init__(self, disk: SimDisk) -> None:
        self.disk = disk
        self.failures: list[Exception] = []
        self.fails: dict[str, int] = {}
        """Error numbers by the kind of operation."""
        disk.faults.hook = self._hook

    def _hook(self, operation: DiskOperation) -> OSError | None:
        number = self.fails.get(operation.kind)
        return None if number is None else OSError(number, os.strerror(number), operation.path)

    async def made(self) -> Directory:
        self.blank = await format_directory(
            self.disk, random.Random(1), cluster_id=0, node_id=NodeId(3), wall_ms=5
        )
        self.identity = await adopt_cluster(self.disk, self.blank, 77)
        self.keeper = IdentityKeeper(self.disk, self.identity, self.failures.append)
        return self


def test_an_older_identity_is_not_kept() -> None:
    """It is sound, and tells of no cluster: with it the next start would take the node for blank."""

    async def work() -> None:
        directory = await Directory(SimDisk()).made()
        await write_identity(directory.disk, directory.blank)
        await directory.keeper.round()
        assert await load_identity(directory.disk) == directory.identity
        assert not directory.failures

    run(work())


def test_the_identity_of_another_directory_is_left_alone() -> None:
    """Another disk was mounted at the path: it belongs to somebody else, and the node ends."""

    async def work() -> None:
        directory = await Directory(SimDisk()).made()
        other = replace(directory.identity, directory_id=DirectoryId(99))
        await write_identity(directory.disk, other)
        await directory.keeper.round()
        assert await load_identity(directory.disk) == other
        (failure,) = directory.failures
        assert isinstance(failure, IdentityRefused)
        assert "another directory was put in its place" in str(failure)

    run(work())


def test_an_error_of_the_medium_is_damage() -> None:
    """The file is written anew, elsewhere on the disk; other errors of a read say nothing of it."""

    async def work() -> None:
        directory = await Directory(SimDisk()).made()
        before = directory.disk.volume.file(PATH)
        directory.fails = {"open": errno.EMFILE}
        await directory.keeper.round()
        assert directory.disk.volume.file(PATH) is before
        directory.fails = {"read": errno.EIO}
        await directory.keeper.round()
        assert directory.disk.volume.file(PATH) is not before
        directory.fails = {}
        assert await load_identity(directory.disk) == directory.identity
        assert not directory.failures

    run(work())


@pytest.mark.parametrize("kind", ["write", "sync", "sync_directory"])
def test_a_write_that_fails_ends_the_node(kind: str) -> None:
    """What it left is not known."""

    async def work() -> None:
        directory = await Directory(SimDisk()).made()
        rot(directory.disk)
        directory.fails = {kind: errno.EIO}
        await directory.keeper.round()
        assert [type(failure) for failure in directory.failures] == [StorageFailed]

    run(work())


def test_room_for_the_file_is_waited_for() -> None:
    """A full disk has failed nothing."""

    async def work() -> None:
        directory = await Directory(SimDisk()).made()
        rot(directory.disk)
        directory.fails = {"write": errno.ENOSPC}
        await directory.keeper.round()
        directory.fails = {}
        await directory.keeper.round()
        assert await load_identity(directory.disk) == directory.identity
        assert not directory.failures

    run(work())
