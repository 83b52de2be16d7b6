"""How far behind the groups of this node's coordinators are: asked of the leaders of the partitions.

A group that stands at the end of a partition costs its leader nothing but a comparison, one that is
behind at most the read of one batch. Leaders that do not answer in time leave the lag of their
partitions unknown until the next round; nothing is tried again before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from replication.errors import ReplicationError
from replication.group import GroupHost
from replication.ports import CallFailed, Network
from replication.types import NodeId
from streamlog.broker.leaders import known_leader
from streamlog.broker.offsets import list_offsets
from streamlog.broker.partitions import Partitions
from streamlog.cluster.calls import PeerChannels
from streamlog.cluster.intervals import gather_bounded
from streamlog.cluster.view import ClusterView
from streamlog.groups.survey import GroupPosition
from streamlog.model.errors import StreamlogError
from streamlog.v1 import log_service_pb2 as log

QUERIES_AT_ONCE: Final = 100
"""In one call; it keeps a leader's loop busy for some milliseconds at most."""
POSITIONS_AT_ONCE: Final = 1_000
"""After so many the loop does other work first."""
NODES_AT_ONCE: Final = 8
CALL_TIMEOUT_MS: Final = 5_000.0

Place = tuple[int, int, int]
"""Topic id, partition, offset."""


class Unread(NamedTuple):
    """What lies behind a position."""

    records: int
    """Offsets from the oldest unread record to the committed end."""
    timestamp_ms: int | None
    """Of the oldest unread record; None: there is none."""


class GroupLagReader:
    """Asks leaders, this node among them."""

    def __init__(
        self,
        node_id: int,
        partitions: Partitions,
        host: GroupHost,
        view: ClusterView,
        network: Network,
    ) -> None:
        self._node_id, self._partitions = node_id, partitions
        self._host, self._view = host, view
        self._channels = PeerChannels(network, "streamlog.v1.LogService")

    async def close(self) -> None:
        """End all calls."""
        await self._channels.close()

    async def read(self, positions: Iterable[GroupPosition]) -> dict[Place, Unread]:
        """What lies behind these positions; those that nobody answered for are left out."""
        by_node: dict[NodeId, list[Place]] = {}
        asked: dict[Place, None] = {}
        for count, position in enumerate(positions, start=1):
            if count % POSITIONS_AT_ONCE == 0:
                await asyncio.sleep(0)
            place = (*position.partition, position.offset)
            if place not in asked:
                asked[place] = None
                leader = self._leader_of(place)
                if leader is not None:
                    by_node.setdefault(leader, []).append(place)
        found: dict[Place, Unread] = {}
        await gather_bounded(
            [partial(self._ask, node_id, places, found) for node_id, places in by_node.items()],
            NODES_AT_ONCE,
        )
        return found

    def _leader_of(self, place: Place) -> NodeId | None:
        there = self._view.partition(place[0], place[1])
        if there is None:
            return None
        known = known_leader(self._host, self._node_id, there.group_id)
        return None if known is None else known.node_id

    async def _ask(
        self, node_id: NodeId, places: Sequence[Place], found: dict[Place, Unread]
    ) -> None:
        for first in range(0, len(places), QUERIES_AT_ONCE):
            some = places[first : first + QUERIES_AT_ONCE]
            request = log.ListOffsetsRequest(
                queries=[
                    log.OffsetQuery(
                        topic_id=topic_id,
                        partition=number,
                        spec=log.OFFSET_SPEC_RECORD,
                        offset=offset,
                    )
                    for topic_id, number, offset in some
                ]
            )
            try:
                response = await self._call(node_id, request)
            except (CallFailed, StreamlogError, ReplicationError, DecodeError, OSError):
                return
            for place, answer in zip(some, response.answers, strict=False):
                if not answer.HasField("error"):
                    found[place] = _unread(answer)
            await asyncio.sleep(0)

    async def _call(
        self, node_id: NodeId, request: log.ListOffsetsRequest
    ) -> log.ListOffsetsResponse:
        if node_id == self._node_id:
            return await list_offsets(self._partitions, request)
        address = self._view.address_of(node_id)
        if address is None:
            return log.ListOffsetsResponse()
        data = await self._channels.call(
            address, "ListOffsets", request.SerializeToString(), CALL_TIMEOUT_MS
        )
        return log.ListOffsetsResponse.FromString(data)


def _unread(answer: log.OffsetAnswer) -> Unread:
    if not answer.HasField("timestamp_ms"):
        return Unread(0, None)
    return Unread(max(0, answer.high_watermark - answer.offset), answer.timestamp_ms)
