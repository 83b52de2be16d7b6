"""One replica at a time: what the survey counts it as."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from replication.multiraft.group import Group
from replication.raft.effects import Role
from replication.types import DirectoryId, Membership, NodeId, Replica, ReplicaId
from streamlog.cluster.membership_steps import LAG_MAX
from streamlog.server.metrics import survey as module
from streamlog.server.metrics.survey import WORST_SHOWN, Survey, worst

KEY = (7, 2)
LIVE = frozenset(NodeId(number) for number in (1, 2, 3))
MEMBERS = Membership(
    tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(n)) for n in (1, 2, 3)),
)


def look_at(live: frozenset[NodeId] = LIVE, **changes: Any) -> Survey:
    """The survey of one replica: of node 1, in term 5, which holds and knows 100 offsets."""
    progress = changes.pop("progress", {ReplicaId(n): 100 for n in (1, 2, 3)})
    end, needs_install = changes.pop("end", 100), changes.pop("needs_install", False)
    values: dict[str, Any] = {
        "creation": SimpleNamespace(topic_id=KEY[0], partition=KEY[1]),
        "failed": None,
        "role": Role.FOLLOWER,
        "term": 5,
        "leader": NodeId(2),
        "established": False,
        "installing": False,
        "heard_commit": (5, 100),
        "commit_end": 100,
        "membership": MEMBERS,
        "replica_id": ReplicaId(1),
        "log": SimpleNamespace(end=SimpleNamespace(end=end), needs_install=needs_install),
        "replica_progress": lambda: progress,
    }
    survey = Survey()
    module._look_at(cast("Group", SimpleNamespace(**(values | changes))), live, survey)
    assert survey.replicas == 1
    return survey


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({}, "followed"),
        ({"leader": None}, "without_leader"),
        ({"live": frozenset({NodeId(1)})}, "without_leader"),
        ({"role": Role.CANDIDATE, "leader": None}, "without_leader"),
        ({"role": Role.LEADER, "leader": NodeId(1), "established": True}, "led"),
        ({"role": Role.LEADER, "leader": NodeId(1)}, "without_leader"),
        ({"failed": ValueError()}, "failed"),
    ],
)
def test_a_replica_is_one_of_four(changes: dict[str, Any], counted: str) -> None:
    """Led, followed, without a leader that lives and may serve, or stopped."""
    assert getattr(look_at(**changes), counted) == 1


@pytest.mark.parametrize(
    ("changes", "counted", "lag"),
    [
        ({}, None, 0),
        ({"end": 90}, None, 10),
        ({"end": 150}, None, 0),
        ({"heard_commit": (5, 100 + LAG_MAX)}, None, LAG_MAX),
        ({"heard_commit": (5, 101 + LAG_MAX)}, "behind", LAG_MAX + 1),
        ({"heard_commit": None}, "unheard", 0),
        ({"heard_commit": (4, 100)}, "unheard", 0),
        ({"installing": True}, "installing", 0),
        ({"needs_install": True, "end": 0}, "installing", 100),
    ],
)
def test_a_follower_is_as_far_as_its_leader_told(
    changes: dict[str, Any], counted: str | None, lag: int
) -> None:
    """What it lacks of the commit that the leader of its own term told; more than the bound is
    behind, an older leader's word does not count."""
    survey = look_at(**changes)
    assert survey.followed == 1
    assert sum(survey.own_lag.values()) == lag
    for name in ("behind", "unheard", "installing"):
        assert getattr(survey, name) == (name == counted)


@pytest.mark.parametrize(
    ("progress", "live", "short", "lag"),
    [
        ((100, 100), LIVE, 0, 0),
        ((100, 90), LIVE, 0, 10),
        ((120, 100), LIVE, 0, 0),
        ((100, 0), LIVE, 1, 100),
        ((100, 100), LIVE - {NodeId(3)}, 1, 0),
    ],
)
def test_a_leader_knows_which_replicas_lack_something(
    progress: tuple[int, int], live: frozenset[NodeId], short: int, lag: int
) -> None:
    """A replica that is a little behind is no worry; one that is blank, or whose node is down, is."""
    matches = dict(zip((ReplicaId(2), ReplicaId(3)), progress, strict=True))
    survey = look_at(
        live,
        role=Role.LEADER,
        leader=NodeId(1),
        established=True,
        progress=matches,
    )
    assert survey.under_replicated == short
    assert survey.lag_by_node == ({NodeId(3): lag} if lag else {})
    assert survey.lag_of_led == ({KEY: lag} if lag else {})


def test_a_replica_far_behind_is_a_worry() -> None:
    """More than a leadership may lack to move there."""
    far = LAG_MAX + 200
    survey = look_at(
        role=Role.LEADER,
        leader=NodeId(1),
        established=True,
        commit_end=far,
        progress={ReplicaId(2): far, ReplicaId(3): 100},
    )
    assert survey.under_replicated == 1


def test_only_the_worst_are_named() -> None:
    """Series by partition stay few, however many partitions lag."""
    lags = {(topic, number): topic * number for topic in range(20) for number in range(20)}
    named = worst(lags)
    assert len(named) == WORST_SHOWN
    assert [lag for _, lag in named] == sorted(lags.values(), reverse=True)[:WORST_SHOWN]
