"""What speaks against a node that wants to be ready, one reason at a time."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from replication.raft.effects import Role
from replication.types import METADATA_GROUP, NodeId
from streamlog.server.member import Member
from streamlog.server.metrics.survey import Survey
from streamlog.server.readiness import Phase, Readiness, judge

NODE = NodeId(1)


def metadata(**changes: Any) -> SimpleNamespace:
    """This node's replica of the metadata, which follows node 2 and holds 50 offsets."""
    values = {
        "failed": None,
        "leader": NodeId(2),
        "role": Role.FOLLOWER,
        "term": 3,
        "commit_end": 50,
        "heard_commit": (3, 50),
        "log": SimpleNamespace(end=SimpleNamespace(end=50)),
    }
    return SimpleNamespace(**(values | changes))


def judged(survey: Survey | None = None, **changes: Any) -> Readiness:
    """A node that is ready, but for the changes."""
    topic = SimpleNamespace(name="orders")
    view = SimpleNamespace(
        cluster_id=0xABC,
        metadata_offset=changes.pop("applied", 50),
        topic_by_id=lambda topic_id: topic if topic_id == 7 else None,
    )
    member = SimpleNamespace(
        cluster=SimpleNamespace(
            view=view,
            registered=changes.pop("registered", True),
            lost_replicas=changes.pop("lost", ()),
        ),
        groups=SimpleNamespace(
            groups={METADATA_GROUP: changes.pop("metadata", metadata())},
            live_nodes=lambda: frozenset({NODE, NodeId(2)}),
        ),
    )
    assert not changes
    return judge(Phase.SERVING, NODE, cast("Member", member), survey or Survey(led=3, followed=9))


def test_nothing_speaks_against_it() -> None:
    """The details are there all the same, and are JSON."""
    readiness = judged()
    assert readiness.ready
    details = json.loads(json.dumps(readiness.details))
    assert details["cluster"] == f"{0xABC:032x}"
    assert details["metadata"] == {"leader": 2, "applied": 50, "committed": 50}
    assert details["partitions"]["followed"] == 9


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"registered": False}, "the node has not registered since its start"),
        ({"applied": 49}, "the metadata is applied up to 49 of 50"),
        (
            {"metadata": metadata(heard_commit=(3, 60))},
            "the metadata is applied up to 50 of 60",
        ),
        ({"metadata": metadata(leader=None)}, "no live leader of the metadata is known"),
        ({"metadata": metadata(leader=NodeId(3))}, "no live leader of the metadata is known"),
        (
            {"metadata": metadata(heard_commit=None)},
            "the leader of the metadata has not told how far it is",
        ),
        (
            {"metadata": metadata(failed=ValueError("rot"))},
            "the replica of the metadata stopped: rot",
        ),
        (
            {"lost": (SimpleNamespace(),)},
            "1 of 13 replicas are lost: gone, or their journal is damaged",
        ),
    ],
)
def test_the_node_and_its_metadata(changes: dict[str, Any], reason: str) -> None:
    """Each is enough, and is told in one sentence."""
    assert judged(**changes).reasons == (reason,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"without_leader": 2}, "2 of 14 replicas have no live leader"),
        ({"failed": 1}, "1 of 13 replicas stopped"),
        ({"behind": 4}, "4 of 12 replicas are more than 20000 records behind"),
        ({"unheard": 1}, "1 of 12 replicas have not heard how far their leader is"),
        ({"installing": 1}, "1 of 12 replicas wait for a copy of their leader's log"),
        ({"missing": 5}, "5 of 17 replicas are not created yet"),
    ],
)
def test_its_replicas(changes: dict[str, int], reason: str) -> None:
    """Each kind that has not caught up is enough."""
    survey = Survey(led=3, followed=9, **changes)  # type: ignore[arg-type]
    assert judged(survey).reasons == (reason,)


def test_a_little_lag_is_told_and_does_not_count() -> None:
    """Under load a follower is always some batches behind; the partitions are named."""
    survey = Survey(followed=2, own_lag={(7, 0): 5, (8, 1): 9})
    readiness = judged(survey)
    assert readiness.ready
    assert readiness.details["lag"] == {
        "allowed": 20_000,
        "records": 14,
        "partitions": [
            {"topic": "8", "partition": 1, "records": 9},
            {"topic": "orders", "partition": 0, "records": 5},
        ],
    }


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING, Phase.FAILED])
def test_only_a_node_that_serves_can_be_ready(phase: Phase) -> None:
    """However well its replicas are."""
    assert judge(phase, NODE, None, None).reasons == (f"the node is {phase.value}",)
