"""What the replicas of partitions take on the disks of their nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import typer

from streamlog.cli.output import Output, size_text

if TYPE_CHECKING:
    from streamlog.client import Admin, ReplicaDescription

ANSWER_TIMEOUT_S: Final = 3.0
"""Sizes are told beside other things, which do not wait longer for them."""


async def replicas_of(admin: Admin, topic: str = "") -> list[ReplicaDescription]:
    """The replicas on all nodes that answer; none when the cluster does not. Raises ClientError
    for what asking again would not mend."""
    from streamlog.client import ClientError

    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await admin.describe_replicas(topic)
    except TimeoutError:
        typer.echo("the sizes are not known now: nodes do not answer", err=True)
    except ClientError as error:
        if not error.retriable:
            raise
        typer.echo(f"the sizes are not known now: {error}", err=True)
    return []


def size_of(replicas: Iterable[ReplicaDescription]) -> int | None:
    """Bytes of all of them; None when there are none."""
    sizes = [replica.size_bytes for replica in replicas]
    return sum(sizes) if sizes else None


def shown_size(size_bytes: int | None, output: Output) -> Any:
    """A number for programs, and for people with its unit."""
    if size_bytes is None or output is Output.JSON:
        return size_bytes
    return size_text(size_bytes)


def size_column(output: Output, name: str = "size") -> str:
    """Programs are told the unit by the name."""
    return f"{name}_bytes" if output is Output.JSON else name


def replica_rows(replicas: list[ReplicaDescription], output: Output) -> list[dict[str, Any]]:
    """A row a replica of one topic."""
    return [
        {
            "partition": replica.partition,
            "node": replica.node_id,
            "role": replica.role,
            "start": replica.start_offset,
            "end_term": replica.end_term,
            "end": replica.end_offset,
            "segments": replica.segments,
            size_column(output): shown_size(replica.size_bytes, output),
        }
        for replica in replicas
    ]
