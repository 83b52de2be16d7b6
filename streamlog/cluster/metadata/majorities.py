"""Whether a partition goes on without some nodes, also while its replicas change.

The metadata says who shall have a vote; the group's log says who has one. While a partition moves,
the old replicas decide, or the new ones, or a majority of each: the metadata does not hear which, so
that every set that may be in force has to keep a majority.
"""

from __future__ import annotations

from collections.abc import Collection

from replication.types import NodeId, Offset
from streamlog.cluster.metadata.state import Partition


def is_majority(present: int, of: int) -> bool:
    """So many of so many are a majority."""
    return 2 * present > of


def keeps_majority(members: Collection[NodeId], away: Collection[NodeId]) -> bool:
    """A majority of these members remains without those who are away."""
    return is_majority(sum(each not in away for each in members), len(members))


def goes_on_without(partition: Partition, away: Collection[NodeId]) -> bool:
    """Every set of nodes that may decide in the partition keeps a majority without those who are
    away. A replica that its node lost has no vote to give, though the node lives."""
    if not keeps_majority(partition.node_ids, away):
        return False
    if not partition.moving:
        return True
    without = (*away, *(replica.node_id for replica in partition.renewed))
    return all(keeps_majority(nodes, without) for nodes in _before(partition, without))


def _before(partition: Partition, away: Collection[NodeId]) -> list[list[NodeId]]:
    """Sets of nodes that may decide until the move is settled.

    They are the nodes that leave with those that stay: who came by the newest wish was placed after
    all others. If those who leave were placed last, a move was taken back: they may decide with as
    many others as make up the number of replicas; which ones is not known, so those that are away
    are taken. Of several other wishes in one move, those in between are not known.
    """
    every = (*partition.replicas, *partition.leaving)
    placed = dict(zip(every, partition.placed_offsets, strict=True))
    newest = max(placed[replica] for replica in partition.replicas)
    left = max((placed[replica] for replica in partition.leaving), default=Offset(-1))
    stay = [each.node_id for each in partition.replicas if placed[each] < newest or newest <= left]
    leaving = list(dict.fromkeys(replica.node_id for replica in partition.leaving))
    sets = [list(dict.fromkeys((*leaving, *stay)))]
    if newest < left:
        worst_first = sorted(partition.node_ids, key=lambda each: each not in away)
        others = [each for each in worst_first if each not in leaving]
        sets.append(leaving + others[: max(0, len(partition.replicas) - len(leaving))])
    return sets
