"""Nodes that came later, and vote on the metadata, find each other after a restart of all: what a
node's own log says of addresses is believed until the metadata says it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from jepsen_like.sim.ports.scheduler import silence
from replication.errors import LogCorrupt
from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata.record_codec import encode_record
from streamlog.cluster.metadata.records import NodeRegistered, NodeRemoved
from streamlog.cluster.metadata.state import Founding, MetadataState, Node, initial_state
from streamlog.cluster.remembered_addresses import RememberedAddress, addresses_in_log
from streamlog.cluster.view import ClusterView
from streamlog.model.settings.node import NodeConfig
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.memory_log import MemoryCodec, MemoryLog
from tests.fakes.node_world import NodeWorld
from tests.fakes.store_harness import creation_of, run

CAME_LATER = (4, 5)
ONE, TWO, THREE, FOUR, FIVE = map(NodeId, (1, 2, 3, 4, 5))
FOUNDING = Founding(
    77, Membership(tuple(Replica(ReplicaId(n), n, DirectoryId(100 + n)) for n in (ONE, TWO, THREE)))
)


@pytest.fixture(params=[10, 10_000], ids=["snapshot", "log"])
def world(request: pytest.FixtureRequest) -> Iterator[NodeWorld]:
    """Five nodes; the first three are configured as controllers. Their metadata is in a snapshot
    mostly, or all in the log."""
    with silence():
        made = NodeWorld(nodes=5, snapshot_records=request.param)
        yield made
        made.dispose()


def vote(world: NodeWorld, *numbers: int) -> None:
    """Let these, and nobody else, vote on the metadata."""
    life = world.node(1).life
    assert life is not None
    operations = world.parts(1).cluster.operations
    wanted = [NodeId(number) for number in numbers]
    world.scheduler.complete(life.loop.create_task(operations.set_controllers(wanted)), 60.0)

    def has_come() -> bool:
        group = world.parts(4).groups.groups[0]  # type: ignore[index]
        voters = {voter.node_id for voter in group.membership.voters}
        return voters == set(numbers) and not group.membership.old_voters

    world.wait(has_come)


def test_voters_that_are_not_configured_find_each_other(world: NodeWorld) -> None:
    """They are most of the voters; the only configured one stays away. Where they are stands in
    the metadata alone, of which nothing is known to be committed before one of them leads."""
    vote(world, 1, *CAME_LATER)
    for node in world.cluster.nodes.values():
        world.cluster.kill(node, power_cut=True)
    for number in CAME_LATER:
        world.cluster.start(world.node(number))
    world.wait(lambda: all(world.node(number).is_serving for number in CAME_LATER), 10.0)
    for number in CAME_LATER:
        view = world.parts(number).cluster.view
        assert view.address_of(NodeId(9 - number)) == world.node(9 - number).address


def new_view() -> ClusterView:
    """Of node 1, which knows its configuration and nothing else."""
    configured = ((1, "configured-1:1"), (2, "configured-2:1"), (3, "configured-3:1"))
    return ClusterView(NodeConfig(node_id=1, bind="n1:1", insecure=True, controllers=configured))


def remembered(address: str, known_at: int) -> RememberedAddress:
    return RememberedAddress(address, Offset(known_at))


def registered(*node_ids: NodeId) -> MetadataState:
    """The metadata when these nodes have registered."""
    nodes = {
        n: Node(n, f"registered-{n}:1", "", DirectoryId(100 + n), 1, 5, ReplicaId(n), n <= THREE)
        for n in node_ids
    }
    return replace(initial_state(FOUNDING), nodes=nodes)


def test_a_remembered_address_goes_first_until_the_metadata_is_as_new() -> None:
    """Before the configured one, and before one that is registered in older metadata; each one
    for itself. Then what is registered counts."""
    view = new_view()
    view.remember({TWO: remembered("remembered-2:1", 20), FOUR: remembered("remembered-4:1", 10)})

    def addresses() -> list[str | None]:
        return [view.address_of(n) for n in (TWO, THREE, FOUR)]

    assert addresses() == ["remembered-2:1", "configured-3:1", "remembered-4:1"]
    view.update(registered(ONE, TWO, THREE, FOUR), Offset(9))
    assert addresses() == ["remembered-2:1", "registered-3:1", "remembered-4:1"]
    view.update(registered(ONE, TWO, THREE, FOUR), Offset(10))
    assert addresses() == ["remembered-2:1", "registered-3:1", "registered-4:1"]
    view.update(registered(ONE, TWO, THREE, FOUR), Offset(19))
    assert addresses() == ["remembered-2:1", "registered-3:1", "registered-4:1"]
    view.update(registered(ONE, TWO, THREE, FOUR), Offset(25))
    assert addresses() == ["registered-2:1", "registered-3:1", "registered-4:1"]


def test_remembered_nodes_are_among_the_others_until_the_metadata_is_as_new() -> None:
    """A registration that was cut away with the log's tail is forgotten when the metadata has come
    to its place, also by a change that is not of nodes; one that was committed stays."""
    view = new_view()
    view.remember({FOUR: remembered("remembered-4:1", 10), FIVE: remembered("remembered-5:1", 20)})
    assert view.other_nodes() == view.addresses.nodes() == (TWO, THREE, FOUR, FIVE)
    state = registered(ONE, TWO, THREE)
    view.update(state, Offset(9))
    assert view.other_nodes() == (TWO, THREE, FOUR, FIVE)
    view.update(replace(state, next_producer_id=1), Offset(10))
    assert view.other_nodes() == (TWO, THREE, FIVE)
    assert view.address_of(FOUR) is None
    view.update(registered(ONE, TWO, THREE, FIVE), Offset(20))
    assert view.other_nodes() == (TWO, THREE, FIVE)
    assert view.address_of(FIVE) == "registered-5:1"


def test_neither_this_node_nor_a_removed_one_is_among_the_others() -> None:
    """Remembered or not."""
    view = new_view()
    state = replace(registered(ONE, TWO, THREE), removed_nodes=frozenset({FOUR}))
    view.update(state, Offset(5))
    view.remember({n: remembered(f"remembered-{n}:1", 10) for n in (ONE, FOUR, FIVE)})
    assert view.other_nodes() == (TWO, THREE, FIVE)


def test_to_remember_what_is_known_already_changes_nothing() -> None:
    """Where the metadata is applied as far as the log goes, or further, it is what counts; what is
    newer is taken all the same."""
    view = new_view()
    view.update(registered(ONE, TWO, THREE), Offset(10))
    view.remember({TWO: remembered("remembered-2:1", 10), FOUR: remembered("remembered-4:1", 7)})
    assert view.address_of(TWO) == "registered-2:1"
    assert view.address_of(FOUR) is None
    assert view.other_nodes() == (TWO, THREE)
    view.remember({TWO: remembered("remembered-2:1", 10), FIVE: remembered("remembered-5:1", 11)})
    assert view.address_of(TWO) == "registered-2:1"
    assert view.address_of(FIVE) == "remembered-5:1"
    assert view.other_nodes() == (TWO, THREE, FIVE)


class RottenLog(MemoryLog):
    """It can be read as far as offset 3, an entry at a time."""

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        if start >= 3:
            raise LogCorrupt(self.creation.group_id, f"offset {start}", "bits flipped")
        return await super().read(start, end, 1)


def metadata_log(*, rotten: bool = False) -> MemoryLog:
    """Nodes 4 and 5 register; 4 comes again elsewhere; then there is a record of another kind."""
    group = MemoryGroup(creation_of(0), ONE)
    if rotten:
        group.log = RottenLog(group.creation)

    def registration(node_id: NodeId, address: str) -> bytes:
        record = NodeRegistered(
            node_id, address, "", DirectoryId(100 + node_id), 1, 5, ReplicaId(node_id)
        )
        return encode_record(record)

    group.lead(1)  # takes offset 0
    group.receive(1, [registration(FOUR, "old-4:1"), registration(FIVE, "n5:1")])
    group.receive(1, [registration(FOUR, "new-4:1")], [encode_record(NodeRemoved(TWO, 1))])
    return group.log


@pytest.mark.parametrize(
    ("begin", "rotten", "found"),
    [
        (0, False, {FOUR: remembered("new-4:1", 4), FIVE: remembered("n5:1", 3)}),
        (3, False, {FOUR: remembered("new-4:1", 4)}),
        (4, False, {}),
        (5, False, {}),
        (0, True, {FOUR: remembered("old-4:1", 2), FIVE: remembered("n5:1", 3)}),
    ],
)
def test_an_address_is_known_behind_the_record_that_names_it(
    begin: int, rotten: bool, found: dict[NodeId, RememberedAddress]
) -> None:
    """Not at the end of the entry or of the log, which may be cut and take long to grow again; of a
    node that registers twice the newer record counts. Damage ends the search."""
    log = metadata_log(rotten=rotten)
    assert run(addresses_in_log(log, MemoryCodec(), Offset(begin))) == found


def test_a_configured_address_is_no_registered_one() -> None:
    """It may be another cluster's: what is said there must not rest on it."""
    view = new_view()
    assert view.address_of(TWO) is not None
    assert not view.addresses.registered(TWO)
    view.remember({TWO: remembered("remembered-2:1", 10)})
    assert view.addresses.registered(TWO)
    view.update(registered(ONE, THREE), Offset(5))
    assert view.addresses.registered(TWO)
    view.update(registered(ONE, THREE), Offset(10))
    assert not view.addresses.registered(TWO)
    assert view.addresses.registered(THREE)
