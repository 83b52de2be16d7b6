"""`streamlog node replace`: another node in the place of one that is dead, or shall go.

Steps, each of which is skipped when it is done already, so that running the command again goes on
where it stopped:

1. The old node is a controller: the new one becomes it instead, and votes.
2. The old node is drained; the new one takes over all it has.
3. The old node is removed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamlog.cli.confirm import DryRun, Yes, confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.operators.arrivals import WATCH, Emptying, node_of
from streamlog.cli.operators.controllers import Voting, configure, controllers_of, setting_of
from streamlog.cli.operators.waiting import NODE_ID_MAX, Timeout, advised, wait_until
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption, counted, show_json
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import Admin, ClusterDescription

AGAIN: Final = "run the command again to go on"
_ADVICE: Final = {
    "MAJORITY_AT_RISK": "what is lost for good is forced to go on ('streamlog partition"
    " force-recover') and moved ('streamlog partition move --force'), or deleted; then the command is"
    " run again",
    "NODE_IN_USE": AGAIN,
}


def register(group: typer.Typer) -> None:
    """Add the command to `streamlog node`."""
    group.command(
        "replace",
        epilog=examples(
            "streamlog node replace 3 --with 4 --dry-run",
            "streamlog node replace 3 --with 4",
            "streamlog node replace 3 --with 4 --yes --timeout 3600",
        ),
    )(on_cluster(replace))


def replace(
    old: Annotated[
        int,
        typer.Argument(
            metavar="OLD",
            help="Node that goes, dead or alive.",
            parser=whole_number(1, NODE_ID_MAX),
        ),
    ],
    new: Annotated[
        int,
        typer.Option(
            "--with",
            metavar="NEW",
            help="Node that takes over all it has.",
            parser=whole_number(1, NODE_ID_MAX),
        ),
    ],
    yes: Yes = False,
    timeout: Timeout = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Put another node in the place of one that goes.

    Start the new node first, with an id that was never used. It becomes a controller if the old
    one is, takes over all replicas, and the old node is removed in the end, for ever. A command
    that was interrupted goes on where it stopped when it is run again.
    """
    if old == new:
        raise CommandFailed(f"node {old} can not replace itself", EXIT_USAGE)
    steps: list[str] = []

    def tell(step: str) -> None:
        steps.append(step)
        if output is not Output.JSON:
            typer.echo(step)

    async def work(step: Callable[[Admin], Awaitable[None]]) -> None:
        async with admin_of(target) as admin:
            with advised(_ADVICE):
                await step(admin)

    if dry_run:
        run(work(lambda admin: check(admin, old, new, tell)), target)
    else:
        run(work(lambda admin: check(admin, old, new, lambda _: None)), target)
        confirm(f"replace node {old} of {target.bootstrap} by node {new}, for ever?", yes=yes)
        run(work(lambda admin: carry_out(admin, old, new, tell, timeout)), target)
    if output is Output.JSON:
        show_json({"node": old, "replacement": new, "steps": steps, "dry_run": dry_run})


async def check(admin: Admin, old: int, new: int, tell: Callable[[str], None]) -> None:
    """Tell what would be done, as far as it is not done yet. Raises ClientError, CommandFailed."""
    cluster = await admin.describe_cluster()
    if node_of(cluster, old) is None:
        await admin.remove_node(old, validate_only=True)
        tell(f"node {old} is removed already")
        return
    _check_new(cluster, new)
    controllers = _controllers_after(cluster, old, new)
    if controllers is not None:
        await admin.set_controllers(controllers, validate_only=True)
        tell(f"would make node {new} a controller in the place of node {old}")
    held = await admin.drain_node(old, replacement_node_id=new, validate_only=True)
    tell(f"would let node {new} take over {counted(held, 'replica')}")
    tell(f"would remove node {old}")


async def carry_out(
    admin: Admin, old: int, new: int, tell: Callable[[str], None], timeout_s: float | None
) -> None:
    """Do the steps that are not done yet. Raises ClientError, CommandFailed."""
    cluster = await admin.describe_cluster()
    if node_of(cluster, old) is None:
        tell(f"node {old} is removed already")
        return
    controllers = _controllers_after(cluster, old, new)
    if controllers is not None:
        await admin.set_controllers(controllers)
        tell(f"node {new} is a controller in the place of node {old}")
        typer.echo(f"note: {configure(setting_of(cluster, controllers))}", err=True)
    # Also when an earlier run was interrupted here: the old node may be needed until then.
    voting = Voting(admin, controllers or controllers_of(cluster))
    await wait_until(voting.look, timeout_s=timeout_s, afterwards=AGAIN)
    held = await admin.drain_node(old, replacement_node_id=new)
    await wait_until(
        Emptying(admin, old).look, timeout_s=timeout_s, afterwards=f"{WATCH}; then {AGAIN}"
    )
    tell(f"node {new} took over {counted(held, 'replica')}")
    await admin.remove_node(old)
    tell(f"node {old} is removed; if its process runs, stop it")


def _controllers_after(cluster: ClusterDescription, old: int, new: int) -> list[int] | None:
    """The new one in the place of the old one; None: there is nothing to change."""
    present = [node.node_id for node in cluster.nodes if node.controller]
    if old not in present:
        return None
    return sorted({new, *present} - {old})


def _check_new(cluster: ClusterDescription, new: int) -> None:
    """Raises CommandFailed when the new node is not there."""
    if node_of(cluster, new) is None:
        controllers = ",".join(
            f"{node.node_id}@{node.address}" for node in cluster.nodes if node.controller
        )
        raise CommandFailed(
            f"node {new} is not registered; start it with an empty data directory: streamlog"
            f" server --node-id {new} --controllers {controllers}"
        )
