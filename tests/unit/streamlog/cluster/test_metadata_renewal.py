"""Which replica of the metadata is asked for, and what is removed, when a journal was damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.types import METADATA_GROUP, DirectoryId, GroupId, Membership, NodeId, ReplicaId
from replication.types import Replica as Place
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.records import RegisterNode
from streamlog.cluster.metadata.state import Founding
from streamlog.cluster.metadata_renewal import MetadataRenewal

FOUNDING = Founding(5, Membership((Place(ReplicaId(4), NodeId(1), DirectoryId(11)),)))


@dataclass
class _Metadata:
    """Gives out ids, and remembers which replicas it was told are lost."""

    next_id: int = 6
    told: list[int] = field(default_factory=list)

    async def execute(self, command: RegisterNode, timeout_ms: float) -> SimpleNamespace:
        self.told.append(command.lost_metadata_replica)
        self.next_id += 1
        return SimpleNamespace(
            node=SimpleNamespace(metadata_replica_id=ReplicaId(self.next_id - 1))
        )


@dataclass
class _Host:
    removed: list[GroupId] = field(default_factory=list)

    async def remove(self, group_id: GroupId) -> None:
        self.removed.append(group_id)


@pytest.mark.parametrize(
    ("noted", "made", "told", "then"),
    [
        (4, True, [4], 6),
        (6, False, [], 6),
        (6, True, [6], 6 + 1),
    ],
    ids=["lost", "crashed before the next was made", "the next one was made, and is gone"],
)
async def test_no_replica_is_made_twice(noted: int, made: bool, told: list[int], then: int) -> None:
    """Replica 4 is what the damaged journal remembers. One that was made in its place may have
    voted, so it is not made again, blank, under its id."""
    local = LocalStateFile(SimDisk())
    await local.save(
        founding=FOUNDING, metadata_replica_id=ReplicaId(noted), metadata_group_created=made
    )
    metadata, host = _Metadata(next_id=then), _Host()
    renewal = MetadataRenewal(
        local,
        host,  # type: ignore[arg-type]
        metadata,  # type: ignore[arg-type]
        lambda _: RegisterNode(5, NodeId(1), "a:1", "", DirectoryId(11), 1, 0),
    )
    group = SimpleNamespace(
        creation=SimpleNamespace(local_replica_id=ReplicaId(4)), log=SimpleNamespace(lost=True)
    )
    assert await renewal.renewed(group, FOUNDING) is None
    assert metadata.told == told
    assert host.removed == [METADATA_GROUP]
    assert local.state.metadata_replica_id == then
    assert not local.state.metadata_group_created
