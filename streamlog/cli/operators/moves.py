"""`streamlog partition move` and `moves`: partitions to other nodes, and how far they are."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamlog.cli.confirm import DryRun
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.operators.arrivals import WATCH, Arrival, progress_of
from streamlog.cli.operators.assignments import (
    FORM,
    compared,
    parse_assignment,
    read_assignments,
    to_json,
)
from streamlog.cli.operators.waiting import Force, Timeout, Wait, advised, wait_until
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, counted, show, show_json, table
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import PartitionMove

WATCH_S: Final = 2.0


def register(group: typer.Typer) -> None:
    """Add the commands to `streamlog partition`."""
    group.command(
        "move",
        epilog=examples(
            "streamlog partition move rides/0:4,2,3 --dry-run",
            "streamlog partition move rides/0:4,2,3 rides/1:2,4,3",
            "streamlog partition move --file plan.json --no-wait",
            "streamlog cluster rebalance -o json | streamlog partition move --file -",
        ),
    )(on_cluster(move))
    group.command(
        "moves",
        epilog=examples(
            "streamlog partition moves",
            "streamlog partition moves --watch",
            "streamlog partition moves -o json",
        ),
    )(on_cluster(moves))


def move(
    assignments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC/PARTITION:NODE,...]...",
            help="Partition, and the nodes that shall hold it: all, the preferred leader first.",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help='Read them from JSON: a list of {"topic": ..., "partition": ..., "nodes": [...]};'
            " -: standard input.",
        ),
    ] = None,
    force: Force = False,
    wait: Wait = True,
    timeout: Timeout = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Let partitions live on other nodes.

    All that are named or, when one of them is refused, none. New replicas are copied first, at the
    pace of move.bytes.per.second; then the members change, and those who leave delete theirs.
    Clients notice nothing. To take a move back, move the partition to where it was.
    """
    if (not assignments) == (file is None):
        raise CommandFailed(f"give {FORM}, or --file", EXIT_USAGE)
    if file is not None:
        wanted = read_assignments(file)
    else:
        wanted = [parse_assignment(text) for text in assignments or ()]
    if not wanted:
        raise CommandFailed("there is nothing to move", EXIT_USAGE)

    async def work() -> list[dict[str, Any]]:
        async with admin_of(target) as admin:
            rows = await compared(admin, wanted)
            with advised(
                {
                    "MAJORITY_AT_RISK": "bring nodes back; after a forced recovery, --force",
                }
            ):
                await admin.move_partitions(wanted, force=force, validate_only=dry_run)
            if wait and not dry_run:
                await wait_until(Arrival(admin, wanted).look, timeout_s=timeout, afterwards=WATCH)
            return rows

    rows = run(work(), target, list(dict.fromkeys(each.topic for each in wanted)))
    if output is Output.JSON:
        show_json({"assignments": to_json(wanted), "moves": rows, "dry_run": dry_run})
        return
    typer.echo(table(rows))
    number = counted(len(wanted), "partition")
    typer.echo(
        f"would move {number}"
        if dry_run
        else f"moved {number}"
        if wait
        else f"{number} on the way; watch: streamlog partition moves"
    )


def moves(
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Again every two seconds until nothing moves; in JSON, one line each."
        ),
    ] = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """List partitions that are on their way, and how far.

    How far a copy is, is told in offsets of the leader's log.
    """

    async def work() -> None:
        async with admin_of(target) as admin:
            while True:
                found = await admin.list_moves()
                if not watch:
                    show(_rows(found, output), output, none="nothing moves")
                    return
                if output is Output.JSON:
                    typer.echo(json.dumps(_rows(found, output)))
                elif found:
                    typer.echo(table(_rows(found, output)) + "\n")
                if not found:
                    if output is not Output.JSON:
                        typer.echo("nothing moves")
                    return
                await asyncio.sleep(WATCH_S)

    run(work(), target)


def _rows(found: list[PartitionMove], output: Output) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for each in found:
        row: dict[str, Any] = {
            "topic": each.topic,
            "partition": each.partition,
            "nodes": list(each.node_ids),
            "leaving": list(each.leaving_node_ids),
            "leader": each.leader_node_id or None,
        }
        if output is Output.JSON:
            known = each.progress_known
            row |= {
                "start": each.start_offset if known else None,
                "end": each.end_offset if known else None,
                "copies": [{"node": copy.node_id, "end": copy.end_offset} for copy in each.copies]
                if known
                else None,
            }
        else:
            row |= {"leaving": row["leaving"] or None, "copied": progress_of(each)}
        rows.append(row)
    return rows
