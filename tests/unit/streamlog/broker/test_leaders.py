"""A node names as leader neither itself, when it does not lead, nor the dead."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from replication.group import GroupHost, KnownLeader
from replication.raft.effects import Role
from replication.types import GroupId, NodeId, Term
from streamlog.broker.leaders import known_leader

HERE, ELSEWHERE, DEAD, GROUP = NodeId(1), NodeId(2), NodeId(3), GroupId(7)


class Host:
    """One replica in a role, and what was announced last."""

    def __init__(self, role: Role | None, announced: KnownLeader | None) -> None:
        self.groups: Mapping[GroupId, object] = (
            {} if role is None else {GROUP: SimpleNamespace(role=role)}
        )
        self.announced = announced

    def leader_of(self, group_id: GroupId) -> KnownLeader | None:
        assert group_id == GROUP
        return self.announced

    def live_nodes(self) -> frozenset[NodeId]:
        return frozenset([HERE, ELSEWHERE])


@pytest.mark.parametrize(
    ("role", "announced", "told"),
    [
        (Role.LEADER, HERE, HERE),
        (Role.FOLLOWER, HERE, None),
        (Role.CANDIDATE, HERE, None),
        (None, HERE, None),
        (Role.FOLLOWER, ELSEWHERE, ELSEWHERE),
        (None, ELSEWHERE, ELSEWHERE),
        (Role.FOLLOWER, DEAD, None),
        (None, DEAD, None),
        (Role.FOLLOWER, None, None),
    ],
)
def test_what_is_told(role: Role | None, announced: NodeId | None, told: NodeId | None) -> None:
    """Its own announcement counts only while it leads; those of others while they live."""
    known = None if announced is None else KnownLeader(Term(3), announced)
    host = cast("GroupHost", Host(role, known))
    answer = known_leader(host, HERE, GROUP)
    assert (None if answer is None else answer.node_id) == told
