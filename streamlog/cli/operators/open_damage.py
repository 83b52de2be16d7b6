"""Damage that is not mended yet, as the live nodes of a cluster tell of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from streamlog.cli.output import counted
from streamlog.cli.topics.disk_usage import ANSWER_TIMEOUT_S

if TYPE_CHECKING:
    from streamlog.client import Admin, NodeDamage, NodeDescription

PARTITIONS_NAMED_MAX: Final = 5
"""Of a node, for people; programs are told all."""

Told = Mapping[int, "NodeDamage | None"]
"""By node, of those that live, ids ascending; None: it did not answer."""


async def damage_of(admin: Admin, nodes: Sequence[NodeDescription]) -> Told:
    """Ask each live node, all at a time."""
    live = [node for node in nodes if node.live]
    answers = await asyncio.gather(*(_ask(admin, node.address) for node in live))
    return {node.node_id: answer for node, answer in zip(live, answers, strict=True)}


async def _ask(admin: Admin, address: str) -> NodeDamage | None:
    from streamlog.client import ClientError

    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await admin.describe_damage(address)
    except (ClientError, TimeoutError):
        return None


def is_none(told: Told) -> bool:
    """Every live node says that nothing of it is damaged."""
    return all(damage is not None and not damage.range_count for damage in told.values())


def range_count(told: Told, node_id: int) -> int | None:
    """Of one node; None when it was not asked, or did not answer."""
    damage = told.get(node_id)
    return None if damage is None else damage.range_count


def lines(told: Told) -> list[str]:
    """A line for each node that does not say that it has none."""
    found = []
    for node_id, damage in told.items():
        if damage is None:
            found.append(f"node {node_id} does not answer: what of it is damaged is not known")
        elif damage.range_count:
            names = dict.fromkeys(
                f"{each.topic}/{each.partition}" if each.topic else "the metadata"
                for each in damage.ranges
            )
            named = list(names)[:PARTITIONS_NAMED_MAX]
            more = ", ..." if len(names) > len(named) else ""
            found.append(
                f"node {node_id} has {counted(damage.range_count, 'damaged range')} not mended yet,"
                f" of {', '.join(named)}{more}; if that lasts, event repair_postponed in its log"
                " says why"
            )
    return found


def rows(told: Told) -> list[dict[str, Any]]:
    """Every range that was named, for programs."""
    return [
        {
            "node": each.node_id,
            "topic": each.topic or None,
            "partition": each.partition if each.topic else None,
            "start": each.start_offset,
            "end": each.end_offset,
            "of_snapshot": each.of_snapshot,
        }
        for damage in told.values()
        if damage is not None
        for each in damage.ranges
    ]
