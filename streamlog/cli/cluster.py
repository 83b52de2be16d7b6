"""`streamlog cluster`: what the cluster is doing."""

from __future__ import annotations

import typer

from streamlog.cli.remote import BOOTSTRAP_DEFAULT, Bootstrap, run


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="The cluster.\n\n  streamlog cluster status", no_args_is_help=True)
    group.command("status")(status)

    @group.callback()
    def root() -> None:
        """Tell about the cluster."""

    application.add_typer(group, name="cluster")


def status(bootstrap: Bootstrap = BOOTSTRAP_DEFAULT) -> None:
    """Show nodes, the metadata leader, and partitions without a leader."""

    async def work() -> int:
        from rich.console import Console
        from rich.table import Table

        from streamlog.client import Admin

        async with Admin(bootstrap) as admin:
            cluster = await admin.describe_cluster()
        table = Table("node", "address", "rack", "live", "role", box=None)
        for node in cluster.nodes:
            leads = node.node_id == cluster.metadata_leader_node_id
            role = "metadata leader" if leads else "controller" if node.controller else ""
            table.add_row(
                str(node.node_id), node.address, node.rack, "yes" if node.live else "NO", role
            )
        console = Console()
        console.print(f"cluster {cluster.cluster_id}", highlight=False)
        console.print(table)
        console.print(
            f"{cluster.topic_count} topics, {cluster.partition_count} partitions, "
            f"{cluster.leaderless_partition_count} without a leader",
            highlight=False,
        )
        healthy = all(node.live for node in cluster.nodes)
        return 0 if healthy and not cluster.leaderless_partition_count else 1

    raise typer.Exit(run(work(), bootstrap))
