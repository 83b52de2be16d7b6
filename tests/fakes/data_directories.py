"""Whole data directories of a node, made by the real store on a simulated disk, as files."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from jepsen_like.sim.ports.disk import SimDisk
from replication.types import (
    METADATA_GROUP,
    GroupCreation,
    GroupId,
    HardState,
    Membership,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.state import Founding
from streamlog.storage import identity
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.identity import NodeIdentity
from tests.fakes.store_harness import (
    IDENTITY,
    Recorder,
    append_values,
    creation_of,
    new_store,
)

LONE = GroupId(3)
"""A partition with one replica; the others have three."""


async def name_node(disk: SimDisk, node: NodeIdentity = IDENTITY) -> None:
    """Write who the directory is, and that it belongs to a cluster."""
    await identity.write_identity(disk, node)
    state = LocalStateFile(disk)
    await state.load()
    if state.state.founding is None:
        founding = Founding(node.cluster_id, creation_of(0).membership)
        await state.save(founding=founding, metadata_replica_id=ReplicaId(1))


async def lived_node(*, stop: bool, batches: int = 90, snapshot_at: int = 60) -> SimDisk:
    """The metadata with a snapshot, two partitions of three replicas, one of one replica; each has
    several segments. `stop`: in an orderly way; else the process was killed."""
    disk = SimDisk(random.Random(0))
    await name_node(disk)
    store = new_store(disk)
    await store.start(Recorder())
    creations = [
        GroupCreation(
            METADATA_GROUP,
            creation_of(0).membership,
            ReplicaId(1),
            "metadata",
            freed_by_snapshots=True,
        ),
        creation_of(1),
        creation_of(2),
        _lone(),
    ]
    logs: list[GroupLog] = []
    for creation in creations:
        log = await store.create(creation)
        assert isinstance(log, GroupLog)
        log.save_hard_state(WriteSequence(1), HardState(Term(1), ReplicaId(1)))
        logs.append(log)
    state = LocalStateFile(disk)
    await state.load()
    await state.save(metadata_group_created=True, created_through=Offset(9))
    rng = random.Random(1)
    for number in range(batches):
        for log in logs:
            append_values(log, number + 2, 1 + number // 30, [[rng.randbytes(600)]])
        if number % 10 == 9:
            await logs[1].settled()
            await store.checkpoint_now()
        if number == snapshot_at:
            await logs[0].save_snapshot(logs[0].end, b"the state")
    if stop:
        await store.stop()
        return disk
    for log in logs:
        await log.settled()
        log.save_hard_state(WriteSequence(batches + 2), HardState(Term(9), None))
        await log.settled()
    return disk.process_killed()


def _lone() -> GroupCreation:
    creation = creation_of(int(LONE))
    return replace(creation, membership=Membership(creation.membership.voters[:1]))


def export(disk: SimDisk, directory: Path) -> Path:
    """Write the disk's files into a directory."""
    for path in disk.files():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(disk.content(path))
    return directory
