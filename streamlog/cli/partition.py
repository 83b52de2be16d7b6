"""`streamlog partition`: what is done to partitions; `operators.moves` has their moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamlog.cli.completion import complete_topics
from streamlog.cli.confirm import DryRun, Yes
from streamlog.cli.operators import moves
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption
from streamlog.cli.recovery import NodeOption, PassOver, force

if TYPE_CHECKING:
    from streamlog.client import Admin, Recovery

PARTITION_MAX = 2**31 - 1


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Partitions: to other nodes, recovery by force.", no_args_is_help=True)
    moves.register(group)
    group.command(
        "force-recover",
        epilog=examples(
            "streamlog partition force-recover orders 3 --node 10.0.0.3:9092 --dry-run",
            "streamlog partition force-recover orders 3 --node 10.0.0.3:9092",
            "streamlog partition force-recover orders 3 --node 10.0.0.3:9092 --yes"
            " --confirm orders/3",
        ),
    )(force_recover)

    @group.callback()
    def root() -> None:
        """Act on partitions."""

    application.add_typer(group, name="partition")


def force_recover(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Topic.", autocompletion=complete_topics)
    ],
    partition: Annotated[
        int,
        typer.Argument(
            metavar="PARTITION", help="Partition.", parser=whole_number(0, PARTITION_MAX)
        ),
    ],
    node: NodeOption,
    dry_run: DryRun = False,
    yes: Yes = False,
    consent: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="TOPIC/PARTITION",
            help="The partition once more: the second consent, instead of typing it.",
        ),
    ] = None,
    pass_over: PassOver = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Go on with one replica: the majority is gone for good.

    The last resort: bring the others back if there is any way. The replica keeps all that it has
    and goes on alone; what only the lost ones had is lost, acknowledged records among it, and
    nobody can tell what it was. Should one of them come back, it is not listened to. Refused while
    the node hears of a majority. Of the replicas that are left take the one of the highest last
    term, among those of the highest end: --dry-run asks all nodes, and lists them best first.
    Refused, too, while a better one answers.
    """

    async def ask(admin: Admin, address: str, accepted: str | None) -> Recovery:
        return await admin.force_recover(
            address,
            topic,
            partition,
            accept_data_loss=accepted or "",
            dry_run=accepted is None,
        )

    name = f"{topic}/{partition}"
    force(
        name,
        node,
        ask,
        name_of=lambda _: name,
        afterwards=lambda survivor: (
            f"give it other replicas than those that are lost: streamlog partition move"
            f" {name}:{survivor},NODE,NODE --force"
        ),
        dry_run=dry_run,
        yes=yes,
        consent=consent,
        passed_over=pass_over or (),
        output=output,
    )
