"""Which replicas of a group are left, and whether one of them is better than the chosen one.

The best has the highest last term, among those the highest end: Raft's order of logs. It has every
committed entry that any of them has. The end alone deceives: a former leader may have a long tail
of an old term that was never committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamlog.cli.failure import CommandFailed

if TYPE_CHECKING:
    from streamlog.client import Recovery, RecoveryNode

ANSWER_TIMEOUT_S: Final = 5.0
"""A node that does not answer in this time is not compared."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A replica that is left, with a log that the group could go on with."""

    node_id: int
    address: str
    end_term: int
    """Term of its last entry; 0: the node's version does not tell it."""
    end_offset: int
    objection: str = ""
    """Why its node would not go on with it: a majority seems alive, there or to it."""

    @property
    def position(self) -> tuple[int, int]:
        """The higher, the better."""
        return self.end_term, self.end_offset

    def __str__(self) -> str:
        return f"last term {self.end_term}, end {self.end_offset}"


@dataclass(frozen=True, slots=True)
class Survivors:
    """What the nodes answered."""

    chosen: Survivor
    others: tuple[Survivor, ...] = ()
    unfit: tuple[tuple[int, str], ...] = ()
    """Nodes of members whose log can not be gone on with, and why."""
    silent: tuple[int, ...] = ()
    """Nodes that did not answer: they may have anything."""

    def ranked(self) -> list[Survivor]:
        """Best first, of equals the chosen one."""
        return sorted((self.chosen, *self.others), key=lambda each: each.position, reverse=True)

    def objection_of(self, other: Survivor) -> str:
        """What stands against leaving it behind; empty: nothing."""
        if other.objection:
            return f"its node objects: {other.objection}"
        if not other.end_term and other.end_offset:
            return "its node's version does not tell its last term"
        if other.position > self.chosen.position:
            return f"better than the one on node {self.chosen.node_id}"
        return ""

    def check(self, passed_over: Collection[int]) -> None:
        """Raises CommandFailed: a replica is better, or can not be said to be worse, and its node
        is not in `passed_over`."""
        chosen = self.chosen
        against = [
            (each, objection)
            for each in self.ranked()
            if each.node_id not in passed_over and (objection := self.objection_of(each))
        ]
        if not against:
            return
        told = "; ".join(
            f"the replica on node {each.node_id} has {each}, {objection}"
            for each, objection in against
        )
        options = " ".join(f"--pass-over {each.node_id}" for each, _ in against)
        best = against[0][0]
        advice = (
            f"take the best: --node {best.address}"
            if best.position > chosen.position and not best.objection
            else "see to that first"
        )
        raise CommandFailed(
            f"the replica on node {chosen.node_id} has {chosen}; {told}. Committed records may be"
            f" lost that are still there: {advice}. To lose them all the same, add {options}"
        )


async def find_survivors(
    planned: Recovery, address: str, ask: Callable[[str], Awaitable[Recovery]]
) -> Survivors:
    """Ask every other node that the chosen one knows.

    Args:
        planned: of the chosen node.
        address: of the chosen node, host:port.
        ask: a node by its address what it would go on with. Raises ClientError.
    """
    chosen = Survivor(planned.survivor.node_id, address, planned.end_term, planned.end_offset)
    others: list[Survivor] = []
    unfit: list[tuple[int, str]] = []
    silent: list[int] = []
    members = {member.node_id for member in planned.left_behind}
    answers = await asyncio.gather(*(_answer(planned, node, ask) for node in planned.other_nodes))
    for node, answer in zip(planned.other_nodes, answers, strict=True):
        if answer is None:
            silent.append(node.node_id)
        elif isinstance(answer, str):
            # Most nodes have no replica of it, and nobody thinks they have.
            unfit += [(node.node_id, answer)] if node.node_id in members else []
        else:
            others.append(answer)
    return Survivors(chosen, tuple(others), tuple(unfit), tuple(silent))


async def _answer(
    planned: Recovery, node: RecoveryNode, ask: Callable[[str], Awaitable[Recovery]]
) -> Survivor | str | None:
    """Its replica, why that is none to go on with, or None: it did not answer."""
    from streamlog.client import ClientError

    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            recovery = await ask(node.address)
    except TimeoutError:
        return None
    except ClientError as error:
        if error.reason != "RECOVERY_REFUSED":
            return None
        try:
            term, end = (int(error.metadata[name]) for name in ("end_term", "end_offset"))
        except (KeyError, ValueError):
            return error.message
        return Survivor(node.node_id, node.address, term, end, error.message)
    if (recovery.cluster_id, recovery.group_id) != (planned.cluster_id, planned.group_id):
        return None  # another cluster's node has the address now
    return Survivor(node.node_id, node.address, recovery.end_term, recovery.end_offset)


def lines_of(survivors: Survivors) -> list[str]:
    """For people."""
    lines = []
    if survivors.others:
        lines.append("replicas that are left, best first:")
        for each in survivors.ranked():
            note = "chosen" if each is survivors.chosen else survivors.objection_of(each)
            lines.append(f"  node {each.node_id}: {each}" + (f" ({note})" if note else ""))
    lines += [f"of no use: the replica on node {node}: {why}" for node, why in survivors.unfit]
    if survivors.silent:
        nodes = ", ".join(map(str, survivors.silent))
        lines.append(f"not compared, because they did not answer: nodes {nodes}")
    return lines


def rows_of(survivors: Survivors) -> Sequence[dict[str, object]]:
    """For programs, best first."""
    return [
        {
            "node": each.node_id,
            "address": each.address,
            "end_term": each.end_term,
            "end": each.end_offset,
            "chosen": each is survivors.chosen,
            "objection": survivors.objection_of(each) or None,
        }
        for each in survivors.ranked()
    ]
