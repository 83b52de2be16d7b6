"""Where partitions shall live, as people write it: TOPIC/PARTITION:NODE,NODE,... or a JSON file."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed

if TYPE_CHECKING:
    from streamlog.client import Admin, PartitionAssignment

FORM: Final = "TOPIC/PARTITION:NODE,NODE,..."
_ASSIGNMENT: Final = re.compile(r"([^/:]+)/([0-9]{1,9}):([0-9]{1,9}(?:,[0-9]{1,9})*)")
STANDARD_INPUT: Final = "-"


def parse_assignment(text: str) -> PartitionAssignment:
    """One, from the command line. Raises CommandFailed."""
    from streamlog.client import PartitionAssignment

    match = _ASSIGNMENT.fullmatch(text)
    if match is None:
        raise CommandFailed(f"{text!r} is not {FORM}, as rides/0:1,2,3", EXIT_USAGE)
    nodes = tuple(map(int, match[3].split(",")))
    return PartitionAssignment(match[1], int(match[2]), nodes)


def read_assignments(path: str) -> list[PartitionAssignment]:
    """Those of a file, or of standard input ("-"): a JSON list of objects with "topic", "partition"
    and "nodes", or an object that has it as "assignments". Raises CommandFailed."""
    try:
        text = sys.stdin.read() if path == STANDARD_INPUT else Path(path).read_text()
        content = json.loads(text)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", EXIT_USAGE) from error
    except ValueError as error:
        raise CommandFailed(f"{path} is not JSON: {error}", EXIT_USAGE) from error
    if isinstance(content, dict):
        content = content.get("assignments")
    if not isinstance(content, list):
        raise CommandFailed(
            f'{path} holds neither a list nor an object with a list "assignments"', EXIT_USAGE
        )
    return [_from_json(each, path) for each in content]


def _from_json(each: object, path: str) -> PartitionAssignment:
    from streamlog.client import PartitionAssignment

    match each:
        case {"topic": str(topic), "partition": int(partition), "nodes": list(nodes)} if (
            type(partition) is int
            and partition >= 0
            and all(type(node) is int and node > 0 for node in nodes)
        ):
            return PartitionAssignment(topic, partition, tuple(nodes))
    raise CommandFailed(
        f'{path}: {json.dumps(each)} is not {{"topic": NAME, "partition": N, "nodes": [N, ...]}}',
        EXIT_USAGE,
    )


def to_json(assignments: Iterable[PartitionAssignment]) -> list[dict[str, Any]]:
    """As `read_assignments` reads them."""
    return [
        {"topic": each.topic, "partition": each.partition, "nodes": list(each.node_ids)}
        for each in assignments
    ]


async def compared(admin: Admin, wanted: Sequence[PartitionAssignment]) -> list[dict[str, Any]]:
    """A row an assignment: from where, to where. Raises ClientError."""
    present: dict[tuple[str, int], list[int]] = {}
    for topic in dict.fromkeys(each.topic for each in wanted):
        for partition in (await admin.describe_topic(topic)).partitions:
            present[topic, partition.partition] = list(partition.replica_node_ids)
    return [
        {
            "topic": each.topic,
            "partition": each.partition,
            "from": present.get((each.topic, each.partition)),
            "to": list(each.node_ids),
        }
        for each in wanted
    ]
