"""What a driver relies on beyond the scenarios: idleness, wrong addresses, illegal worlds."""

from __future__ import annotations

import pytest

from replication.errors import InvariantViolation
from replication.raft.events import (
    CommitFlush,
    ElectionTimeout,
    EntriesSent,
    HigherTermSeen,
    InstallFailed,
    LeaderHeard,
    LivePeersChanged,
    MessageReceived,
    PeerDisconnected,
    TransferExpired,
)
from replication.raft.messages import AppendEntries, AppendEntriesResponse
from replication.types import LogPosition, Offset, ReplicaId, Term
from tests.scenarios.raft.raft_cluster import EMPTY, Cluster, members


def led_by_one() -> Cluster:
    """Three replicas, replica 1 leads term 1, everyone knows everything."""
    cluster = Cluster(members([1, 2, 3]))
    cluster.nodes[1].step(LivePeersChanged(frozenset({ReplicaId(2), ReplicaId(3)})))
    cluster.nodes[1].step(ElectionTimeout())
    cluster.settle()
    cluster.nodes[1].step(CommitFlush())
    cluster.settle()
    return cluster


def test_an_idle_group_has_nothing_to_do() -> None:
    """After the news of the commit no step of an idle driver has an effect."""
    leader = led_by_one().nodes[1]
    live = frozenset({ReplicaId(2), ReplicaId(3)})
    for event in (
        CommitFlush(),
        LivePeersChanged(live),
        TransferExpired(),
        HigherTermSeen(Term(1)),
    ):
        assert leader.step(event) == []
    assert not leader.asked


def test_events_that_no_longer_fit_are_ignored() -> None:
    """Of strangers, of moved positions, of roles that ended."""
    cluster = led_by_one()
    leader, follower = cluster.nodes[1], cluster.nodes[2]
    stranger = ReplicaId(9)
    elsewhere = LogPosition(Term(1), Offset(0))
    for event in (
        EntriesSent(stranger, EMPTY, EMPTY, 0),
        EntriesSent(ReplicaId(2), elsewhere, elsewhere, 0),
        PeerDisconnected(stranger),
        InstallFailed(ReplicaId(2)),
        MessageReceived(AppendEntriesResponse(stranger, ReplicaId(1), Term(1), True, Offset(1))),
        MessageReceived(AppendEntriesResponse(ReplicaId(2), stranger, Term(9), True, Offset(1))),
    ):
        assert leader.step(event) == []
        assert follower.step(event) == []


def test_an_impossible_world_stops_the_replica() -> None:
    """Two leaders in one term, a match beyond the log, a committed entry overwritten."""
    with pytest.raises(InvariantViolation, match="two leaders"):
        led_by_one().nodes[2].step(LeaderHeard(ReplicaId(3), Term(1)))
    beyond = AppendEntriesResponse(ReplicaId(2), ReplicaId(1), Term(1), True, Offset(99))
    with pytest.raises(InvariantViolation, match="beyond its leader's log"):
        led_by_one().nodes[1].step(MessageReceived(beyond))
    follower = led_by_one().nodes[2]
    before = LogPosition(Term(0), Offset(2))
    overwrite = AppendEntries(ReplicaId(3), ReplicaId(2), Term(2), before, Offset(0), Offset(0))
    with pytest.raises(InvariantViolation, match="below the commit"):
        follower.step(MessageReceived(overwrite))
