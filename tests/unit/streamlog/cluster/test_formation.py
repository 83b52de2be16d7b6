"""Which other controllers keep a node that belongs to a cluster from starting, and which do not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.ports import CallFailed, StatusCode
from replication.types import (
    METADATA_GROUP,
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Replica,
    ReplicaId,
    halves,
)
from streamlog.cluster.calls import PeerChannels
from streamlog.cluster.claims import Claims
from streamlog.cluster.executor import Executed, encode_executed
from streamlog.cluster.formation import Formation
from streamlog.cluster.forwarding import Forwarding
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.codec import founding_to_proto
from streamlog.cluster.metadata.records import CreateTopic
from streamlog.cluster.metadata.state import Founding
from streamlog.cluster.remembered_controllers import remembered_controllers
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NodeConfig
from tests.fakes.memory_group import MemoryGroup


def _founding(cluster_id: int, *node_ids: int) -> Founding:
    return Founding(
        cluster_id,
        Membership(tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(100 + n)) for n in node_ids)),
    )


OURS, THEIRS = _founding(0xA, 1), _founding(0xB, 1)


class _Identity:
    """Of a data directory that belongs to OURS."""

    cluster_id = OURS.cluster_id

    def __init__(self, node_id: int) -> None:
        self.node_id, self.directory_id = NodeId(node_id), DirectoryId(100 + node_id)


class _Channels(PeerChannels):
    """Nodes at n1:1, n2:1, …, each of a cluster; others do not answer."""

    def __init__(self, foundings: Mapping[int, Founding]) -> None:
        self._foundings = {f"n{node_id}:1": f for node_id, f in foundings.items()}
        self.called: list[str] = []

    async def call(self, address: str, method: str, request: bytes, timeout_ms: float) -> bytes:
        del timeout_ms
        self.called.append(address)
        founding = self._foundings.get(address)
        if founding is None:
            raise CallFailed(StatusCode.UNAVAILABLE, "nobody listens")
        if method == "DescribeNode":
            node_id = int(address[1])
            high, low = halves(100 + node_id)
            answer = pb.DescribeNodeResponse(
                node_id=node_id, directory_id_high=high, directory_id_low=low
            )
            answer.founding.CopyFrom(founding_to_proto(founding))
            return answer.SerializeToString()
        caller = pb.ExecuteRequest.FromString(request).cluster_id_low
        if caller != founding.cluster_id:
            raise StreamlogError(Reason.CLUSTER_MISMATCH, "the caller belongs to another cluster")
        return encode_executed(Executed(0, founding))  # type: ignore[arg-type]


def _config(node_id: int, controllers: Sequence[int], **changes: bool) -> NodeConfig:
    return NodeConfig(
        node_id=node_id,
        bind=f"n{node_id}:1",
        insecure=True,
        controllers=tuple((n, f"n{n}:1") for n in controllers),
        **changes,  # type: ignore[arg-type]
    )


async def _find(
    config: NodeConfig, remembered: Sequence[int], answers: Mapping[int, Founding]
) -> Founding:
    """Of a node whose directory belongs to OURS."""
    local = LocalStateFile(SimDisk())
    await local.save(founding=OURS, metadata_replica_id=ReplicaId(config.node_id))
    formation = Formation(
        config,
        _Identity(config.node_id),
        local,
        _Channels(answers),
        random.Random(1),
        Claims(),
        lambda: [NodeId(n) for n in remembered],
    )
    return await formation.find()


@pytest.mark.parametrize(
    ("node_id", "listed", "remembered", "answers"),
    [
        (2, [1], [1, 2, 3], {1: THEIRS}),
        (2, [1], [2, 3, 4], {1: THEIRS}),
        (4, [1], [1, 2, 3], {1: THEIRS}),
        (2, [1, 2, 3], [1, 2, 3], {1: THEIRS}),
        (2, [1, 2, 3], [1, 2, 3], {1: THEIRS, 3: OURS}),
    ],
    ids=["a-voter", "the-founder-was-replaced", "no-voter", "alone", "with-another"],
)
async def test_a_newcomer_keeps_no_member_from_starting(
    node_id: int, listed: list[int], remembered: list[int], answers: dict[int, Founding]
) -> None:
    """A founder lost its disk, and is a cluster of its own: it is one of the three that are
    remembered, though it may be all that is listed."""
    assert await _find(_config(node_id, listed), remembered, answers) == OURS


@pytest.mark.parametrize(
    ("node_id", "listed", "remembered", "answers"),
    [
        (2, [1], [1], {1: THEIRS}),
        (2, [1], [], {1: THEIRS}),
        (9, [1, 2, 3], [9], {1: THEIRS, 2: THEIRS}),
        (3, [1, 2, 3], [1, 2, 3], {1: THEIRS, 2: THEIRS}),
        (2, [4, 5, 6], [1, 2, 3], {4: THEIRS, 5: THEIRS}),
    ],
    ids=["its-only-one", "nothing-remembered", "the-wrong-list", "a-majority", "all-others"],
)
async def test_the_wrong_cluster_is_refused(
    node_id: int, listed: list[int], remembered: list[int], answers: dict[int, Founding]
) -> None:
    """More of those listed are of another cluster than a minority of the remembered ones could."""
    with pytest.raises(StreamlogError) as caught:
        await _find(_config(node_id, listed), remembered, answers)
    assert caught.value.reason is Reason.CLUSTER_MISMATCH
    assert f"{0xA:032x}" in caught.value.message
    assert f"{0xB:032x}" in caught.value.message


@pytest.mark.parametrize(
    ("bootstrap", "remembered", "warnings"),
    [(True, [1, 2, 3], 1), (True, [1], 0), (True, [], 0), (False, [1, 2, 3], 0)],
)
async def test_a_list_that_is_out_of_date_is_told(
    bootstrap: bool, remembered: list[int], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a start, where a blank disk would found a cluster by it."""
    await _find(_config(1, [1], bootstrap=bootstrap), remembered, {})
    told = [record for record in caplog.records if record.message == "controllers_outdated"]
    assert len(told) == warnings
    for record in told:
        assert (record.listed, record.in_force) == ([1], [1, 2, 3])  # type: ignore[attr-defined]


class _Host:
    """With a replica of the metadata that these nodes vote on; nobody is known to lead it."""

    def __init__(self, *voters: int) -> None:
        members = _founding(0xA, *voters).membership
        creation = GroupCreation(METADATA_GROUP, members, ReplicaId(2), "metadata")
        self.groups: dict[GroupId, MemoryGroup] = {}
        if voters:
            self.groups[METADATA_GROUP] = MemoryGroup(creation, NodeId(2))

    def leader_of(self, group_id: GroupId) -> None:
        del group_id


class _Follower:
    """An executor that does not lead."""

    leads = False


class _Clock:
    """Ten ms pass with each look."""

    now_ms = 0.0

    def monotonic_ms(self) -> float:
        self.now_ms += 10
        return self.now_ms


async def _create_topic(config: NodeConfig, host: _Host, channels: _Channels) -> Executed:
    view = ClusterView(config)
    view.joined(OURS.cluster_id)
    forwarding = Forwarding(
        config,
        view=view,
        host=host,  # type: ignore[arg-type]
        executor=_Follower(),  # type: ignore[arg-type]
        channels=channels,
        clock=_Clock(),  # type: ignore[arg-type]
        random=random.Random(1),
    )
    return await forwarding.execute(CreateTopic("a", 1, 1, {}, 7), 500)


async def test_a_command_passes_by_a_controller_of_another_cluster() -> None:
    """One of several that are remembered leads another cluster: the next one is asked."""
    channels = _Channels({1: THEIRS, 3: OURS})
    executed = await _create_topic(_config(2, [1, 2, 3]), _Host(1, 2, 3), channels)
    assert executed.founding == OURS
    assert channels.called[0] == "n1:1"
    with pytest.raises(StreamlogError) as caught:
        await _create_topic(_config(2, [1]), _Host(1, 2, 3), channels)
    assert caught.value.reason is Reason.METADATA_UNAVAILABLE
    assert "belongs to another cluster" in caught.value.message


@pytest.mark.parametrize("voters", [(), (1,)])
async def test_the_only_controller_of_another_cluster_is_believed(voters: tuple[int, ...]) -> None:
    """A node that remembers no other one is told so at once."""
    with pytest.raises(StreamlogError) as caught:
        await _create_topic(_config(2, [1]), _Host(*voters), _Channels({1: THEIRS}))
    assert caught.value.reason is Reason.CLUSTER_MISMATCH


def test_remembered_are_the_voters_of_both_configurations() -> None:
    """While the members change, those of before and those to come."""
    host = _Host(1, 2)
    members = _founding(0xA, 1, 2, 3).membership.voters
    host.groups[METADATA_GROUP].membership = Membership(members[1:], members[:2])
    assert remembered_controllers(host) == (1, 2, 3)  # type: ignore[arg-type]
    assert remembered_controllers(_Host()) == ()  # type: ignore[arg-type]
