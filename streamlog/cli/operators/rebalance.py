"""`streamlog cluster rebalance`: replicas spread evenly over the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlog.cli.operators.arrivals import WATCH, Arrival
from streamlog.cli.operators.assignments import compared, to_json
from streamlog.cli.operators.waiting import Timeout, Wait, advised, wait_until
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption, counted, show_json, table
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import PartitionAssignment

MOVES_MAX = 1_000


def register(group: typer.Typer) -> None:
    """Add the command to `streamlog cluster`."""
    group.command(
        "rebalance",
        epilog=examples(
            "streamlog cluster rebalance",
            "streamlog cluster rebalance --yes",
            "streamlog cluster rebalance --yes --moves 10 --no-wait",
            "streamlog cluster rebalance -o json",
        ),
    )(on_cluster(rebalance))


def rebalance(
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Carry it out; without it, only show the plan.")
    ] = False,
    moves: Annotated[
        int,
        typer.Option(
            "--moves",
            metavar="N",
            parser=whole_number(1, MOVES_MAX),
            help="At most so many partitions; 1 to 1,000.",
        ),
    ] = 100,
    wait: Wait = True,
    timeout: Timeout = None,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Spread replicas evenly over the nodes.

    Shows what would move from where to where; --yes carries it out. Replicas go one by one from the
    fullest node to the emptiest, and a partition never ends up in fewer racks. Nodes that are down,
    drained or in maintenance get nothing. Partitions that are on their way already are left alone.
    """

    async def work() -> tuple[list[PartitionAssignment], list[dict[str, Any]]]:
        async with admin_of(target) as admin:
            planned = await admin.rebalance(moves_max=moves, validate_only=True)
            rows = await compared(admin, planned)
            if not (yes and planned):
                return planned, rows
            # What was planned, not what another node would plan now: it is what is shown.
            with advised({"MAJORITY_AT_RISK": "bring nodes back first"}):
                await admin.move_partitions(planned)
            if output is not Output.JSON:
                typer.echo(table(rows))
            if wait:
                await wait_until(Arrival(admin, planned).look, timeout_s=timeout, afterwards=WATCH)
            return planned, rows

    planned, rows = run(work(), target)
    if output is Output.JSON:
        show_json({"assignments": to_json(planned), "carried_out": yes})
    elif not planned:
        typer.echo("the spread is even: nothing to move")
    elif not yes:
        typer.echo(table(rows))
        typer.echo(f"would move {counted(len(planned), 'partition')}; --yes carries it out")
    else:
        verb = "moved" if wait else "on their way:"
        typer.echo(f"{verb} {counted(len(planned), 'partition')}")
