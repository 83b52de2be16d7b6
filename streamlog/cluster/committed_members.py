"""Asks the leaders of groups for the members that their groups have, committed.

A node deletes a replica that is lost only when the group has taken the new one in by a committed
configuration: that took a majority without the lost one, so what is left of its log is not needed.
Without such a majority it may be all that there is, for an operator to go on with.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from replication.group import GroupHost
from replication.ports import CallFailed
from replication.raft.effects import Role
from replication.types import GroupId, NodeId, ReplicaId
from streamlog.cluster.calls import PeerChannels, to_call_failed
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError

GROUPS_MAX: Final = 1_000
"""Of one call; the others are asked for in the next round."""
TIMEOUT_MS: Final = 2_000.0

Members = Mapping[GroupId, tuple[ReplicaId, ...]]

_log = logging.getLogger(__name__)


class CommittedMembers:
    """What the leaders say, one call a leader."""

    def __init__(self, view: ClusterView, host: GroupHost, channels: PeerChannels) -> None:
        self._view, self._host, self._channels = view, host, channels

    async def of(self, group_ids: Sequence[GroupId]) -> Members:
        """Of those of the groups whose leader is known and answers."""
        by_leader: dict[NodeId, list[GroupId]] = {}
        for group_id in group_ids:
            known = self._host.leader_of(group_id)
            if known is not None:
                by_leader.setdefault(known.node_id, []).append(group_id)
        members: dict[GroupId, tuple[ReplicaId, ...]] = {}
        for node_id, asked in by_leader.items():
            address = self._view.address_of(node_id)
            if address is not None:
                members.update(await self._ask(address, asked[:GROUPS_MAX]))
        return members

    async def _ask(self, address: str, group_ids: Sequence[GroupId]) -> Members:
        request = pb.ListMembersRequest(group_ids=group_ids).SerializeToString()
        try:
            answer = await self._channels.call(address, "ListMembers", request, TIMEOUT_MS)
            groups = pb.ListMembersResponse.FromString(answer).groups
        except (StreamlogError, CallFailed, DecodeError) as error:
            _log.info("members_not_told", extra={"address": address, "reason": str(error)})
            return {}
        return {
            GroupId(group.group_id): tuple(ReplicaId(each) for each in group.replica_ids)
            for group in groups
        }


async def serve_list_members(host: GroupHost, data: bytes) -> bytes:
    """The other end. Raises CallFailed."""
    try:
        request = pb.ListMembersRequest.FromString(data)
    except DecodeError as error:
        refusal = StreamlogError(Reason.MALFORMED_MESSAGE, "the request is no ListMembersRequest")
        raise to_call_failed(refusal) from error
    response = pb.ListMembersResponse()
    for asked in request.group_ids[:GROUPS_MAX]:
        group = host.groups.get(GroupId(asked))
        if (
            group is not None
            and group.role is Role.LEADER
            and group.established
            and group.membership_committed
        ):
            members = [each.replica_id for each in group.membership.replicas()]
            response.groups.add(group_id=asked, replica_ids=members)
    return response.SerializeToString()
