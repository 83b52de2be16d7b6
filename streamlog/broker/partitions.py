"""Finds the partition a request is about, or says exactly why it is not to be had here."""

from __future__ import annotations

from replication.errors import NotLeader
from replication.group import GroupHost
from replication.raft.effects import Role
from streamlog.broker.error_mapping import to_streamlog_error
from streamlog.broker.leaders import known_leader
from streamlog.broker.partition import Partition
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError


class Partitions:
    """The partitions with a replica on this node; made when first asked for."""

    def __init__(self, node_id: int, view: ClusterView, host: GroupHost) -> None:
        self._node_id = node_id
        self._view = view
        self._host = host
        self._partitions: dict[int, Partition] = {}

    def find(self, topic_id: int, number: int) -> Partition:
        """The local replica. Raises UNKNOWN_TOPIC, UNKNOWN_PARTITION, NOT_LEADER (when it is
        held elsewhere) or LEADER_NOT_AVAILABLE (when it is not there yet)."""
        topic = self._view.topic_by_id(topic_id)
        if topic is None:
            raise StreamlogError(Reason.UNKNOWN_TOPIC, f"no topic has the id {topic_id}")
        if not 0 <= number < len(topic.partitions):
            raise StreamlogError(
                Reason.UNKNOWN_PARTITION,
                f"topic {topic.name!r} has no partition {number}; it has 0 to "
                f"{len(topic.partitions) - 1}",
            )
        group_id = topic.partitions[number].group_id
        group = self._host.groups.get(group_id)
        known = self._partitions.get(group_id)
        if known is not None and known.group is group:
            return known
        if known is not None:
            known.close()
            del self._partitions[group_id]
        if group is None:
            raise self._elsewhere(group_id)
        partition = Partition(group)
        self._partitions[group_id] = partition
        return partition

    def find_leader(self, topic_id: int, number: int) -> Partition:
        """The local replica if it leads. Raises as `find`, and NOT_LEADER."""
        partition = self.find(topic_id, number)
        if partition.group.role is not Role.LEADER:
            raise self._elsewhere(partition.group.creation.group_id)
        return partition

    def explain(self, partition: Partition, error: BaseException) -> StreamlogError:
        """The error as a client of this partition should see it: with the leader's address."""
        if isinstance(error, NotLeader):
            return self._elsewhere(partition.group.creation.group_id)
        return to_streamlog_error(error)

    def not_leading(self, partition: Partition) -> StreamlogError:
        """Why a reader of the partition must go elsewhere."""
        if partition.removed or partition.group is not self._host.groups.get(
            partition.group.creation.group_id
        ):
            topic = self._view.topic_by_id(partition.topic_id)
            if topic is None:
                return StreamlogError(
                    Reason.UNKNOWN_TOPIC, f"the topic with the id {partition.topic_id} was deleted"
                )
        return self._elsewhere(partition.group.creation.group_id)

    def drop_removed(self) -> None:
        """Tell those who use a replica that left this node."""
        for group_id, partition in list(self._partitions.items()):
            if self._host.groups.get(partition.group.creation.group_id) is not partition.group:
                del self._partitions[group_id]
                partition.close()

    def _elsewhere(self, group_id: int) -> StreamlogError:
        known = known_leader(self._host, self._node_id, group_id)
        address = None if known is None else self._view.address_of(known.node_id)
        if known is None or address is None:
            return StreamlogError(
                Reason.LEADER_NOT_AVAILABLE,
                f"no leader of group {group_id} is known: an election is under way",
                retry_after_ms=50,
            )
        return StreamlogError(
            Reason.NOT_LEADER,
            f"node {known.node_id} at {address} leads group {group_id}",
            {
                "leader_node_id": str(known.node_id),
                "leader_address": address,
                "leader_term": str(known.term),
            },
        )
