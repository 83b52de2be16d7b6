"""The first message each way on every stream: who are you, and do we belong together?

A peer of another cluster, under a node id that memberships bind to another data directory (a
blank disk under an old id), of another protocol version, or not the node that was called, is
refused with the reason. A cluster id of 0 (a node that has not joined yet) fits every cluster.

The caller also says whether its memberships name the node that it calls. One that does so from
another cluster tells a node whose disk was lost that it is about to be, or is, another cluster.
"""

from __future__ import annotations

from replication.group import MembershipClaim
from replication.transport.identity import NodeIdentity
from replication.types import DirectoryId, NodeId, halves, whole
from replication.v1 import peer_service_pb2 as pb

PROTOCOL_VERSION = 1


def hello_of(identity: NodeIdentity, called_member: NodeId | None = None) -> pb.Hello:
    """How this node introduces itself; `called_member`: to this member of its groups."""
    cluster_high, cluster_low = halves(identity.cluster_id)
    directory_high, directory_low = halves(identity.directory_id)
    return pb.Hello(
        protocol_version=PROTOCOL_VERSION,
        cluster_id_high=cluster_high,
        cluster_id_low=cluster_low,
        node_id=identity.node_id,
        directory_id_high=directory_high,
        directory_id_low=directory_low,
        boot_id=identity.boot_id,
        called_member_id=called_member or 0,
    )


def claim_of(hello: pb.Hello, identity: NodeIdentity) -> MembershipClaim | None:
    """What a peer of another cluster takes this node for; None when it does not take it for a
    member. A node of no cluster yet is of another one than every peer."""
    cluster_id = whole(hello.cluster_id_high, hello.cluster_id_low)
    if hello.called_member_id != identity.node_id or cluster_id in {0, identity.cluster_id}:
        return None
    return MembershipClaim(NodeId(hello.node_id), cluster_id)


def refusal(
    hello: pb.Hello,
    identity: NodeIdentity,
    expected_node: NodeId | None,
    known_directories: tuple[DirectoryId, ...],
) -> str | None:
    """Why this node will not talk to the sender of `hello`; None when it will.

    Args:
        hello: What the peer said.
        identity: This node.
        expected_node: The node that was called; None on the side that was called.
        known_directories: Data directories that memberships name for the peer; empty: unknown.
    """
    if hello.protocol_version != PROTOCOL_VERSION:
        return (
            f"protocol version {hello.protocol_version} is not spoken by node "
            f"{identity.node_id}: it speaks {PROTOCOL_VERSION}"
        )
    if not 1 <= hello.node_id < 1 << 31:
        return f"node id {hello.node_id} is out of range: 1 to {(1 << 31) - 1}"
    if hello.node_id == identity.node_id:
        return f"node id {hello.node_id} is this node's own: two nodes were given one id"
    if expected_node is not None and hello.node_id != expected_node:
        return f"node {expected_node} was called and node {hello.node_id} answered"
    cluster_id = whole(hello.cluster_id_high, hello.cluster_id_low)
    if cluster_id and identity.cluster_id and cluster_id != identity.cluster_id:
        return (
            f"node {hello.node_id} belongs to cluster {cluster_id:032x}, "
            f"node {identity.node_id} to cluster {identity.cluster_id:032x}"
        )
    directory_id = whole(hello.directory_id_high, hello.directory_id_low)
    if known_directories and directory_id not in known_directories:
        known = ", ".join(f"{directory:032x}" for directory in known_directories)
        return (
            f"node {hello.node_id} came with data directory {directory_id:032x}, but its replicas "
            f"are in {known}: a blank or foreign disk under an old node id"
        )
    return None
