"""Who may talk to whom."""

from __future__ import annotations

import re

import pytest

from replication.group import MembershipClaim
from replication.transport.handshake import claim_of, hello_of, refusal
from replication.transport.identity import NodeIdentity
from replication.types import DirectoryId, NodeId

US = NodeIdentity(NodeId(1), DirectoryId(11), 0xC1, 5)


def _they(node_id: int = 2, directory_id: int = 22, cluster_id: int = 0xC1) -> NodeIdentity:
    return NodeIdentity(NodeId(node_id), DirectoryId(directory_id), cluster_id, 6)


def test_a_member_and_a_newcomer_are_welcome() -> None:
    """A known directory, an unknown node, and one that has not joined a cluster yet."""
    assert refusal(hello_of(_they()), US, NodeId(2), (DirectoryId(22),)) is None
    assert refusal(hello_of(_they()), US, None, ()) is None
    assert refusal(hello_of(_they(cluster_id=0)), US, None, ()) is None


@pytest.mark.parametrize(
    ("they", "expected", "known", "reason"),
    [
        (_they(cluster_id=0xBAD), None, (), "belongs to cluster 0+bad"),
        (_they(directory_id=23), None, (DirectoryId(22),), "data directory 0+17.*0+16"),
        (_they(node_id=1), None, (), "two nodes were given one id"),
        (_they(node_id=3), NodeId(2), (), "node 2 was called and node 3 answered"),
    ],
)
def test_others_are_refused_with_the_reason(
    they: NodeIdentity,
    expected: NodeId | None,
    known: tuple[DirectoryId, ...],
    reason: str,
) -> None:
    """Another cluster, a foreign disk, a doubled id, a wrong address."""
    found = refusal(hello_of(they), US, expected, known)
    assert found is not None
    assert re.search(reason, found)


def test_another_protocol_version_is_refused() -> None:
    """The reason names both versions."""
    hello = hello_of(_they())
    hello.protocol_version = 9
    assert "version 9" in str(refusal(hello, US, None, ()))


def test_a_member_is_claimed_by_another_cluster_only() -> None:
    """A caller that knows no membership of the called node, or calls another node, claims nothing;
    neither does one of no cluster. A blank node is claimed by whatever cluster calls it a member."""
    stranger, blank = _they(cluster_id=0xBAD), NodeIdentity(NodeId(1), DirectoryId(12), 0, 5)
    claim = MembershipClaim(NodeId(2), 0xBAD)
    assert claim_of(hello_of(stranger, NodeId(1)), US) == claim
    assert claim_of(hello_of(stranger, NodeId(1)), blank) == claim
    assert claim_of(hello_of(_they(), NodeId(1)), US) is None
    assert claim_of(hello_of(stranger), US) is None
    assert claim_of(hello_of(stranger, NodeId(3)), US) is None
    assert claim_of(hello_of(_they(cluster_id=0), NodeId(1)), US) is None
