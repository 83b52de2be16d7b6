"""Nodes that came later, and vote on the metadata, find each other after a restart of all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jepsen_like.sim.scheduler import silence
from replication.types import NodeId
from tests.fakes.node_world import NodeWorld

CAME_LATER = (4, 5)


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
