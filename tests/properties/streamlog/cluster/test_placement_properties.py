"""Placement: no two replicas on a node, distinct racks where possible, an even spread."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from replication.types import NodeId
from streamlog.cluster.metadata.placement import Candidate, place


@st.composite
def clusters(draw: st.DrawFn, *, equal_racks: bool) -> list[Candidate]:
    """Nodes in racks, with any load of other topics."""
    rack_count = draw(st.integers(1, 5))
    if equal_racks:
        sizes = [draw(st.integers(1, 4))] * rack_count
    else:
        sizes = [draw(st.integers(1, 4)) for _ in range(rack_count)]
    racks = [f"r{number}" for number, size in enumerate(sizes) for _ in range(size)]
    racks = draw(st.permutations(racks))
    return [
        Candidate(
            NodeId(number),
            rack,
            total_replicas=draw(st.integers(0, 50)),
            total_leaders=draw(st.integers(0, 50)),
        )
        for number, rack in enumerate(racks, start=1)
    ]


def spread(counts: Counter[NodeId], candidates: list[Candidate]) -> int:
    """Most minus least."""
    values = [counts[candidate.node_id] for candidate in candidates]
    return max(values) - min(values)


@settings(max_examples=150, deadline=None)
@given(clusters(equal_racks=True), st.integers(1, 60), st.data())
def test_equal_racks_get_equal_shares(
    candidates: list[Candidate], partitions: int, data: st.DataObject
) -> None:
    """With racks of equal size, replicas and leaders per node differ by at most one."""
    factor = data.draw(st.integers(1, len(candidates)))
    placed = place(partitions, factor, candidates)
    replicas = Counter(node for nodes in placed for node in nodes)
    leaders = Counter(nodes[0] for nodes in placed)
    assert spread(replicas, candidates) <= 1
    assert spread(leaders, candidates) <= 1


@settings(max_examples=150, deadline=None)
@given(clusters(equal_racks=False), st.integers(1, 40), st.data())
def test_any_racks(candidates: list[Candidate], partitions: int, data: st.DataObject) -> None:
    """Whatever the racks: each partition has its number of distinct nodes, and as many racks as
    there can be; the order in which nodes are given makes no difference."""
    factor = data.draw(st.integers(1, len(candidates)))
    placed = place(partitions, factor, candidates)
    rack_of = {candidate.node_id: candidate.rack for candidate in candidates}
    rack_count = len(set(rack_of.values()))
    assert len(placed) == partitions
    for nodes in placed:
        assert len(nodes) == len(set(nodes)) == factor
        assert len({rack_of[node] for node in nodes}) == min(factor, rack_count)
    assert place(partitions, factor, data.draw(st.permutations(candidates))) == placed


@settings(max_examples=60, deadline=None)
@given(clusters(equal_racks=True), st.integers(1, 20), st.integers(1, 20), st.data())
def test_added_partitions_keep_the_spread(
    candidates: list[Candidate], first: int, more: int, data: st.DataObject
) -> None:
    """Partitions that are added later fill up what the first ones left."""
    factor = data.draw(st.integers(1, len(candidates)))
    placed = place(first, factor, candidates)
    replicas = Counter(node for nodes in placed for node in nodes)
    leaders = Counter(nodes[0] for nodes in placed)
    loaded = [
        replace(c, topic_replicas=replicas[c.node_id], topic_leaders=leaders[c.node_id])
        for c in candidates
    ]
    for nodes in place(more, factor, loaded):
        replicas.update(nodes)
    assert spread(replicas, candidates) <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 40))
def test_many_small_topics_spread_too(node_count: int, topics: int) -> None:
    """Topics of one partition each go round the nodes."""
    replicas: Counter[NodeId] = Counter()
    leaders: Counter[NodeId] = Counter()
    candidates = [Candidate(NodeId(n), "") for n in range(1, node_count + 1)]
    for _ in range(topics):
        loaded = [
            replace(c, total_replicas=replicas[c.node_id], total_leaders=leaders[c.node_id])
            for c in candidates
        ]
        (nodes,) = place(1, 1, loaded)
        replicas.update(nodes)
        leaders.update(nodes[:1])
    assert spread(replicas, candidates) <= 1
    assert spread(leaders, candidates) <= 1
