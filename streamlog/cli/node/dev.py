"""`streamlog dev`: a cluster of real node processes on loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from streamlog.cli.failure import CommandFailed
from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.cli.options import examples, whole_number
from streamlog.model.settings.address import PORT_MAX

NODES_MAX = 9
WATCH_PAUSE_SECONDS = 0.5


def register(application: typer.Typer) -> None:
    """Add the command."""

    @application.command(
        "dev", epilog=examples("streamlog dev", "streamlog dev --nodes 1 --data-dir ./data")
    )
    def dev(
        nodes: Annotated[
            int,
            typer.Option(
                metavar="N", parser=whole_number(1, NODES_MAX), help="Node processes, 1 to 9."
            ),
        ] = 3,
        data_dir: Annotated[
            Path | None,
            typer.Option(
                help="Where the nodes keep their data; a later start goes on with it. Default: a"
                " temporary directory that goes when the cluster stops."
            ),
        ] = None,
        port: Annotated[
            int,
            typer.Option(
                metavar="PORT",
                parser=whole_number(1, PORT_MAX - 2 * NODES_MAX),
                help="Port of the first node; others follow, then those of their metrics.",
            ),
        ] = 9092,
    ) -> None:
        """Run a cluster on this machine until Ctrl-C."""
        if data_dir is not None:
            _run(nodes, data_dir.resolve(), port)
            return
        with tempfile.TemporaryDirectory(prefix="streamlog-dev-") as directory:
            _run(nodes, Path(directory), port)


def _run(nodes: int, directory: Path, port: int) -> None:
    from streamlog.host import process

    async def main() -> None:
        stop = process.stop_signal()
        cluster = LocalCluster(directory, nodes, range(port, port + nodes))
        starting = asyncio.ensure_future(cluster.start())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                typer.echo(greeting(cluster))
                await watch(cluster, stop)
                typer.echo("stopping")
        finally:
            for waiter in (starting, stopping):
                waiter.cancel()
            await asyncio.wait([starting, stopping])
            await cluster.stop()

    process.run(main)


def greeting(cluster: LocalCluster) -> str:
    """What runs, and how to talk to it."""
    nodes = cluster.addresses
    first = next(iter(nodes.values()))
    return "\n".join(
        [
            f"{len(nodes)} node{'s' if len(nodes) > 1 else ''} serving; data in {cluster.directory}",
            *(f"  node {node}  {address}" for node, address in nodes.items()),
            "Metrics, in the order of the nodes (/healthz and /readyz are there too):",
            *(f"  http://{address}/metrics" for address in cluster.operations.values()),
            "Try, in another terminal:",
            f"  streamlog topic create hello --partitions 3 --bootstrap {first}",
            f"  echo 'a record' | streamlog produce hello --bootstrap {first}",
            f"  streamlog consume hello --from start --exit --bootstrap {first}",
            *(
                [f"  kill -9 $(cat {cluster.pid_file_of(2)})  # the others go on"]
                if len(nodes) > 2
                else []
            ),
            "Ctrl-C stops the cluster.",
        ]
    )


async def watch(cluster: LocalCluster, stop: asyncio.Event) -> None:
    """Until it is told to stop. A node that ends is reported; when none is left, raises."""
    watched = list(cluster.addresses)
    while watched and not stop.is_set():
        for node in [node for node in watched if cluster.exit_code(node) is not None]:
            watched.remove(node)
            typer.echo(cluster.obituary(node), err=True)
        try:
            await asyncio.wait_for(stop.wait(), WATCH_PAUSE_SECONDS)
        except TimeoutError:
            continue
    if not stop.is_set():
        raise CommandFailed("no node is left")
