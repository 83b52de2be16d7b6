"""The topics that coordinators are told of: the users' ones, made anew only when they change."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata.state import Founding, MetadataState, Topic, initial_state
from streamlog.cluster.view import ClusterView
from streamlog.groups.catalogs import Catalogs, same_topics
from streamlog.model.internal_topics import CONSUMER_OFFSETS
from streamlog.model.settings.node import NodeConfig
from streamlog.model.settings.topic import TopicConfig


def blank() -> MetadataState:
    voter = Replica(ReplicaId(1), NodeId(1), DirectoryId(1))
    return initial_state(Founding(1, Membership((voter,))))


def with_topic(state: MetadataState, topic_id: int, name: str) -> MetadataState:
    topic = Topic(topic_id, name, (), TopicConfig(), (), 1, topic_id)
    return replace(state, topics={**state.topics, topic_id: topic})


def test_the_version_moves_and_the_topics_stay() -> None:
    """A change of metadata that is none of topics, or one of the cluster's own topics, gives the
    same topics under a newer version: a coordinator must not look older than its group."""
    view = ClusterView(NodeConfig())
    catalogs = Catalogs(view)
    assert catalogs.current().version == 0
    state = with_topic(blank(), 1, "orders")
    view.update(state, Offset(5))
    first = catalogs.current()
    assert (first.version, list(first.by_name)) == (5, ["orders"])
    view.update(with_topic(state, 2, CONSUMER_OFFSETS), Offset(9))
    later = catalogs.current()
    assert later.version == 9
    assert same_topics(first, later)
    view.update(with_topic(state, 3, "returns"), Offset(12))
    assert not same_topics(first, catalogs.current())
    assert list(catalogs.current().by_name) == ["orders", "returns"]


async def test_who_gave_up_waiting_is_forgotten() -> None:
    """Streams come and go for weeks while the metadata stays as it is."""
    view = ClusterView(NodeConfig())
    for _ in range(3):
        waiting = asyncio.create_task(view.changed())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert not view._waiting
    others = [asyncio.create_task(view.changed()) for _ in range(2)]
    await asyncio.sleep(0)
    view.update(blank(), Offset(1))
    await asyncio.gather(*others)


async def test_who_waits_hears_of_topics_only() -> None:
    """A waiting coordinator sleeps through other changes."""
    view = ClusterView(NodeConfig())
    catalogs = Catalogs(view)
    view.update(with_topic(blank(), 1, "orders"), Offset(1))
    before = catalogs.current()
    waiting = asyncio.create_task(catalogs.changed(before))
    await asyncio.sleep(0)
    view.update(with_topic(blank(), 1, "orders"), Offset(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    view.update(blank(), Offset(3))
    assert (await waiting).by_name == {}
