"""`streamlog dev`: a cluster of real node processes on loopback, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from streamlog.cli.failure import CommandFailed
from streamlog.model.settings.address import PORT_MAX

NODES_MAX = 9
CONTROLLERS_MAX = 3
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
HEALTH_PAUSE_SECONDS = 0.1
HEALTH_TIMEOUT_MS = 1_000.0
LOG_LINES_SHOWN = 5
HOST = "127.0.0.1"


def register(application: typer.Typer) -> None:
    """Add the command."""

    @application.command("dev")
    def dev(
        nodes: Annotated[int, typer.Option(min=1, max=NODES_MAX, help="Node processes.")] = 3,
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
                min=1, max=PORT_MAX - NODES_MAX, help="Port of the first node; others follow."
            ),
        ] = 9092,
    ) -> None:
        """Run a cluster on this machine until Ctrl-C, for development."""
        if data_dir is not None:
            _run(nodes, data_dir.resolve(), port)
            return
        with tempfile.TemporaryDirectory(prefix="streamlog-dev-") as directory:
            _run(nodes, Path(directory), port)


def _run(count: int, directory: Path, port: int) -> None:
    from streamlog.host import process

    async def main() -> None:
        stop = process.stop_signal()
        cluster = DevCluster(count, directory, port)
        try:
            if await cluster.start(stop):
                typer.echo(cluster.greeting())
                await cluster.watch(stop)
                typer.echo("stopping")
        finally:
            await cluster.stop()

    process.run(main)


class DevCluster:
    """Node processes, their data under one directory: `node-1/`, `node-1.log`, ...

    A node ends when the pipe on its standard input does, so none outlives this process.
    """

    def __init__(self, count: int, directory: Path, port: int) -> None:
        self._directory = directory
        self._addresses = {node: f"{HOST}:{port + node - 1}" for node in range(1, count + 1)}
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    async def start(self, stop: asyncio.Event) -> bool:
        """Start all, wait until they serve; False when it was stopped meanwhile.

        Raises CommandFailed with the end of a node's log when it ended instead.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for node in self._addresses:
                self._processes[node] = await self._spawn(node)
        except OSError as error:
            raise CommandFailed(
                f"can not start nodes in {self._directory}: {error.strerror}"
            ) from error
        return await self._until_healthy(stop)

    def greeting(self) -> str:
        """What runs, and how to talk to it."""
        first = next(iter(self._addresses.values()))
        lines = [f"{len(self._addresses)} node(s) serve; data in {self._directory}"]
        lines += [f"  node {node}  {address}" for node, address in self._addresses.items()]
        lines += [
            "Try, in another terminal:",
            f"  streamlog topic create hello --partitions 3 --bootstrap {first}",
            f"  echo 'a record' | streamlog produce hello --bootstrap {first}",
            f"  streamlog consume hello --from-beginning --bootstrap {first}",
            "Ctrl-C stops the cluster.",
        ]
        return "\n".join(lines)

    async def watch(self, stop: asyncio.Event) -> None:
        """Until it is told to stop. A node that ends is reported; when none is left, raises."""
        ends = {
            asyncio.ensure_future(process.wait()): node for node, process in self._processes.items()
        }
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while ends and not stop.is_set():
                done, _ = await asyncio.wait([stopping, *ends], return_when=asyncio.FIRST_COMPLETED)
                for end in [end for end in ends if end in done]:
                    typer.echo(self._obituary(ends.pop(end)), err=True)
        finally:
            for waiter in (stopping, *ends):
                waiter.cancel()
        if not stop.is_set():
            raise CommandFailed("no node is left")

    async def stop(self) -> None:
        """Have every node stop, at first gently."""
        running = [p for p in self._processes.values() if p.returncode is None]
        for process in running:
            process.terminate()
        if running:
            ends = [asyncio.ensure_future(process.wait()) for process in running]
            await asyncio.wait(ends, timeout=STOP_TIMEOUT_SECONDS)
            for process in running:
                if process.returncode is None:
                    process.kill()
            await asyncio.wait(ends)

    async def _spawn(self, node: int) -> asyncio.subprocess.Process:
        voters = [n for n in self._addresses if n <= CONTROLLERS_MAX]
        with self._log(node).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "streamlog.cli.main",
                "server",
                f"--data-dir={self._directory / f'node-{node}'}",
                f"--node-id={node}",
                f"--bind={self._addresses[node]}",
                f"--controllers={','.join(f'{n}@{self._addresses[n]}' for n in voters)}",
                *(["--bootstrap"] if node in voters else []),
                "--stop-with-input",
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for this process alone, which then stops the nodes.
                start_new_session=True,
            )

    async def _until_healthy(self, stop: asyncio.Event) -> bool:
        # Imported only after the processes were started: gRPC and fork do not go together.
        from streamlog.cli.node_health import serves
        from streamlog.host.network import GrpcNetwork

        network = GrpcNetwork()
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_SECONDS
        waiting = list(self._processes)
        while waiting and not stop.is_set():
            for node in list(waiting):
                if self._processes[node].returncode is not None:
                    raise CommandFailed(self._obituary(node))
                if await serves(network, self._addresses[node], HEALTH_TIMEOUT_MS):
                    waiting.remove(node)
            if waiting:
                if asyncio.get_running_loop().time() > deadline:
                    raise CommandFailed(
                        f"node {waiting[0]} does not serve after {START_TIMEOUT_SECONDS:.0f} s;"
                        + self._end_of_log(waiting[0])
                    )
                await asyncio.sleep(HEALTH_PAUSE_SECONDS)
        return not stop.is_set()

    def _obituary(self, node: int) -> str:
        code = self._processes[node].returncode
        return f"node {node} ended with code {code};{self._end_of_log(node)}"

    def _end_of_log(self, node: int) -> str:
        lines = self._log(node).read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n  ".join([f" the end of {self._log(node)}:", *lines])

    def _log(self, node: int) -> Path:
        return self._directory / f"node-{node}.log"
