"""`streamlog node`: nodes out of service, back into it, and gone for good."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streamlog.cli import cluster
from streamlog.cli.confirm import DryRun, Yes, confirm
from streamlog.cli.failure import CommandFailed
from streamlog.cli.operators import replace, restart_check
from streamlog.cli.operators.arrivals import WATCH, Emptying, node_of
from streamlog.cli.operators.waiting import (
    NODE_ID_MAX,
    Force,
    NodeId,
    Timeout,
    Wait,
    advised,
    timeout_option,
    wait_until,
)
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption, counted, say
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import Admin, PartitionDescription


class Switch(StrEnum):
    """Of a maintenance."""

    ON = "on"
    OFF = "off"


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Nodes: out of service, back, gone for good.", no_args_is_help=True)
    group.command(
        "list",
        epilog=examples(
            "streamlog node list", "streamlog node list --size", "streamlog node list -o json"
        ),
    )(on_cluster(cluster.nodes))
    group.command(
        "maintenance",
        epilog=examples(
            "streamlog node maintenance 3 on",
            "streamlog node maintenance 3 on --dry-run",
            "streamlog node maintenance 3 off",
        ),
    )(on_cluster(maintenance))
    restart_check.register(group)
    group.command(
        "drain",
        epilog=examples(
            "streamlog node drain 3 --dry-run",
            "streamlog node drain 3",
            "streamlog node drain 3 --replacement 4 --no-wait",
        ),
    )(on_cluster(drain))
    group.command("undrain", epilog=examples("streamlog node undrain 3"))(on_cluster(undrain))
    group.command(
        "remove",
        epilog=examples("streamlog node remove 3 --dry-run", "streamlog node remove 3"),
    )(on_cluster(remove))
    replace.register(group)

    @group.callback()
    def root() -> None:
        """Act on nodes."""

    application.add_typer(group, name="node")


def drain(
    node: NodeId,
    replacement: Annotated[
        int,
        typer.Option(
            "--replacement",
            metavar="NODE",
            parser=whole_number(0, NODE_ID_MAX),
            help="Takes over all it has; 0: whichever nodes suit best.",
        ),
    ] = 0,
    force: Force = False,
    wait: Wait = True,
    timeout: Timeout = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Let a node give away all of its replicas.

    It gets no new ones, and what it leads is led elsewhere. Others take its replicas over, some
    at a time, and copy them from the leaders, so that the node itself may be dead. Clients notice
    nothing. An empty node can be removed: 'streamlog node remove'.
    """

    async def work() -> tuple[int, bool]:
        async with admin_of(target) as admin:
            with advised(
                {
                    "MAJORITY_AT_RISK": "'streamlog cluster status' shows which nodes are down; what"
                    " was forced to go on is moved first ('streamlog partition move --force')",
                }
            ):
                held = await admin.drain_node(
                    node, replacement_node_id=replacement, force=force, validate_only=dry_run
                )
            if wait and not dry_run:
                await wait_until(Emptying(admin, node).look, timeout_s=timeout, afterwards=WATCH)
            described = node_of(await admin.describe_cluster(), node)
            return held, described is not None and described.controller

    held, controller = run(work(), target)
    waited = wait and not dry_run
    if dry_run:
        text = f"node {node} would give away {counted(held, 'replica')}"
    elif wait:
        text = f"node {node} is empty: it gave away {counted(held, 'replica')}"
        text += (
            "; it is a controller still: streamlog cluster controllers NODE ..."
            if controller
            else f"; to forget it: streamlog node remove {node}"
        )
    else:
        text = f"node {node} gives away {counted(held, 'replica')}; watch it: streamlog partition moves"
    say(
        text,
        {
            "node": node,
            "condition": "draining",
            "replicas": 0 if waited else held,
            "given_away": held if waited else None,
            "controller": controller,
            "dry_run": dry_run,
        },
        output,
    )


def undrain(
    node: NodeId,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Take a drained node back into service.

    Replicas that it gave away do not come back by themselves: 'streamlog cluster rebalance' spreads
    them anew.
    """
    _to_service(node, "draining", dry_run=dry_run, output=output, target=target)


def maintenance(
    node: NodeId,
    switch: Annotated[
        Switch, typer.Argument(metavar="on|off", help="Begin it, or end it.", show_default=False)
    ],
    force: Force = False,
    wait: Wait = True,
    timeout: Annotated[
        int, timeout_option("Longest wait for others to lead; exit code 1 after it.")
    ] = 60,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Let others lead while a node is stopped for a while.

    It keeps its replicas, hands over what it leads and gets no new replicas; then it may be
    stopped. Refused when partitions, or the metadata, would be without a majority while it is
    away, other nodes in maintenance counted as away. Of a node that is in maintenance already it
    says whether it may be stopped now; exit code 1 if not.
    """
    if switch is Switch.OFF:
        _to_service(node, "maintenance", dry_run=dry_run, output=output, target=target)
        return

    async def work() -> None:
        async with admin_of(target) as admin:
            with advised({}):
                await admin.begin_maintenance(node, force=force, validate_only=dry_run)
            if wait and not dry_run:
                await wait_until(
                    lambda: _leads_still(admin, node),
                    timeout_s=timeout,
                    afterwards="what it leads when it stops is led by others after an election",
                )
                if not force:
                    await wait_until(
                        lambda: check_stop(admin, node), timeout_s=timeout, afterwards="ask again"
                    )

    run(work(), target)
    text = f"node {node} {'could be' if dry_run else 'is'} in maintenance"
    if wait and not dry_run:
        text += " and leads nothing that another could lead; it may be stopped"
    say(text, {"node": node, "condition": "maintenance", "dry_run": dry_run}, output)


async def check_stop(admin: Admin, node_id: int) -> None:
    """A look that ends at once: a node in maintenance may have been asked for long ago, and others
    have died since. Raises CommandFailed (it must not be stopped), ClientError."""
    risk = await restart_check.refusal(admin, node_id)
    if risk is not None:
        raise CommandFailed(
            f"node {node_id} is in maintenance, and must not be stopped now: {risk}"
        )


async def _leads_still(admin: Admin, node_id: int) -> str | None:
    """What the node leads although another node in service could."""
    from streamlog.client import NodeCondition

    cluster = await admin.describe_cluster()
    node = node_of(cluster, node_id)
    if node is None or not node.live:
        return None
    in_service = {
        other.node_id
        for other in cluster.nodes
        if other.live and other.condition is NodeCondition.ACTIVE
    }

    def others(partition: PartitionDescription) -> set[int]:
        return in_service & set(partition.replica_node_ids) - {node_id}

    stored = await admin.describe_node(node.address)
    led = [(each.topic, each.partition) for each in stored.replicas if each.role == "leader"]
    left = []
    for topic in dict.fromkeys(topic for topic, _ in led):
        partitions = (await admin.describe_topic(topic)).partitions
        left += [
            f"{topic}/{each.partition}"
            for each in partitions
            if (topic, each.partition) in led and others(each)
        ]
    voters = in_service & set(cluster.metadata_voter_node_ids) - {node_id}
    if cluster.metadata_leader_node_id == node_id and voters:
        left.append("the metadata")
    return f"it still leads {len(left)}: {', '.join(left[:3])}" if left else None


def _to_service(node: int, ends: str, *, dry_run: bool, output: Output, target: Target) -> None:
    """End a condition; another one is left alone. Raises CommandFailed."""

    async def work() -> bool:
        async with admin_of(target) as admin:
            with advised({}):
                await admin.return_to_service(node, validate_only=True)
                described = node_of(await admin.describe_cluster(), node)
                present = "active" if described is None else str(described.condition)
                if present not in {ends, "active"}:
                    command = "undrain" if present == "draining" else "maintenance"
                    raise CommandFailed(
                        f"node {node} is not {_called(ends)}, it is {_called(present)}:"
                        f" streamlog node {command} {node}{'' if command == 'undrain' else ' off'}"
                    )
                await admin.return_to_service(node, validate_only=dry_run)
        return present == ends

    changed = run(work(), target)
    verb = "would be" if dry_run else "is"
    text = f"node {node} {verb} in service {'again' if changed else 'as it was'}"
    say(text, {"node": node, "condition": "active", "changed": changed, "dry_run": dry_run}, output)


def _called(condition: str) -> str:
    return "drained" if condition == "draining" else f"in {condition}"


def remove(
    node: NodeId,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Forget a node that holds nothing any more, for ever.

    Its id never comes back: a machine that shall take part again needs an empty data directory and
    an id that was never used. Refused while the node holds replicas ('streamlog node drain') or is
    a controller ('streamlog cluster controllers'). Stop its process before or after.
    """
    advice = {
        "NODE_IN_USE": f"'streamlog node drain {node}' empties a node, 'streamlog cluster"
        " controllers NODE ...' names other controllers and waits until they vote",
    }

    async def work(*, check: bool) -> None:
        async with admin_of(target) as admin:
            with advised(advice):
                await admin.remove_node(node, validate_only=check)

    run(work(check=True), target)
    if not dry_run:
        confirm(f"forget node {node} of {target.bootstrap} for ever?", yes=yes)
        run(work(check=False), target)
    say(
        f"node {node} {'could be' if dry_run else 'is'} removed",
        {"node": node, "dry_run": dry_run},
        output,
    )
